//! Reading a backup back: every byte compared, then everything checked as by fsck, in a folder beside it.
//!
//! Tables, which are nearly all of it and which no engine changes, are hard links there, where the disk has such: that takes no
//! room. All of the backup is read twice: for its SHA-256, and by the check.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tlog::VerifyingKey;

use super::BackupError;
use super::depot::Depot;
use super::manifest::Manifest;
use crate::folder;
use crate::fsck::{FsckReport, fsck_until};
use crate::publish::default_file;

/// The folder beside the files of the backups in which one is read back. What a kill leaves of it the next backup removes
/// before anything else.
const SCRATCH: &str = "read-back";
/// So many findings are told; `exhibit fsck` of a restored copy has all.
const TOLD: usize = 3;

/// Which backups are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// This one.
    Now,
    /// The first in its folder, and then each that stands so many behind the last one that was; none of 0.
    OneIn(u32),
}

impl ReadBack {
    /// Whether a backup of this number is one of them; `last` is the last one that has a verdict.
    pub(super) fn is_due(self, backup: u64, last: Option<u64>) -> bool {
        match self {
            Self::Now => true,
            Self::OneIn(0) => false,
            Self::OneIn(every) => {
                last.is_none_or(|last| backup.saturating_sub(last) >= u64::from(every))
            }
        }
    }
}

/// The keys with which a backup is checked that is read back.
#[derive(Debug, Clone)]
pub struct BackupKeys {
    /// The log's.
    pub log: VerifyingKey,
    /// Those of recorders whose seals are verified. Seals of others are not.
    pub recorders: Vec<VerifyingKey>,
}

impl Depot {
    /// Reads a backup back, and checks all of it. What is said of it is kept by whoever asked.
    ///
    /// # Errors
    /// [`BackupError::NotGood`], [`BackupError::Damaged`]: the backup is there all the same.
    pub(super) fn read_back(
        &self,
        manifest: &Manifest,
        keys: &BackupKeys,
        stop: &AtomicBool,
    ) -> Result<(), BackupError> {
        let scratch = Scratch::beside(self.dir())?;
        let store = scratch.dir.join("store");
        folder::create(&store).map_err(BackupError::file(&store))?;
        for file in &manifest.files {
            self.lend(file, &store.join(&file.name), stop)?;
        }
        let checkpoint = default_file(&scratch.dir);
        fs::write(&checkpoint, &manifest.checkpoint).map_err(BackupError::file(&checkpoint))?;
        let mut goes_on = |_: u64, _: u64| !stop.load(Ordering::Relaxed);
        let report = fsck_until(&scratch.dir, None, &keys.log, &keys.recorders, &mut goes_on)?;
        if stop.load(Ordering::Relaxed) {
            return Err(BackupError::Stopped);
        }
        if report.is_good() {
            return Ok(());
        }
        let (folder, backup) = (self.dir().to_owned(), manifest.backup);
        Err(BackupError::NotGood { folder, backup, findings: in_short(&report) })
    }
}

/// The first findings, and how many there are.
fn in_short(report: &FsckReport) -> String {
    let all: u64 = report.found.values().sum();
    let first: Vec<_> = report.findings.iter().take(TOLD).map(ToString::to_string).collect();
    let more = all.saturating_sub(first.len() as u64);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", first.join("; "))
}

/// Removes what a backup that was killed while it was read back left beside the backups: second names of their files.
pub(super) fn remove_scratch(depot: &Path) -> Result<(), BackupError> {
    let dir = depot.join(SCRATCH);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(BackupError::file(&dir)(error))
        }
        _ => Ok(()),
    }
}

/// Removed when it is dropped.
struct Scratch {
    dir: PathBuf,
    depot: PathBuf,
}

impl Scratch {
    fn beside(depot: &Path) -> Result<Self, BackupError> {
        remove_scratch(depot)?;
        let scratch = Self { dir: depot.join(SCRATCH), depot: depot.to_owned() };
        folder::create(&scratch.dir).map_err(BackupError::file(&scratch.dir))?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_scratch(&self.depot) {
            tracing::error!(%error, "the folder in which a backup was read back cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_then_one_in_so_many() {
        let due = |when: ReadBack| {
            let mut read: Vec<u64> = Vec::new();
            for backup in 1..=7 {
                if when.is_due(backup, read.last().copied()) {
                    read.push(backup);
                }
            }
            read
        };
        assert_eq!(due(ReadBack::OneIn(3)), [1, 4, 7]);
        assert_eq!(due(ReadBack::OneIn(1)), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(due(ReadBack::OneIn(24)), [1]);
        assert_eq!(due(ReadBack::OneIn(0)), [] as [u64; 0]);
        assert!(ReadBack::Now.is_due(2, Some(1)));
        // One that was asked for counts; one that could not be read back does not.
        assert!(!ReadBack::OneIn(3).is_due(4, Some(2)) && ReadBack::OneIn(3).is_due(5, Some(2)));
    }
}
