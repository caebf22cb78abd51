//! Older checkpoints, verbatim: what binds the operator's clock to the witnesses'.
//!
//! One is kept for each ten minutes of recorded time (some 20 MB a year, with cosignatures a few times as much), in
//! `checkpoints.ndjson`. Cosignatures come after their checkpoint: the newest one that is kept gives way to the same with
//! more of them, and one without is followed by the next that has some.

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

/// One mark a line; of a size, the newest counts.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Arc<[Mark]>, RowError> {
    let marks: Result<Vec<Mark>, _> = text.lines().map(serde_json::from_str).collect();
    let marks = marks.map_err(|error: serde_json::Error| RowError::Segment {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(marks.into_iter().fold(Vec::new(), with).into())
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
            let later = mark.recorded_at_ns >= last.recorded_at_ns.saturating_add(INTERVAL_NS);
            let better = mark.cosignatures() > last.cosignatures();
            (mark.size > last.size && (later || better && last.cosignatures() == 0))
                || (mark.size == last.size && better)
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
        self.marks = with(self.marks.to_vec(), mark).into();
        Ok(())
    }
}

impl Mark {
    /// How many signed beside the log, which may do so with two keys.
    fn cosignatures(&self) -> usize {
        let origin = self.note.lines().next().unwrap_or_default();
        let signers = self.note.lines().filter_map(|line| line.strip_prefix("\u{2014} "));
        signers.filter(|line| line.split(' ').next() != Some(origin)).count()
    }
}

/// The newest of a size is the one that counts.
fn with(mut marks: Vec<Mark>, mark: Mark) -> Vec<Mark> {
    marks.pop_if(|last| last.size == mark.size);
    marks.push(mark);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(size: u64, minutes: u64, cosignatures: usize) -> Mark {
        // By two keys of the log.
        let log = "\u{2014} log.example AAAA\n".repeat(2);
        let witnesses = "\u{2014} name AAAA\n".repeat(cosignatures);
        let note = format!("log.example\n{size}\nroot\n\n{log}{witnesses}");
        Mark { size, recorded_at_ns: minutes * 60_000_000_000, note }
    }

    #[test]
    fn cosigned_ones_are_preferred() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::open(dir.path()).unwrap();
        let offers = [
            (mark(1, 1, 0), true),
            (mark(2, 2, 0), false),
            // The first that is cosigned, then the same once more.
            (mark(3, 3, 1), true),
            (mark(3, 3, 2), true),
            (mark(3, 3, 1), false),
            (mark(4, 4, 3), false),
            (mark(5, 13, 0), true),
            (mark(5, 13, 2), true),
        ];
        for (offered, is_kept) in offers {
            marks.offer(offered.clone()).unwrap();
            assert_eq!(marks.all().last() == Some(&offered), is_kept, "{offered:?}");
        }
        let kept = [mark(1, 1, 0), mark(3, 3, 2), mark(5, 13, 2)];
        assert_eq!(*marks.all(), kept);
        assert_eq!(*Marks::open(dir.path()).unwrap().all(), kept);
    }
}
