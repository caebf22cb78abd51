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
mod error;
pub(crate) mod fuzz;
mod known;
mod list;
mod listing;
mod making;
mod manifest;
mod moment;
mod read_back;
mod restore;
mod restored;
mod running;
mod same_log;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, CheckpointError, Note};

pub use self::depot::Verdict;
pub use self::error::BackupError;
pub use self::list::{BackupMade, backups_made};
pub use self::listing::{BackupListed, UnreadableBackup, backups_in};
use self::making::{Making, make};
pub(crate) use self::moment::MomentLock;
pub use self::read_back::{BackupKeys, ReadBack};
pub use self::restore::{Restore, Restored, restore, restored_checkpoint};
pub(crate) use self::restored::{FolderState, continued, folder_state, forget_restored};
pub(crate) use self::running::{BackupParts, Backups};
use crate::folder;
use crate::publish::default_file;
use crate::store::moment::remove_leftovers;
use crate::store::{RocksStore, Store, may_open};

/// Table `[ledger.backup]`: where the running ledger puts backups of itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// Folder of the backups, best on another machine's disk. It holds every disclosure with its key: whoever can read it
    /// can read all evidence. The log's and the recorder's signing keys are not in it.
    pub folder: PathBuf,
    /// How many backups are kept; the oldest ones go. The newest one that was read back and is good stays beside them, and
    /// while the last one that was read back is not good, all stay.
    #[serde(default = "default_keep")]
    pub keep: u32,
    /// A backup is made so often, in minutes, while the ledger runs. Left out: only when it is asked for
    /// (`exhibit backup`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<u32>,
    /// Of the backups on time one in so many is read back and checked as by `exhibit fsck`: the first in a folder, and so on;
    /// and each while the last one that was is not good. That reads all of the backup twice. More than `keep` is of little
    /// use. 0: none, but when it is asked for (`exhibit backup --verify`), or damage was met.
    #[serde(default = "default_verify_every")]
    pub verify_every: u32,
}

/// As many as `keep`: of the backups that are there one was read back.
const DEFAULT_KEEP: u32 = 7;

fn default_keep() -> u32 {
    DEFAULT_KEEP
}

fn default_verify_every() -> u32 {
    DEFAULT_KEEP
}

impl BackupConfig {
    /// What may be a mistake, if anything.
    pub fn doubt(&self) -> Option<String> {
        let BackupConfig { keep, verify_every, .. } = self;
        let is_late = self.every_minutes.is_some() && verify_every > keep;
        is_late.then(|| {
            format!(
                "backup.verify_every: one in {verify_every} is read back, and {keep} are kept (`keep`): between two all others go \
                 unseen, and the only one that is known to be good is the oldest. Let it be at most {keep}"
            )
        })
    }

    /// What is wrong with it, if anything.
    pub(crate) fn mistake(&self, data_dir: &Path) -> Option<String> {
        if self.keep == 0 {
            return Some("backup.keep: at least 1 backup must be kept".to_owned());
        }
        if self.every_minutes == Some(0) {
            return Some("backup.every_minutes: at least 1, or leave it out".to_owned());
        }
        if making::lies_within(&self.folder, data_dir) {
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
    /// Whether it was read back and found good.
    pub verified: bool,
    /// The last backup with a verdict, if that is bad: it was read back, or found to have lost a file. Until one is good none goes.
    pub not_good: Option<u64>,
}

/// Makes a backup of a ledger that does not run, into `folder`, and keeps the newest `keep` there. With keys it is read back
/// and checked with them.
///
/// # Errors
/// [`BackupError`]; [`StoreError::InUse`](crate::store::StoreError::InUse) when a ledger runs on `data_dir`.
pub fn backup_stopped(
    data_dir: &Path,
    checkpoint_file: Option<&Path>,
    folder: &Path,
    keep: u32,
    verify: Option<&BackupKeys>,
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
    may_open(data_dir)?;
    let store = RocksStore::open(&data_dir.join("store"))?;
    // What a backup that was killed left here would keep what was erased on the disk.
    remove_leftovers(data_dir).map_err(BackupError::file(data_dir))?;
    store.purge()?;
    let making = Making {
        store: &store,
        data_dir,
        checkpoint,
        note: &note,
        folder,
        keep,
        read_back: verify.map(|keys| (ReadBack::Now, keys)),
        stop: &std::sync::atomic::AtomicBool::new(false),
    };
    // Nobody erases meanwhile: the store is this process's.
    make(&making, || {})
}

/// What a note says, whoever signed it.
fn unverified(note: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::parse_text(Note::parse(note)?.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: let `default_verify_every` be more than `default_keep`.
    #[test]
    fn of_the_backups_that_are_kept_one_is_read_back() {
        let config = |more: &str| -> BackupConfig {
            serde_json::from_str(&format!(r#"{{"folder": "backups"{more}}}"#)).unwrap()
        };
        let on_time = r#", "every_minutes": 60"#;
        assert_eq!(config(on_time).doubt(), None);
        assert_eq!(config(&format!(r#"{on_time}, "keep": 24, "verify_every": 24"#)).doubt(), None);
        let told = config(&format!(r#"{on_time}, "keep": 3"#)).doubt().unwrap();
        assert!(told.contains("one in 7") && told.contains("at most 3"), "{told}");
        // None is made on time, or somebody wants none to be read back.
        assert_eq!(config(r#", "keep": 3"#).doubt(), None);
        assert_eq!(config(&format!(r#"{on_time}, "verify_every": 0"#)).doubt(), None);
    }
}
