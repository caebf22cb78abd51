//! The backups that may exist, written down beside the store: an erasure cannot reach them, and says which they are.
//!
//! A backup is written down before its first file is copied, and crossed out after its last one is removed. So a crash leaves
//! one too many here, never one too few. Backups that a person copied elsewhere are not known.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::folder;

const NAME: &str = "backups";

/// A backup that may exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupMade {
    /// The folder that it was put into.
    pub folder: PathBuf,
    /// Its number there.
    pub backup: u64,
    /// Unix nanoseconds, by the ledger's clock; 0 when only its number is known, as may be after a restore.
    pub made_at_ns: u64,
    /// Size of the checkpoint that was published then, likewise. It may hold some entries more.
    pub size: u64,
    /// It is being made, or was cut off: some of its files may be there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
}

/// The backups of the ledger in `data_dir` that may exist, the oldest first.
///
/// # Errors
/// When the list cannot be read.
pub fn backups_made(data_dir: &Path) -> io::Result<Vec<BackupMade>> {
    let text = match fs::read_to_string(data_dir.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    parse(&text)
}

/// The backups of a list, one a line.
pub(super) fn parse(text: &str) -> io::Result<Vec<BackupMade>> {
    text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
}

/// Where the list of a data folder stands.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// Writes a backup down.
pub(super) fn add(data_dir: &Path, made: BackupMade) -> io::Result<()> {
    write(data_dir, &with(data_dir, made)?)
}

/// The text of the list, once this backup is written down.
pub(super) fn text_with(data_dir: &Path, made: BackupMade) -> io::Result<String> {
    text(&with(data_dir, made)?)
}

/// The list with this backup, in place of what it says of it.
fn with(data_dir: &Path, made: BackupMade) -> io::Result<Vec<BackupMade>> {
    let mut all = backups_made(data_dir)?;
    all.retain(|known| (&known.folder, known.backup) != (&made.folder, made.backup));
    all.push(made);
    Ok(all)
}

/// Crosses out those backups of a folder that are gone with all their files, by their numbers.
pub(super) fn cross_out(
    data_dir: &Path,
    folder: &Path,
    is_gone: impl Fn(u64) -> bool,
) -> io::Result<()> {
    let mut all = backups_made(data_dir)?;
    all.retain(|known| known.folder != folder || !is_gone(known.backup));
    write(data_dir, &all)
}

/// Replaces the list.
pub(super) fn write(data_dir: &Path, all: &[BackupMade]) -> io::Result<()> {
    folder::replace(&path(data_dir), text(all)?.as_bytes())
}

/// One a line.
pub(super) fn text(all: &[BackupMade]) -> io::Result<String> {
    let mut text = String::new();
    for made in all {
        text.push_str(&serde_json::to_string(made)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_known_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(backups_made(dir.path()).unwrap().is_empty());
        let made = |folder: &str, backup| BackupMade {
            folder: folder.into(),
            backup,
            made_at_ns: 5,
            size: 7,
            unfinished: false,
        };
        add(dir.path(), BackupMade { unfinished: true, ..made("/a", 2) }).unwrap();
        for one in [made("/a", 1), made("/a", 2), made("/b", 1), made("/a", 2)] {
            add(dir.path(), one).unwrap();
        }
        cross_out(dir.path(), Path::new("/a"), |backup| backup == 1).unwrap();
        assert_eq!(backups_made(dir.path()).unwrap(), [made("/b", 1), made("/a", 2)]);
    }
}
