//! Proof, or strong suspicion, that the log is not what it said it was. Never forgotten.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, CheckpointError, Hash, TreeSize};

use crate::rows::RowError;
use crate::rows::segment::sync_dir;

const FILE: &str = "contradiction.json";

/// What was read contradicts itself, the format, or an earlier checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Contradiction {
    /// What is wrong.
    pub kind: ContradictionKind,
    /// Leaves that had been read.
    pub size: u64,
    /// The root over them, as computed here.
    pub root: Hash,
    /// The newest checkpoint that was verified before.
    pub known_note: Option<String>,
    /// The checkpoint that was offered, if one was.
    pub offered_note: Option<String>,
}

/// The kinds of contradiction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContradictionKind {
    /// A leaf was left out or sent twice.
    #[error("the ledger sent leaf {offered} where leaf {expected} is next")]
    Gap {
        /// The next index.
        expected: u64,
        /// The index that was sent.
        offered: u64,
    },
    /// A leaf is not an entry of an Exhibit log.
    #[error("leaf {index} cannot be read: {source}")]
    Leaf {
        /// Its index.
        index: u64,
        /// What is wrong.
        source: proto::EntryError,
    },
    /// Time does not increase.
    #[error(
        "leaf {index} was recorded at {recorded_at_ns} ns, not after the leaf before it ({previous_ns} ns)"
    )]
    Time {
        /// Its index.
        index: u64,
        /// Its time, Unix ns.
        recorded_at_ns: u64,
        /// The time of the leaf before, Unix ns.
        previous_ns: u64,
    },
    /// A disclosure is not what the leaf commits to.
    #[error("leaf {index}: {source}")]
    Opening {
        /// Its index.
        index: u64,
        /// What is wrong.
        source: proto::disclosure::OpeningError,
    },
    /// What was sent as a checkpoint is none of this log.
    #[error("the ledger sent no valid checkpoint of this log: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of fewer leaves than an earlier one.
    #[error(
        "the log went back: a checkpoint of {known} leaves was verified before, now it is of {offered}"
    )]
    SizeWentBack {
        /// Leaves of the earlier one.
        known: TreeSize,
        /// Leaves of the one that was offered.
        offered: TreeSize,
    },
    /// The ledger says that it has fewer leaves than were verified before.
    #[error("{read} leaves were verified or read before, but the ledger says: {message}")]
    Beyond {
        /// Leaves read.
        read: TreeSize,
        /// The ledger's words.
        message: String,
    },
    /// A checkpoint that does not cover exactly the entries sent.
    #[error("{read} leaves were sent, but the checkpoint that should cover them is of {offered}")]
    Size {
        /// Leaves that were sent.
        read: TreeSize,
        /// Leaves of the checkpoint.
        offered: TreeSize,
    },
    /// The leaves do not lead to the checkpoint's root.
    #[error("the root over the first {size} leaves is {computed}, but the log signed {offered}")]
    Root {
        /// Leaves.
        size: TreeSize,
        /// The root over the leaves that were sent.
        computed: Hash,
        /// The root that the log signed.
        offered: Hash,
    },
    /// Two signed roots of one size.
    #[error("the log signed two different roots of size {size}")]
    SplitView {
        /// Leaves.
        size: TreeSize,
    },
    /// Leaves that were verified before are now others.
    #[error(
        "the first {size} leaves are not those that an earlier checkpoint of that size was verified with"
    )]
    OtherHistory {
        /// Leaves of the earlier checkpoint.
        size: TreeSize,
    },
}

/// What is kept on disk of a contradiction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) reason: String,
    pub(crate) found_at: String,
    pub(crate) size: u64,
    pub(crate) root: String,
    pub(crate) known_checkpoint: Option<String>,
    pub(crate) offered_checkpoint: Option<String>,
}

impl Kept {
    pub(crate) fn new(contradiction: &Contradiction) -> Self {
        Self {
            reason: contradiction.to_string(),
            found_at: jiff::Timestamp::now().to_string(),
            size: contradiction.size,
            root: contradiction.root.to_string(),
            known_checkpoint: contradiction.known_note.clone(),
            offered_checkpoint: contradiction.offered_note.clone(),
        }
    }

    /// Found by the recorder of accesses: the log does not continue the checkpoint that it remembered.
    pub(crate) fn not_continued(
        reason: String,
        known: Option<(Checkpoint, String)>,
        offered_checkpoint: Option<String>,
    ) -> Self {
        let found_at = jiff::Timestamp::now().to_string();
        let (size, root, known_checkpoint) = match known {
            Some((known, note)) => (known.size.0, known.root.to_string(), Some(note)),
            None => (0, String::new(), None),
        };
        Self { reason, found_at, size, root, known_checkpoint, offered_checkpoint }
    }

    /// The contradiction found earlier. One that cannot be read is one all the same.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>, RowError> {
        let path = dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RowError::io(path)(error)),
        };
        Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|error| Self {
            reason: format!("{} is there, but cannot be read: {error}", path.display()),
            found_at: String::new(),
            size: 0,
            root: String::new(),
            known_checkpoint: None,
            offered_checkpoint: None,
        })))
    }

    /// The first contradiction stays; later ones follow from it.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), RowError> {
        let path = dir.join(FILE);
        if path.exists() {
            return Ok(());
        }
        // Strings and numbers always serialize.
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        super::state::write_durably(&path, &text)?;
        sync_dir(dir)
    }
}
