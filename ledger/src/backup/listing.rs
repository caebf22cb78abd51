//! Which backups a folder holds, for whoever has to choose one.

use std::io::ErrorKind;
use std::path::Path;

use super::BackupError;
use super::depot::{Depot, Verdict};

/// A backup of a folder, as its manifest tells it. Its files are compared when it is restored, not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupListed {
    /// Its number.
    pub backup: u64,
    /// When it was made, in Unix nanoseconds by the ledger's clock.
    pub made_at_ns: u64,
    /// Origin of the log.
    pub origin: String,
    /// Entries under the checkpoint that was published then. The backup may hold some more.
    pub size: u64,
    /// Root of those entries.
    pub root: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// What its read-back said; `None` of one that was not read back.
    pub verdict: Option<Verdict>,
}

/// Number of a backup, and why its manifest cannot be read.
pub type UnreadableBackup = (u64, BackupError);

/// The backups of a folder, the oldest first; and those of which the manifest cannot be read, with the reason.
///
/// # Errors
/// [`BackupError::Missing`] when there is no folder of backups.
pub fn backups_in(
    folder: &Path,
) -> Result<(Vec<BackupListed>, Vec<UnreadableBackup>), BackupError> {
    let depot = Depot::look(folder)?;
    // One that cannot be read says nothing, as one that is not there.
    let verdicts = depot.verdicts().unwrap_or_default();
    let (mut listed, mut unreadable) = (Vec::new(), Vec::new());
    for number in depot.numbers()? {
        match depot.find(Some(number)) {
            Ok(manifest) => listed.push(BackupListed {
                backup: manifest.backup,
                made_at_ns: manifest.made_at_ns,
                bytes: manifest.bytes(),
                verdict: verdicts.of(manifest.backup),
                origin: manifest.origin,
                size: manifest.size,
                root: manifest.root,
            }),
            // It went meanwhile.
            Err(BackupError::Missing { .. }) => {}
            Err(BackupError::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => unreadable.push((number, error)),
        }
    }
    Ok((listed, unreadable))
}
