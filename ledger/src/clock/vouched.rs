//! The time at which somebody vouched for the ledger's clock last.
//!
//! It never comes from the log: what is recorded while the clock is wrong bears the wrong time, and would vouch for it at
//! the next start.

use std::io;
use std::path::{Path, PathBuf};

use crate::folder;

/// The file `clock-vouched` of a ledger's folder: Unix ns, in decimal digits.
#[derive(Debug)]
pub(crate) struct Vouched {
    path: PathBuf,
}

impl Vouched {
    pub(crate) fn within(data_dir: &Path) -> Self {
        Self { path: data_dir.join("clock-vouched") }
    }

    /// The time, Unix ns. None without a file, and with one that tells no number.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn last(&self) -> io::Result<Option<u64>> {
        let text = folder::read(&self.path)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).trim().parse().ok())
    }

    /// Somebody vouches for the clock, which says `now_ns`. An earlier time than before is written down as well: the clock
    /// was set back, and nobody vouches for that time any more.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn remember(&self, now_ns: u64) -> io::Result<()> {
        folder::replace(&self.path, format!("{now_ns}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: read text that must be UTF-8, or take what is no number for 0.
    #[test]
    fn a_time_is_remembered_and_a_rotten_file_tells_none() {
        let dir = tempfile::tempdir().unwrap();
        let vouched = Vouched::within(dir.path());
        assert_eq!(vouched.last().unwrap(), None);
        for ns in [500, 100] {
            vouched.remember(ns).unwrap();
            assert_eq!(Vouched::within(dir.path()).last().unwrap(), Some(ns));
        }
        for rotten in [&b"?"[..], &[0; 8][..], &[0xff; 8][..], &b""[..]] {
            std::fs::write(dir.path().join("clock-vouched"), rotten).unwrap();
            assert_eq!(vouched.last().unwrap(), None, "{rotten:?}");
        }
    }
}
