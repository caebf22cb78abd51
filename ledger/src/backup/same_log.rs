//! A folder of backups belongs to one log, and to one history of it.
//!
//! Nothing is written down for that: the newest backup names its log, and the root of its entries. Whatever is backed up
//! after it must be that log, grown. So neither a log that continues another one nor an older copy that was started by
//! mistake can take numbers there, and push out what is kept.

use tlog::{Checkpoint, TreeSize};

use super::BackupError;
use super::depot::Depot;
use crate::store::Store;
use crate::tree::root_of_first;

/// Whether a store with this published checkpoint may be put beside what stands in the folder.
pub(super) fn check(
    depot: &Depot,
    store: &dyn Store,
    published: &Checkpoint,
) -> Result<(), BackupError> {
    let Some(newest) = depot.manifests()?.pop() else { return Ok(()) };
    let folder = depot.dir().to_owned();
    if newest.origin != published.origin {
        let origin = published.origin.clone();
        return Err(BackupError::OtherLog { folder, has: newest.origin, origin });
    }
    let stored = store.head()?.map_or(0, |head| head.size.0);
    let what = if stored < newest.size {
        format!("this store has {stored} in all")
    } else {
        let found = root_of_first(store, TreeSize(newest.size))?.to_string();
        if found == newest.root {
            return Ok(());
        }
        format!("this store has root {found} there")
    };
    let (backup, size, root) = (newest.backup, newest.size, newest.root);
    Err(BackupError::OtherHistory { folder, backup, size, root, what })
}
