//! A step that stopped the ledger, remembered until a person confirms.
//!
//! The next process cannot measure it: its monotonic clock begins anew, and a wall clock that was set forward looks like
//! any other. A service manager would start the ledger again at the wrong time.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ClockStep;
use crate::folder;

/// The file `clock-stepped` of a ledger's folder.
#[derive(Debug)]
pub(crate) struct StoppedByClock {
    path: PathBuf,
}

impl StoppedByClock {
    pub(crate) fn within(data_dir: &Path) -> Self {
        Self { path: data_dir.join("clock-stepped") }
    }

    /// The step that stopped the ledger, if one did and nobody confirmed yet. A file that tells no number is as good.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn step(&self) -> io::Result<Option<ClockStep>> {
        Ok(folder::read(&self.path)?.map(|bytes| {
            let step_ns = String::from_utf8_lossy(&bytes).trim().parse().unwrap_or_default();
            ClockStep { step_ns }
        }))
    }

    /// Remembers a step, durably.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn remember(&self, step: ClockStep) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        writeln!(file, "{}", step.step_ns)?;
        file.sync_all()?;
        folder::sync(folder::above(&self.path))
    }

    /// A person confirmed, and the log says so.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => folder::sync(folder::above(&self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: read text that must be UTF-8.
    #[test]
    fn a_step_is_remembered_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let stopped = StoppedByClock::within(folder.path());
        assert_eq!(stopped.step().unwrap(), None);
        stopped.forget().unwrap();
        let step = ClockStep { step_ns: -61_000_000_000 };
        stopped.remember(step).unwrap();
        assert_eq!(StoppedByClock::within(folder.path()).step().unwrap(), Some(step));
        std::fs::write(folder.path().join("clock-stepped"), [0xff; 8]).unwrap();
        assert_eq!(stopped.step().unwrap(), Some(ClockStep { step_ns: 0 }), "it is rotten");
        stopped.forget().unwrap();
        assert_eq!(stopped.step().unwrap(), None);
    }
}
