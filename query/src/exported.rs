//! Checkpoints that packages were proved against, verbatim: whoever got such a package may keep its checkpoint, and ask
//! later whether the log only grew from there.
//!
//! The newest are kept in `exported.ndjson`. The file is replaced as a whole, so that a crash leaves the old or the new.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::follower::marks::{self, Mark};
use crate::rows::RowError;

const FILE: &str = "exported.ndjson";
/// Most that are kept; a package carries a proof for each.
const MAX_KEPT: usize = 100;

#[derive(Debug)]
pub(crate) struct Exported {
    path: PathBuf,
    /// Ascending by size.
    marks: Mutex<Arc<[Mark]>>,
}

impl Exported {
    /// Reads those kept earlier.
    pub(crate) fn open(dir: &Path) -> Result<Self, RowError> {
        let path = dir.join(FILE);
        let marks = marks::parse(&path, &marks::read(&path)?)?;
        Ok(Self { path, marks: Mutex::new(marks) })
    }

    pub(crate) fn all(&self) -> Arc<[Mark]> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps one, unless it is known.
    pub(crate) fn keep(&self, mark: Mark) -> Result<(), RowError> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(place) = marks.binary_search_by_key(&mark.size, |known| known.size) else {
            return Ok(());
        };
        let mut kept = marks.to_vec();
        kept.insert(place, mark);
        let surplus = kept.len().saturating_sub(MAX_KEPT);
        let kept: Arc<[Mark]> = kept.drain(surplus..).collect();
        self.save(&kept).map_err(RowError::io(&self.path))?;
        *marks = kept;
        Ok(())
    }

    fn save(&self, marks: &[Mark]) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = fs::File::create(&new)?;
        for mark in marks {
            serde_json::to_writer(&mut file, mark)?;
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        fs::rename(new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(size: u64) -> Mark {
        Mark { size, recorded_at_ns: 0, note: format!("log.example\n{size}\n") }
    }

    #[test]
    fn the_newest_are_kept_in_order_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let exported = Exported::open(dir.path()).unwrap();
        for size in [7, 3, 7].into_iter().chain(10..10 + MAX_KEPT as u64) {
            exported.keep(mark(size)).unwrap();
        }
        let sizes = |exported: &Exported| -> Vec<u64> {
            exported.all().iter().map(|mark| mark.size).collect()
        };
        assert_eq!(sizes(&exported), (10..110).collect::<Vec<_>>());
        let again = Exported::open(dir.path()).unwrap();
        assert_eq!(again.all(), exported.all());
        again.keep(mark(4)).unwrap();
        assert_eq!(sizes(&again)[0], 10);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
