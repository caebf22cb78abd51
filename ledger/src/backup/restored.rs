//! What a data folder says of its past: grown here, brought back from a backup, or the beginning of a log that continues
//! another.

use std::fs;
use std::io;
use std::path::Path;

use proto::v1::LogContinued;
use serde::{Deserialize, Serialize};

use crate::folder;

/// There from the first step of a restore until a start found that the copy is the newest state of its log.
const RESTORED: &str = "restored";
/// What entry 0 of the log that begins here says.
const CONTINUES: &str = "continues";

const UNFINISHED: &str = "unfinished\n";
const FINISHED: &str = "finished\n";
const READABLE: &str = "readable\n";

/// Where a data folder comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FolderState {
    /// A ledger made it, and nobody put it back.
    Grown,
    /// It was brought back, and nobody knows yet whether it is the newest.
    Restored,
    /// It was brought back, and some of its disclosures are not what was stored: it may be looked at, and nothing else.
    Readable,
    /// It was not brought back whole.
    Unfinished,
}

/// Where a data folder comes from.
///
/// # Errors
/// The operating system's.
pub(crate) fn folder_state(data_dir: &Path) -> io::Result<FolderState> {
    match fs::read_to_string(data_dir.join(RESTORED)) {
        Ok(text) if text == FINISHED => Ok(FolderState::Restored),
        Ok(text) if text == READABLE => Ok(FolderState::Readable),
        Ok(_) => Ok(FolderState::Unfinished),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(FolderState::Grown),
        Err(error) => Err(error),
    }
}

/// The restore into this folder begins. From now on nothing starts on it.
pub(super) fn begin(data_dir: &Path) -> io::Result<()> {
    folder::replace(&data_dir.join(RESTORED), UNFINISHED.as_bytes())
}

/// The restore is done, and checked.
pub(super) fn finish(data_dir: &Path) -> io::Result<()> {
    folder::replace(&data_dir.join(RESTORED), FINISHED.as_bytes())
}

/// The restore is done, and only disclosures are damaged.
pub(super) fn finish_readable(data_dir: &Path) -> io::Result<()> {
    folder::replace(&data_dir.join(RESTORED), READABLE.as_bytes())
}

/// The copy is the newest state of its log, or nothing of a log is here yet.
///
/// # Errors
/// The operating system's.
pub(crate) fn forget_restored(data_dir: &Path) -> io::Result<()> {
    match fs::remove_file(data_dir.join(RESTORED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| folder::sync(data_dir)),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Continues {
    checkpoint: String,
    restored_size: u64,
}

/// Writes down what the log that begins in this folder continues.
pub(super) fn write_continued(data_dir: &Path, continued: &LogContinued) -> io::Result<()> {
    let LogContinued { checkpoint, restored_size } = continued.clone();
    let text = serde_json::to_vec_pretty(&Continues { checkpoint, restored_size })?;
    folder::replace(&data_dir.join(CONTINUES), &text)
}

/// What the log that begins in this folder continues, if anything.
///
/// # Errors
/// When the file cannot be read, or is not what was written.
pub(crate) fn continued(data_dir: &Path) -> io::Result<Option<LogContinued>> {
    let text = match fs::read(data_dir.join(CONTINUES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let Continues { checkpoint, restored_size } = serde_json::from_slice(&text)?;
    Ok(Some(LogContinued { checkpoint, restored_size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_knows_where_it_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let state = || folder_state(dir.path()).unwrap();
        assert_eq!(state(), FolderState::Grown);
        begin(dir.path()).unwrap();
        assert_eq!(state(), FolderState::Unfinished);
        fs::write(dir.path().join(RESTORED), "").unwrap();
        assert_eq!(state(), FolderState::Unfinished);
        finish_readable(dir.path()).unwrap();
        assert_eq!(state(), FolderState::Readable);
        finish(dir.path()).unwrap();
        assert_eq!(state(), FolderState::Restored);
        forget_restored(dir.path()).unwrap();
        forget_restored(dir.path()).unwrap();
        assert_eq!(state(), FolderState::Grown);
    }

    #[test]
    fn what_is_continued_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(continued(dir.path()).unwrap(), None);
        let old = LogContinued { checkpoint: "old\n7\n".into(), restored_size: 5 };
        write_continued(dir.path(), &old).unwrap();
        assert_eq!(continued(dir.path()).unwrap(), Some(old));
        fs::write(dir.path().join(CONTINUES), "{}").unwrap();
        assert!(continued(dir.path()).is_err());
    }
}
