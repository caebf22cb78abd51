//! Backups of a ledger that runs, or does not, and what becomes of them.
//!
//! ```text
//! store ──snapshot──▶ hard links ──copy what is new──▶ depot ──restore──▶ data folder ──▶ read-only, or a new log,
//!         (instant)                (files by digest)          (fsck)                       or this log, if it is the newest
//! ```
//!
//! Why not the engine's own backup engine: its check of a backup looks at lengths only, and it has no place for the
//! published checkpoint (docs/adr/012).

mod depot;
mod list;
mod listing;
mod manifest;
mod restore;
mod restored;
mod running;
mod same_log;

use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, CheckpointError, Note};

pub use self::list::{BackupMade, backups_made};
pub use self::listing::{BackupListed, UnreadableBackup, backups_in};
pub use self::restore::{Restore, Restored, restore, restored_checkpoint};
pub(crate) use self::restored::{FolderState, continued, folder_state, forget_restored};
pub(crate) use self::running::{Backups, holds_moment, remove_leftovers};
use crate::folder;
use crate::publish::default_file;
use crate::store::{RocksStore, Store, StoreError};

/// Table `[ledger.backup]`: where the running ledger puts backups of itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// Folder of the backups, best on another machine's disk. It holds every disclosure with its key: whoever can read it
    /// can read all evidence. The log's and the recorder's signing keys are not in it.
    pub folder: PathBuf,
    /// How many backups are kept; the oldest ones go.
    #[serde(default = "default_keep")]
    pub keep: u32,
    /// A backup is made so often, in minutes, while the ledger runs. Left out: only when it is asked for
    /// (`exhibit backup`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<u32>,
}

fn default_keep() -> u32 {
    7
}

