//! What is fuzzed of the ledger, for `fuzz/` alone: files that come back from another disk, as what reads them sees them.
//!
//! Not part of the crate's face.

pub use crate::backup::fuzz::manifest;
use crate::store::wal::damage_in;

/// Write-ahead logs, before the engine sees them. Whether they were accepted.
pub fn wal(data: &[u8]) -> bool {
    match damage_in("000001.log".to_owned(), data) {
        Ok(None) => true,
        Ok(Some(damage)) => {
            assert!(damage.offset <= data.len() as u64, "a damage behind the end");
            false
        }
        Err(_) => false,
    }
}
