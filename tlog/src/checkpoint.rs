//! Checkpoints: [C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint).

use crate::decimal;
use crate::hash::{Hash, HashParseError};
use crate::key::{SigningKey, VerifyingKey};
use crate::lines::Lines;
use crate::note::{Note, NoteError, NoteSignature};
use crate::position::TreeSize;
use crate::signer::{SignError, Signer};

/// The head of a log: how many leaves it has, and the root over them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// The log's identity: one line, not empty; the name of the log's key.
    pub origin: String,
    /// The number of leaves.
    pub size: TreeSize,
    /// The RFC 6962 root over these leaves.
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a checkpoint's note: exactly the lines origin, size, root. Extension
    /// lines, which the specification discourages, are refused. Signatures are not looked at.
    ///
    /// # Errors
    /// When anything differs from that, or a tree of size 0 has another root than the empty one.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = Lines::new(text);
        let [origin, size, root] = [lines.take(), lines.take(), lines.take()];
        let (Some(origin), Some(size), Some(root)) = (origin, size, root) else {
            return Err(CheckpointError::Lines);
        };
        if !lines.rest().is_empty() {
            return Err(CheckpointError::ExtensionLine);
        }
        if origin.is_empty() || origin.contains(|c: char| c < ' ') {
            return Err(CheckpointError::OriginLine);
        }
        let size = decimal::parse(size).map(TreeSize).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).map_err(CheckpointError::Root)?;
        if size.0 == 0 && root != Hash::empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// The text of the checkpoint's note, ending with a newline.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The checkpoint as a note signed by this key, whose name should be the origin:
    /// [`open_checkpoint`] wants it so.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let signature = key.sign_note(&text);
        format!("{text}\n{signature}")
    }

    /// The checkpoint as a note signed by each of these keys, in this order; the name of each should be the origin. A
    /// log has several while it changes its key.
    ///
    /// # Errors
    /// When one of them does not sign: there is no note with a part of the signatures.
    pub fn sign_with(&self, signers: &[&dyn Signer]) -> Result<String, SignError> {
        let text = self.text();
        let mut note = format!("{text}\n");
        for signer in signers {
            note.push_str(&signer.sign_note(&text)?.to_string());
        }
        Ok(note)
    }
}

/// Reads a checkpoint that the log's key has signed and whose origin is that key's name.
/// Signatures by other keys are ignored.
///
/// # Errors
/// When it is not such a note; the error says which of these fails.
pub fn open_checkpoint(note: &str, log: &VerifyingKey) -> Result<Checkpoint, CheckpointError> {
    let note = Note::parse(note)?;
    if !note.verified_by(log)? {
        return Err(CheckpointError::not_signed(&note, [log]));
    }
    let checkpoint = Checkpoint::parse_text(note.text())?;
    if checkpoint.origin != log.name() {
        let expected = log.name().to_owned();
        return Err(CheckpointError::OtherOrigin { expected, actual: checkpoint.origin });
    }
    Ok(checkpoint)
}

/// What to make of signatures under the log's name by other keys: a log may have changed its key.
fn or_by(by: &[String]) -> String {
    if by.is_empty() {
        return String::new();
    }
    let by = by.join(", ");
    format!(
        ", but by {by}, of the same name: if the log has changed its key, whoever runs it can give you the vkey of that one"
    )
}

impl CheckpointError {
    /// None of these keys, of one name, has signed the note.
    pub(crate) fn not_signed<'k>(
        note: &Note,
        logs: impl IntoIterator<Item = &'k VerifyingKey>,
    ) -> Self {
        let logs: Vec<_> = logs.into_iter().collect();
        let is_of_log = |line: &&NoteSignature| logs.iter().any(|log| log.name() == line.name);
        let shown =
            |line: &NoteSignature| format!("{}+{:08x}", line.name, u32::from_be_bytes(line.key_id));
        let by = note.signatures().iter().filter(is_of_log).map(shown).collect();
        let keys: Vec<_> = logs.iter().map(ToString::to_string).collect();
        Self::NotSigned { key: keys.join(" or "), by }
    }
}

/// Why a note is not a checkpoint of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a well-formed note, or a bad signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The log's key has not signed it.
    #[error("the checkpoint is not signed by the log's key {key}{}", or_by(.by))]
    NotSigned {
        /// The log's vkey.
        key: String,
        /// The keys of the log's name that did sign, each as name and key id.
        by: Vec<String>,
    },
    /// Signed by the log's key, but for another log.
    #[error("the checkpoint is of the log {actual:?}, not of {expected:?}")]
    OtherOrigin {
        /// The key's name.
        expected: String,
        /// The origin line.
        actual: String,
    },
    /// A witness's cosignature has a time that cosignatures cannot carry.
    #[error("the cosignature of {witness} has a time past 2^63 - 1 seconds")]
    CosignatureTime {
        /// The witness's name.
        witness: String,
    },
    /// Fewer than three lines.
    #[error("a checkpoint has the three lines origin, size and root, each ended by a newline")]
    Lines,
    /// More than three lines.
    #[error("the checkpoint has extension lines, which are not accepted here")]
    ExtensionLine,
    /// The first line is empty or holds a control character.
    #[error("the origin line is empty or holds a control character")]
    OriginLine,
    /// The second line is not a canonical decimal.
    #[error("the size line is not a decimal number below 2^64 without leading zeroes")]
    Size,
    /// The third line is not a hash.
    #[error("the root line: {0}")]
    Root(#[source] HashParseError),
    /// Size 0 with another root than that of the empty tree.
    #[error("the tree has no leaves, but its root is not that of the empty tree")]
    EmptyRoot,
}
