//! A moment of the store, in hard links within the data folder, and what an erasure has to do with it.
//!
//! A moment holds whatever is in the store. So a backup is written down before another can erase anything, and an erasure reads
//! what is written down right before its commit: both under one lock. Whichever comes first, either the erasure names the
//! backup, or the backup sees what is to be purged, and is not made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BackupError;
use crate::store::RocksStore;

/// Held from a moment of the store until its backup is written down, and from the reading of the list until the erasure that
/// names it is committed.
pub(crate) type MomentLock = Arc<tokio::sync::Mutex<()>>;

/// The folder within the data folder in which a moment of the store is kept while it is copied.
const SNAPSHOT: &str = "snapshot";

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
        let snapshot = Self { dir: data_dir.join(SNAPSHOT), data_dir };
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

/// Whether a moment of the store stands in the data folder: other names of files that may be gone from the store.
pub(crate) fn holds_moment(data_dir: &Path) -> bool {
    moments(data_dir).iter().any(|moment| moment.exists())
}

/// Where a moment of the store stands; the second name is the engine's, until it is whole.
fn moments(data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join(SNAPSHOT), data_dir.join(format!("{SNAPSHOT}.tmp"))]
}

/// Removes what a backup that was cut off left in the data folder: links that would keep tables, and what was erased
/// from them, on the disk.
///
/// # Errors
/// The operating system's.
pub(crate) fn remove_leftovers(data_dir: &Path) -> io::Result<()> {
    for moment in moments(data_dir) {
        match fs::remove_dir_all(moment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
