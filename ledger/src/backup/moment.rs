//! A moment of the store, in hard links within the data folder, and what an erasure has to do with it.
//!
//! A moment holds whatever is in the store. So a backup is written down before another can erase anything, and an erasure reads
//! what is written down right before its commit: both under one lock. Whichever comes first, either the erasure names the
//! backup, or the backup sees what is to be purged, and is not made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BackupError;
use crate::store::RocksStore;
use crate::store::moment::{moment_in, remove_leftovers};

/// Held from a moment of the store until its backup is written down, and from the reading of the list until the erasure that
/// names it is committed.
pub(crate) type MomentLock = Arc<tokio::sync::Mutex<()>>;

/// A moment of the store, in hard links; removed when it is dropped.
pub(super) struct Snapshot {
    pub(super) dir: PathBuf,
    data_dir: PathBuf,
}

impl Snapshot {
    pub(super) fn take(store: &RocksStore, data_dir: &Path) -> Result<Self, BackupError> {
        let data_dir = data_dir.canonicalize().map_err(BackupError::file(data_dir))?;
        remove_leftovers(&data_dir).map_err(BackupError::file(&data_dir))?;
        // From here on it is removed, whatever comes.
        let snapshot = Self { dir: moment_in(&data_dir), data_dir };
        store.snapshot(&snapshot.dir)?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = remove_leftovers(&self.data_dir) {
            let dir = self.dir.display();
            tracing::error!(%error, %dir, "the moment of the store that was copied cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::sync::atomic::AtomicBool;

    use tlog::{Checkpoint, Hash, SigningKey, TreeSize};

    use super::super::list::backups_made;
    use super::super::making::{Making, make};
    use super::*;
    use crate::store::moment::holds_moment;

    /// Looks, when it is let go, whether there is a moment, and a line of its backup.
    struct Alone<'a> {
        data_dir: &'a Path,
        is_written_down: &'a Cell<bool>,
    }

    impl Drop for Alone<'_> {
        fn drop(&mut self) {
            let lines = backups_made(self.data_dir).unwrap_or_default();
            let is_written_down = lines.iter().any(|line| line.unfinished);
            self.is_written_down.set(is_written_down && holds_moment(self.data_dir));
        }
    }

    /// Break it: in `make`, call `alone` behind the moment, or let go what it gave before the line is added.
    #[test]
    fn nobody_erases_between_a_moment_and_the_line_of_its_backup() {
        let scratch = tempfile::tempdir().unwrap();
        let (data_dir, folder) = (scratch.path().join("data"), scratch.path().join("backups"));
        fs::create_dir(&data_dir).unwrap();
        let store = RocksStore::open(&data_dir.join("store")).unwrap();
        let log = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let (origin, root) = ("log.example".to_owned(), Hash::empty_root());
        let checkpoint = Checkpoint { origin, size: TreeSize(0), root };
        let note = checkpoint.sign(&log);
        let making = Making {
            store: &store,
            data_dir: &data_dir,
            checkpoint,
            note: &note,
            folder: &folder,
            keep: 1,
            read_back: None,
            stop: &AtomicBool::new(false),
        };
        let is_written_down = Cell::new(false);
        let alone = || {
            assert!(!holds_moment(&data_dir), "a moment, and somebody may be erasing");
            Alone { data_dir: &data_dir, is_written_down: &is_written_down }
        };
        make(&making, alone).unwrap();
        assert!(is_written_down.get(), "somebody may erase, and would not name this backup");
        assert!(!holds_moment(&data_dir));
        assert!(backups_made(&data_dir).unwrap().iter().all(|line| !line.unfinished));
    }
}
