//! Whose a store is: whoever opens it writes to it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The store is opened as by a start, and what is written then would be this user's. Nothing was touched.
#[derive(Debug, thiserror::Error)]
#[error(
    "{store} belongs to user {owner}, and this is user {user}: whoever opens it writes to it, and the ledger could not open \
     what another user wrote. Run this as that user (sudo -u '#{owner}' exhibit …), or on a copy of your own"
)]
pub struct OtherOwner {
    /// The store.
    pub store: PathBuf,
    /// The user that it belongs to, by number.
    pub owner: u32,
    /// The user of this process.
    pub user: u32,
}

/// Whether the store of a folder may be opened by this user. What is not there is left to whoever opens it.
///
/// # Errors
/// [`OtherOwner`].
pub(crate) fn may_open(data_dir: &Path) -> Result<(), OtherOwner> {
    let store = data_dir.join("store");
    match fs::metadata(&store) {
        Ok(found) => of_owner(store, found.uid(), identity::user_of_process()),
        Err(_) => Ok(()),
    }
}

fn of_owner(store: PathBuf, owner: u32, user: u32) -> Result<(), OtherOwner> {
    if owner == user { Ok(()) } else { Err(OtherOwner { store, owner, user }) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
