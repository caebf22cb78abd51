//! What must be so before a check means anything, and does no harm.

use std::fs;
use std::path::{Path, PathBuf};

use tlog::{Checkpoint, Note, VerifyingKey};

use crate::publish::default_file;
use crate::store::{OtherOwner, may_open};

/// Why a folder is not checked with this key, or by this user. Nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum FsckRefusal {
    /// Each finding would say that another log's key did not sign this one.
    #[error(
        "{checkpoint} is of the log {found}, and the vkey that was given is of {given}: give the vkey of {found}, or name \
         the folder of {given}"
    )]
    OtherLog {
        /// The checkpoint of the folder.
        checkpoint: PathBuf,
        /// The log that it is of.
        found: String,
        /// The log whose vkey was given.
        given: String,
    },
    /// The store is another user's.
    #[error(transparent)]
    OtherOwner(#[from] OtherOwner),
}

/// Whether [`fsck`](super::fsck()) may be run on a folder, with the log's key. What cannot be read is left to the check,
/// which says so.
///
/// # Errors
/// [`FsckRefusal`].
pub fn may_check(
    data_dir: &Path,
    checkpoint_file: Option<&Path>,
    log: &VerifyingKey,
) -> Result<(), FsckRefusal> {
    may_open(data_dir)?;
    let checkpoint = checkpoint_file.map_or_else(|| default_file(data_dir), Path::to_owned);
    let Ok(note) = fs::read_to_string(&checkpoint) else { return Ok(()) };
    let parsed = Note::parse(&note).ok().and_then(|note| Checkpoint::parse_text(note.text()).ok());
    match parsed {
        Some(Checkpoint { origin: found, .. }) if found != log.name() => {
            Err(FsckRefusal::OtherLog { checkpoint, found, given: log.name().to_owned() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tlog::{Hash, SigningKey, TreeSize};

    use super::*;

    #[test]
    fn the_key_of_another_log_is_told_before_anything_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let key = |name| SigningKey::from_seed(name, [1; 32]).unwrap();
        let (log, other) = (key("log.example"), key("other.example"));
        let check = |file, key: &SigningKey| may_check(dir.path(), file, &key.verifying_key());
        assert!(check(None, &log).is_ok(), "what is missing is for the check to tell");
        let checkpoint =
            Checkpoint { origin: "log.example".into(), size: TreeSize(7), root: Hash([1; 32]) };
        fs::write(dir.path().join("checkpoint"), checkpoint.sign(&log)).unwrap();
        assert!(check(None, &log).is_ok());
        let refused = check(None, &other).unwrap_err().to_string();
        assert!(
            refused.contains("log log.example") && refused.contains("other.example"),
            "{refused}"
        );
        assert!(check(Some(Path::new("nowhere")), &other).is_ok());
    }
}
