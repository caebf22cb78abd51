//! Files that come back from another disk: manifests of backups, write-ahead logs. Who reads them is private to the ledger, and
//! so are the targets.

pub use ledger::fuzz::{manifest, wal};
