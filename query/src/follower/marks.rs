//! Older checkpoints, verbatim: what binds the operator's clock to the witnesses'.
//!
//! One is kept for each ten minutes of recorded time (some 20 MB a year), in `checkpoints.ndjson`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rows::RowError;

const FILE: &str = "checkpoints.ndjson";
const INTERVAL_NS: u64 = 600_000_000_000;

/// A checkpoint that was verified when it was the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) size: u64,
    /// `recorded_at` of its last leaf, Unix ns; 0 when it has none.
    pub(crate) recorded_at_ns: u64,
    pub(crate) note: String,
}

/// The text of a file of marks; empty when there is none yet.
pub(crate) fn read(path: &Path) -> Result<String, RowError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(RowError::io(path)),
    }
}

/// One mark a line.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Arc<[Mark]>, RowError> {
    let marks: Result<_, serde_json::Error> = text.lines().map(serde_json::from_str).collect();
    marks.map_err(|error| RowError::Segment { path: path.to_owned(), reason: error.to_string() })
}

#[derive(Debug)]
pub(crate) struct Marks {
    path: PathBuf,
    marks: Arc<[Mark]>,
}

impl Marks {
    /// Reads those kept earlier. An incomplete last line is what a crash leaves, and is dropped.
    pub(crate) fn open(dir: &Path) -> Result<Self, RowError> {
        let path = dir.join(FILE);
        let text = read(&path)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            let file = OpenOptions::new().write(true).open(&path);
            file.and_then(|file| file.set_len(whole as u64)).map_err(RowError::io(&path))?;
        }
        Ok(Self { marks: parse(&path, &text[..whole])?, path })
    }

    pub(crate) fn all(&self) -> Arc<[Mark]> {
        Arc::clone(&self.marks)
    }

    /// Keeps the checkpoint if it is time.
    pub(crate) fn offer(&mut self, mark: Mark) -> Result<(), RowError> {
        let is_due = self.marks.last().is_none_or(|last| {
            mark.size > last.size
                && mark.recorded_at_ns >= last.recorded_at_ns.saturating_add(INTERVAL_NS)
        });
        if !is_due {
            return Ok(());
        }
        // Strings and numbers always serialize.
        let mut line = serde_json::to_string(&mark).unwrap_or_default();
        line.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_all()
        })
        .map_err(RowError::io(&self.path))?;
        self.marks = self.marks.iter().cloned().chain([mark]).collect();
        Ok(())
    }
}
