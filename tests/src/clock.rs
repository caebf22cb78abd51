//! A wall clock that a test sets, for processes that are started with its environment: see `faults/clock.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// The wall clock of some processes.
pub struct Clock {
    dir: TempDir,
}

impl Clock {
    /// A clock that is right.
    ///
    /// # Errors
    /// When the layer cannot be compiled.
    pub fn right() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("exhibit-clock-").tempdir()?;
        let clock = Self { dir };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&clock.library(), &source])
            .status()
            .context("cc")?;
        ensure!(compiled.success(), "cc {}: {compiled}", source.display());
        clock.set(0)?;
        Ok(clock)
    }

    /// What a process needs in its environment.
    pub fn environment(&self) -> Vec<(String, PathBuf)> {
        vec![
            ("LD_PRELOAD".to_owned(), self.library()),
            ("FAULTS_CLOCK".to_owned(), self.dir.path().join("offset")),
        ]
    }

    /// Sets it so many seconds from the right time.
    ///
    /// # Errors
    /// When the disk of the test fails.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let new = self.dir.path().join("new");
        fs::write(&new, (seconds * 1_000_000_000).to_string())?;
        Ok(fs::rename(new, self.dir.path().join("offset"))?)
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }
}

/// The right time, in Unix nanoseconds.
///
/// # Errors
/// When it lies before 1970.
pub fn now_ns() -> Result<u64> {
    let now: Duration = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_nanos())?)
}
