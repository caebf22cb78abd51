//! The text that a recorder signs over its head.
//!
//! A seal in a leaf holds fields and a signature; the text is rebuilt from them, so nobody has to trust a
//! second copy of it.

use tlog::{Hash, SigningKey, TreeSize, VerifyingKey};

use crate::chain::ChainHead;
use crate::ids::Id;
use crate::v1::RecorderSeal;

/// What a seal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal<'a> {
    /// Origin of the log.
    pub origin: &'a str,
    /// Name of the recorder's key.
    pub recorder_id: &'a str,
    /// The recorder's epoch.
    pub epoch: Id,
    /// The head that is sealed.
    pub head: ChainHead,
    /// Size of the newest checkpoint the recorder verified; 0 when none yet.
    pub checkpoint_size: TreeSize,
    /// Its root; the empty root at size 0.
    pub checkpoint_root: Hash,
}

impl Seal<'_> {
    /// The signed text, five lines.
    pub fn text(&self) -> String {
        format!(
            "exhibit/seal@v1\n{}\n{}\n{}\n{} {}\n{} {}\n",
            self.origin,
            self.recorder_id,
            self.epoch,
            self.head.sequence,
            Hash(self.head.hash),
            self.checkpoint_size.0,
            self.checkpoint_root,
        )
    }

    /// Signs it with the recorder's key.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign_bytes(self.text().as_bytes())
    }
}

/// Does the seal in a leaf carry a valid signature by `key` over the fields it shows?
pub fn verify(
    seal: &RecorderSeal,
    origin: &str,
    recorder_id: &str,
    epoch: Id,
    key: &VerifyingKey,
) -> bool {
    let (Ok(hash), Ok(root), Ok(signature)) = (
        <[u8; 32]>::try_from(&seal.hash[..]),
        Hash::try_from(&seal.checkpoint_root[..]),
        <[u8; 64]>::try_from(&seal.signature[..]),
    ) else {
        return false;
    };
    let claimed = Seal {
        origin,
        recorder_id,
        epoch,
        head: ChainHead { sequence: seal.sequence, hash },
        checkpoint_size: TreeSize(seal.checkpoint_size),
        checkpoint_root: root,
    };
    seal.key_id == key.key_id()[..] && key.verify(claimed.text().as_bytes(), &signature)
}
