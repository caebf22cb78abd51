//! What must be so before a check means anything, and does no harm.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tlog::{Checkpoint, Note, VerifyingKey};

use crate::publish::default_file;

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
    /// The store is opened as by a start, and what is written then would be this user's.
    #[error(
        "{store} belongs to user {owner}, and this is user {user}: whoever opens it writes to it, and the ledger could not open \
         what another user wrote. Run this as that user (sudo -u '#{owner}' exhibit …), or on a copy of your own"
    )]
    OtherOwner {
        /// The store.
        store: PathBuf,
        /// The user that it belongs to, by number.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
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

/// Whether the store of a folder may be opened by this user. What is not there is left to whoever opens it.
///
/// # Errors
/// [`FsckRefusal::OtherOwner`].
pub(crate) fn may_open(data_dir: &Path) -> Result<(), FsckRefusal> {
    let store = data_dir.join("store");
    match fs::metadata(&store) {
        Ok(found) => of_owner(store, found.uid(), identity::user_of_process()),
        Err(_) => Ok(()),
    }
}

fn of_owner(store: PathBuf, owner: u32, user: u32) -> Result<(), FsckRefusal> {
    if owner == user { Ok(()) } else { Err(FsckRefusal::OtherOwner { store, owner, user }) }
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

    #[test]
    fn nobody_but_its_owner_writes_to_a_store() {
        assert!(of_owner("store".into(), 998, 998).is_ok());
        let refused = of_owner("store".into(), 998, 0).unwrap_err().to_string();
        assert!(refused.contains("user 998") && refused.contains("sudo -u"), "{refused}");
        let dir = tempfile::tempdir().unwrap();
        let owner = fs::metadata(dir.path()).unwrap().uid();
        assert_eq!(owner, identity::user_of_process(), "whose are files of this process?");
    }
}
