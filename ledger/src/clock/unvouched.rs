//! A start whose clock stood far ahead of the newest entry, remembered until somebody vouches for that time.
//!
//! What such a start records bears its time. To the next start, at the same wrong time, the newest entry would look as if it
//! were of today.

use std::io;
use std::path::{Path, PathBuf};

use crate::folder;

/// The file `clock-unvouched` of a ledger's folder: the time of the newest entry before such a start, Unix ns.
#[derive(Debug)]
pub(crate) struct Unvouched {
    path: PathBuf,
}

impl Unvouched {
    pub(crate) fn within(data_dir: &Path) -> Self {
        Self { path: data_dir.join("clock-unvouched") }
    }

    /// The newest entry for whose time nobody needs to vouch. A file that tells no number is as good as one of long ago.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn newest(&self, newest_ns: u64) -> io::Result<u64> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.trim().parse().unwrap_or(1).min(newest_ns)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(newest_ns),
            Err(error) => Err(error),
        }
    }

    /// Nobody vouches for what is recorded after this time, Unix ns.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn remember(&self, newest_ns: u64) -> io::Result<()> {
        folder::replace(&self.path, format!("{newest_ns}\n").as_bytes())
    }

    /// Somebody did.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => folder::sync(folder::above(&self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_time_that_counts_is_remembered_until_somebody_vouches() {
        let dir = tempfile::tempdir().unwrap();
        let unvouched = Unvouched::within(dir.path());
        assert_eq!(unvouched.newest(500).unwrap(), 500);
        unvouched.forget().unwrap();
        unvouched.remember(100).unwrap();
        assert_eq!(unvouched.newest(500).unwrap(), 100);
        std::fs::write(dir.path().join("clock-unvouched"), "?").unwrap();
        assert_eq!(unvouched.newest(500).unwrap(), 1);
        unvouched.forget().unwrap();
        assert_eq!(unvouched.newest(500).unwrap(), 500);
    }
}
