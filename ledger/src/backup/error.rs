//! Why a backup was not made, or not brought back.

use std::io;
use std::path::{Path, PathBuf};

use tlog::CheckpointError;

use crate::store::{OtherOwner, StoreError};

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another backup is being made.
    #[error("a backup into {0} is being made just now; wait until it is done")]
    Busy(PathBuf),
    /// Somebody brings a backup back.
    #[error(
        "a backup is being brought back from {0} just now (`exhibit restore`), and none of its files may go meanwhile; try \
         again when that is done"
    )]
    BeingRead(PathBuf),
    /// The copy would be lost with what it is a copy of.
    #[error(
        "{folder} lies in the data folder {data_dir} and would be lost with it; name a folder on another disk"
    )]
    Within {
        /// The folder of the backups.
        folder: PathBuf,
        /// The ledger's.
        data_dir: PathBuf,
    },
    /// It was read back, and something is not as it must be.
    #[error(
        "backup {backup} in {folder} was made and read back, and is not good: {findings}. It stays, and so do all earlier \
         ones. Most likely the ledger's own store is damaged: stop the ledger and run `exhibit fsck`"
    )]
    NotGood {
        /// The folder.
        folder: PathBuf,
        /// Its number.
        backup: u64,
        /// What was found, in short.
        findings: String,
    },
    /// It was made, and nobody knows whether it is good.
    #[error(
        "backup {backup} in {folder} was made, and could not be read back: {why}. Whether it is good nobody knows; of those on \
         time the next one is read back"
    )]
    NotReadBack {
        /// The folder.
        folder: PathBuf,
        /// Its number.
        backup: u64,
        /// What was in the way.
        why: String,
    },
    /// The copy would hold what was erased.
    #[error(
        "what was erased is not off the ledger's disk yet, and the backup would hold it. Mostly that is over in a minute; while \
         `purge_pending` does not go, /readyz of the ledger says why, or its log"
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
    #[error("{path} is damaged: {what}. {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and for which file of the store it stands.
        what: String,
        /// What is lost with it, and which backups are not.
        remedy: String,
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
    /// Somebody else's files stand in the folder.
    #[error(
        "{folder} holds {name:?}, and no backups: they go into a folder of their own, which is then for this user alone. Name a new \
         folder, or an empty one"
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// What stands there.
        name: String,
    },
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
    /// The store is another user's.
    #[error(transparent)]
    OtherOwner(#[from] OtherOwner),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    /// Stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy(_) => "backup_running",
            Self::BeingRead(_) => "backup_being_read",
            Self::Within { .. } => "backup_within_data",
            Self::NotGood { .. } => "backup_not_good",
            Self::NotReadBack { .. } => "backup_not_read_back",
            Self::Purging => "purge_pending",
            Self::Stopped => "ledger_stopped",
            Self::File { .. } => "file",
            Self::Damaged { .. } => "backup_damaged",
            Self::Missing { .. } => "no_such_backup",
            Self::NotEmpty(_) => "place_taken",
            Self::Unfinished(_) => "restore_unfinished",
            Self::Checkpoint { .. } => "checkpoint_invalid",
            Self::SameOrigin(_) => "same_origin",
            Self::Foreign { .. } => "backup_folder_taken",
            Self::NoFolderAbove(_) | Self::Unmounted { .. } => "backup_folder_away",
            Self::OtherLog { .. } => "backups_of_other_log",
            Self::OtherHistory { .. } => "backups_of_other_history",
            Self::Copy(_) => "restored_copy",
            Self::NewestIsOlder { .. } => "checkpoint_older",
            Self::NewestContradicts { .. } => "checkpoint_contradicted",
            Self::OtherOwner(_) => "other_owner",
            Self::Store(StoreError::InUse { .. }) => "ledger_running",
            Self::Store(_) => "store",
        }
    }

    /// Whether a backup was made and read back, and is not what it should be.
    pub(super) fn is_of_a_backup(&self) -> bool {
        matches!(self, Self::NotGood { .. } | Self::Damaged { .. })
    }

    /// Whether there is a backup all the same.
    pub(super) fn was_made(&self) -> bool {
        self.is_of_a_backup() || matches!(self, Self::NotReadBack { .. })
    }

    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