impl BackupConfig {
    /// What is wrong with it, if anything.
    pub(crate) fn mistake(&self, data_dir: &Path) -> Option<String> {
        if self.keep == 0 {
            return Some("backup.keep: at least 1 backup must be kept".to_owned());
        }
        if self.every_minutes == Some(0) {
            return Some("backup.every_minutes: at least 1, or leave it out".to_owned());
        }
        if self.folder.starts_with(data_dir) {
            return Some(format!(
                "backup.folder: {} lies in data_dir and would be lost with it; name a folder on another disk",
                self.folder.display()
            ));
        }
        (!folder::above(&self.folder).is_dir()).then(|| {
            format!(
                "backup.folder: the folder of {} does not exist; mount its disk, or create it",
                self.folder.display()
            )
        })
    }
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its number in its folder, from 1.
    pub backup: u64,
    /// The folder.
    pub folder: PathBuf,
    /// The checkpoint that was published when it was made. The backup may hold some entries more.
    pub checkpoint: Checkpoint,
    /// Files of the store.
    pub files: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes of those that no earlier backup had, which alone were copied.
    pub bytes_copied: u64,
    /// Older backups that were removed.
    pub purged: Vec<u64>,
    /// Files of earlier backups that were found damaged, and were copied again from the store.
    pub mended: u64,
    /// Earlier backups that cannot be restored: a file of theirs is damaged, and the store has it no more.
    pub lost: Vec<u64>,
}

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another backup is being made.
    #[error("a backup into {0} is being made just now; wait until it is done")]
    Busy(PathBuf),
    /// The copy would hold what was erased.
    #[error(
        "what was erased is not off the ledger's disk yet, and the backup would hold it; try again in a minute"
    )]
    Purging,
    /// The ledger stops.
    #[error(
        "the ledger stops, and the backup with it; the earlier ones are whole. Ask again when it runs"
    )]
    Stopped,
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// A file of a backup is not what was written.
    #[error(
        "{path} is damaged: {what}. Every backup that needs it is lost; bring back another one (--backup N)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and for which file of the store it stands.
        what: String,
    },
    /// There is no such backup.
    #[error("{folder} holds no backup{}; there are: {there}", .wanted.map(|n| format!(" {n}")).unwrap_or_default())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The number that was asked for.
        wanted: Option<u64>,
        /// Those that are there.
        there: String,
    },
    /// Nothing is overwritten.
    #[error("{0} is not empty; nothing is overwritten: name a new folder, or an empty one")]
    NotEmpty(PathBuf),
    /// A restore into this folder was not finished.
    #[error("the restore into {0} was not finished; empty the folder, and restore again")]
    Unfinished(PathBuf),
    /// The checkpoint is none of this log.
    #[error("the checkpoint {path}: {source}")]
    Checkpoint {
        /// Where it stands.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// The new log would have the name of the old one.
    #[error(
        "the log {0} cannot continue itself: what was published under this name would be contradicted. Make a key with a \
         new name (`exhibit keygen NEW-ORIGIN`)"
    )]
    SameOrigin(String),
    /// The disk of the backups is not there, as far as can be told.
    #[error(
        "{0} does not exist, and is not created: mount the disk of the backups, or create the folder"
    )]
    NoFolderAbove(PathBuf),
    /// There are backups in the folder by the ledger's list, and it was never a folder of backups.
    #[error(
        "{known} backups should be in {folder}, and it holds none: is its disk mounted? If they were removed on purpose, take \
         their lines out of {list}"
    )]
    Unmounted {
        /// The folder.
        folder: PathBuf,
        /// How many the list names.
        known: usize,
        /// The list.
        list: PathBuf,
    },
    /// The folder holds backups of another log.
    #[error(
        "{folder} holds backups of the log {has}, and this is {origin}: they would share numbers, and one would push out \
         the other's. Name another folder"
    )]
    OtherLog {
        /// The folder.
        folder: PathBuf,
        /// The log whose backups are there.
        has: String,
        /// The log that was to be backed up.
        origin: String,
    },
    /// The folder holds backups of another copy of this log.
    #[error(
        "backup {backup} in {folder} has {size} entries with root {root}, and {what}: this is an older copy of the log, or \
         not the same history. Find out which of the two is the log, and name another folder for this one"
    )]
    OtherHistory {
        /// The folder.
        folder: PathBuf,
        /// Its newest backup.
        backup: u64,
        /// Entries under its checkpoint.
        size: u64,
        /// Their root.
        root: String,
        /// What this store has at that size.
        what: String,
    },
    /// A copy that came back is not the log.
    #[error(
        "{0} was restored from a backup, and no start found yet that it is the newest state of the log: a backup of it would \
         stand as the newest. Start it first (see --restored-is-newest SIZE), or keep the backup that it came from"
    )]
    Copy(PathBuf),
    /// The checkpoint that should be the newest is older than the backup's own.
    #[error(
        "the checkpoint that was given as the newest has {newest} entries, and that of backup {backup} has {size}: it is not \
         the newest. Leave --newest-checkpoint out, or look for one of more entries (checkpoint_file, witnesses, query nodes)"
    )]
    NewestIsOlder {
        /// Its size.
        newest: u64,
        /// The backup.
        backup: u64,
        /// Size of the backup's checkpoint.
        size: u64,
    },
    /// The log signed two histories.
    #[error(
        "at {size} entries the backup has root {found}, and the checkpoint that was given as the newest says {says}: the log \
         has signed two histories, or the backup is of another one. Nothing starts on the copy. Keep both, and show them to \
         whoever relies on the log"
    )]
    NewestContradicts {
        /// Entries under the checkpoint.
        size: u64,
        /// Root of so many entries by the backup.
        found: String,
        /// Root by the checkpoint.
        says: String,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// Stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy(_) => "backup_running",
            Self::Purging => "purge_pending",
            Self::Stopped => "ledger_stopped",
            Self::File { .. } => "file",
            Self::Damaged { .. } => "backup_damaged",
            Self::Missing { .. } => "no_such_backup",
            Self::NotEmpty(_) => "place_taken",
            Self::Unfinished(_) => "restore_unfinished",
            Self::Checkpoint { .. } => "checkpoint_invalid",
            Self::SameOrigin(_) => "same_origin",
            Self::NoFolderAbove(_) | Self::Unmounted { .. } => "backup_folder_away",
            Self::OtherLog { .. } => "backups_of_other_log",
            Self::OtherHistory { .. } => "backups_of_other_history",
            Self::Copy(_) => "restored_copy",
            Self::NewestIsOlder { .. } => "checkpoint_older",
            Self::NewestContradicts { .. } => "checkpoint_contradicted",
            Self::Store(StoreError::InUse { .. }) => "ledger_running",
            Self::Store(_) => "store",
        }
    }

    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Makes a backup of a ledger that does not run, into `folder`, and keeps the newest `keep` there.
///
/// # Errors
/// [`BackupError`]; [`StoreError::InUse`] when a ledger runs on `data_dir`.
pub fn backup_stopped(
    data_dir: &Path,
    checkpoint_file: Option<&Path>,
    folder: &Path,
    keep: u32,
) -> Result<Backup, BackupError> {
    match folder_state(data_dir).map_err(BackupError::file(data_dir))? {
        FolderState::Grown => {}
        FolderState::Restored | FolderState::Readable => {
            return Err(BackupError::Copy(data_dir.to_owned()));
        }
        FolderState::Unfinished => return Err(BackupError::Unfinished(data_dir.to_owned())),
    }
    let file = checkpoint_file.map_or_else(|| default_file(data_dir), Path::to_owned);
    let note = std::fs::read_to_string(&file).map_err(BackupError::file(&file))?;
    let checkpoint = unverified(&note)
        .map_err(|source| BackupError::Checkpoint { path: file.clone(), source })?;
    // Opening would make a new store where there is none.
    let current = data_dir.join("store/CURRENT");
    std::fs::metadata(&current).map_err(BackupError::file(&current))?;
    let store = RocksStore::open(&data_dir.join("store"))?;
    store.purge()?;
    let never = std::sync::atomic::AtomicBool::new(false);
    running::make(&store, data_dir, (checkpoint, note.as_str()), folder, keep, &never)
}

/// What a note says, whoever signed it.
fn unverified(note: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::parse_text(Note::parse(note)?.text())
}
