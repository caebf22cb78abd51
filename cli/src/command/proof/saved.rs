//! A proof that was saved, checked again offline: nobody is asked.

use std::path::Path;

use tlog::{Checkpoint, Hash, LeafIndex, TlogProof, VerifyingKey};

use crate::failure::{self, Failure};

/// How a tlog-proof begins; anything else is taken for a COSE receipt.
const TLOG_PROOF: &[u8] = b"c2sp.org/tlog-proof";

/// Whether the proof in a file shows that the leaf with this hash, in Base64, stands at `index`.
///
/// # Errors
/// When it does not, or the file cannot be read.
pub(super) fn check(
    file: &Path,
    index: LeafIndex,
    leaf_hash: &str,
    log: &VerifyingKey,
) -> Result<(Hash, Checkpoint), Failure> {
    let leaf = Hash::from_base64(leaf_hash).map_err(|error| {
        let message = format!("--leaf-hash is not as exhibit proof --json prints it: {error}");
        Failure::unusable("leaf_hash", message)
    })?;
    let bytes = std::fs::read(file).map_err(|error| failure::file(file, &error))?;
    let about = |error: &dyn std::fmt::Display| {
        Failure::failed("proof", format!("{}: {error}", file.display()))
    };
    let (found, checkpoint) = if bytes.starts_with(TLOG_PROOF) {
        let text = std::str::from_utf8(&bytes).map_err(|error| about(&error))?;
        let proof = TlogProof::parse(text).map_err(|error| about(&error))?;
        (proof.index, proof.verify(&leaf, log).map_err(|error| about(&error))?)
    } else {
        tlog::verify_receipt(&bytes, &leaf, log).map_err(|error| about(&error))?
    };
    if found == index {
        Ok((leaf, checkpoint))
    } else {
        Err(about(&format!("it is of leaf {found}, not of leaf {index}")))
    }
}

#[cfg(test)]
mod tests {
    use tlog::{SigningKey, TreeSize};

    use super::*;

    #[test]
    fn a_saved_proof_shows_its_leaf_at_its_place_and_nothing_else() {
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let log = key.verifying_key();
        let (leaf, other) = (tlog::leaf_hash(b"leaf"), tlog::leaf_hash(b"other"));
        let root = tlog::node_hash(&other, &leaf);
        let checkpoint = Checkpoint { origin: "log.example".into(), size: TreeSize(2), root };
        let proof = TlogProof {
            index: LeafIndex(1),
            hashes: vec![other],
            checkpoint: checkpoint.sign(&key),
            extra: None,
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), proof.to_string()).unwrap();
        let check = |index, leaf: Hash| {
            super::check(file.path(), LeafIndex(index), &leaf.to_string(), &log)
                .map(|(_, found)| found)
        };
        assert_eq!(check(1, leaf).unwrap(), checkpoint);
        assert!(check(0, leaf).unwrap_err().to_string().contains("of leaf 1"));
        assert!(check(1, other).is_err());
        std::fs::write(file.path(), [0xd2, 0x84]).unwrap();
        assert!(check(1, leaf).is_err(), "no receipt at all");
    }
}
