//! The narrow wall between the sequencer and its storage engine.
//!
//! A store does four things: append a batch atomically and durably if the tree still has the expected size,
//! read entries, read tiles, read chain heads. Nothing else in the ledger knows what lies behind.

pub(crate) mod keyspace;
pub(crate) mod moment;
mod owner;
pub(crate) mod raw;
mod rocks;

use bytes::Bytes;
use proto::v1::Opening;
use proto::{ChainHead, ids::Id};
use tlog::{Hash, LeafIndex, TreeSize};

pub use owner::OtherOwner;
pub(crate) use owner::may_open;
pub use rocks::RocksStore;
pub(crate) use rocks::{records, wal};

/// Size, root and newest time of the tree in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of entries.
    pub size: TreeSize,
    /// RFC 6962 root of all of them.
    pub root: Hash,
    /// `recorded_at_ns` of the last; 0 when there is none.
    pub recorded_at_ns: u64,
}

/// Head of one recorder's epoch, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChain {
    /// Name of the recorder's key.
    pub recorder_id: String,
    /// The epoch.
    pub epoch: Id,
    /// Its last event.
    pub head: ChainHead,
    /// Where that event stands.
    pub leaf_index: LeafIndex,
    /// Digest of the policy snapshot that this epoch activated last.
    pub active_snapshot: Option<[u8; 32]>,
    /// The recorder forked this chain and may not append any more.
    pub suspended: bool,
}

/// A disclosure beside the log: ciphertext, and the id of the key that opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedDisclosure {
    /// Its leaf.
    pub leaf_index: LeafIndex,
    /// Its slot.
    pub slot: i32,
    /// Key id and ciphertext, see `vault`.
    pub sealed: Vec<u8>,
}

/// What a store knows of a disclosure key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StoredKey {
    /// No commit brought it.
    Unknown,
    /// It is there.
    There([u8; 32]),
    /// It was there and is gone for good. Nothing is ever stored under its id again.
    Destroyed,
}

impl StoredKey {
    /// The key, to open something with.
    pub fn usable(self) -> Option<[u8; 32]> {
        match self {
            Self::There(key) => Some(key),
            Self::Unknown | Self::Destroyed => None,
        }
    }
}

/// Without the secret, so that no log shows it.
impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::There(_) => "There",
            Self::Destroyed => "Destroyed",
        })
    }
}

/// Everything that one commit makes durable, at once or not at all.
#[derive(Debug)]
pub struct Batch {
    /// Serialized entries, contiguous from the expected size.
    pub entries: Vec<Bytes>,
    /// Their disclosures.
    pub disclosures: Vec<SealedDisclosure>,
    /// New disclosure keys, by id.
    pub keys: Vec<([u8; 16], [u8; 32])>,
    /// Hash tiles completed by these entries: tile level, index, 256 hashes.
    pub tiles: Vec<(u8, u64, Vec<u8>)>,
    /// Chain heads moved by these entries.
    pub chains: Vec<StoredChain>,
    /// The tree after them.
    pub head: TreeHead,
    /// What goes, and which holds change, with them.
    pub changes: Changes,
}

/// Changes of a store beside what it appends.
#[derive(Debug, Default)]
pub struct Changes {
    /// Disclosures that go: leaf and slot.
    pub erased: Vec<(LeafIndex, i32)>,
    /// Disclosure keys that go; their ids stay, with nothing.
    pub destroyed: Vec<[u8; 16]>,
    /// Legal holds that are placed, with the leaf that says so, or released.
    pub holds: Vec<(Id, Option<LeafIndex>)>,
}

/// A range of leaves `[start, end)`.
pub type Leaves = std::ops::Range<u64>;

/// Why a store failed. Every failure of a write is fatal: the process stops and recovers at the next start.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has the store open. Nothing is wrong with it.
    #[error("the store in {path} is in use: a ledger runs on it; stop that ledger first")]
    InUse {
        /// Its folder.
        path: String,
    },
    /// The engine reports an error.
    #[error("the store in {path} failed: {reason}; stop, check the disk, start again")]
    Engine {
        /// Its folder.
        path: String,
        /// The engine's words.
        reason: String,
    },
    /// What was read is not what was written.
    #[error("the store is damaged: {0}; run `exhibit fsck`")]
    Damaged(String),
    /// Another writer moved the tree.
    #[error(
        "the tree has {found} entries where {expected} were expected: another writer is at work"
    )]
    Conflict {
        /// Size the sequencer holds.
        expected: u64,
        /// Size in the store.
        found: u64,
    },
}

/// Durable storage of one log.
pub trait Store: Send + Sync + 'static {
    /// The tree as of the last commit; `None` in a new store.
    ///
    /// # Errors
    /// [`StoreError`].
    fn head(&self) -> Result<Option<TreeHead>, StoreError>;

    /// Makes `batch` durable if the tree still has `expected` entries. When this returns `Ok`, a power cut
    /// loses nothing of it; when it fails, nothing of it may be acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::Engine`].
    fn append(&self, expected: TreeSize, batch: &Batch) -> Result<(), StoreError>;

    /// Serialized entries from `from`, at most `count` of them and about `bytes` in sum, at least one if any.
    ///
    /// # Errors
    /// [`StoreError`].
    fn entries(
        &self,
        from: LeafIndex,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<Bytes>, StoreError>;

    /// Opened disclosures of the leaves `[from, end)`, in order, whole leaves until about `bytes` are reached
    /// but at least one leaf; with the index up to which they are complete. Erased ones are absent, and so is one that
    /// does not open: the log says of which leaf, and everybody is served the rest.
    ///
    /// # Errors
    /// [`StoreError`].
    fn openings(
        &self,
        from: LeafIndex,
        end: LeafIndex,
        bytes: usize,
    ) -> Result<(Vec<(LeafIndex, Opening)>, LeafIndex), StoreError>;

    /// A full hash tile (256 × 32 bytes); `None` while it is not full.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError>;

    /// A disclosure key.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Damaged`] when nobody can tell any more, and others can be read.
    fn disclosure_key(&self, id: &[u8; 16]) -> Result<StoredKey, StoreError>;

    /// How many commits since the start destroyed keys: while it stands still, a key that was there is there.
    fn destructions(&self) -> u64 {
        0
    }

    /// Heads of every epoch of every recorder.
    ///
    /// # Errors
    /// [`StoreError`].
    fn chains(&self) -> Result<Vec<StoredChain>, StoreError>;

    /// Shows leaf, slot and sealed form of every disclosure of the leaves in a range that is there, in order. One that the disk
    /// does not have any more is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    fn disclosed(
        &self,
        _leaves: Leaves,
        _show: &mut dyn FnMut(LeafIndex, i32, &[u8]),
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// Legal holds that are placed, with the leaf of each; `None` where its record names none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn holds(&self) -> Result<Vec<(Id, Option<LeafIndex>)>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether the disk still holds bytes of what was erased.
    ///
    /// # Errors
    /// [`StoreError`].
    fn must_purge(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Takes what was erased off the disk: tables and write-ahead logs. It is slow, and appends go on meanwhile, but
    /// none that erases may. After a crash it is done again.
    ///
    /// # Errors
    /// [`StoreError`]; then it must be done again. [`StoreError::Damaged`]: what cannot be read was left out, and all else is
    /// off the disk.
    fn purge(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
