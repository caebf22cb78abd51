//! Records of one length, sorted in bounded memory: what does not fit waits in files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of records that are kept in memory.
const IN_MEMORY: usize = 16 << 20;

/// A set that is filled first, and read in order then.
pub(super) struct Sorted<const N: usize> {
    records: Vec<[u8; N]>,
    runs: Vec<Run<N>>,
    /// Where the files are. Not where temporary files are: that is often memory, too.
    folder: PathBuf,
    /// So many records are kept in memory.
    bound: usize,
    failed: Option<io::Error>,
}

/// Sorted records in a file that the system removes with this process.
struct Run<const N: usize> {
    file: File,
    last: [u8; N],
}

type InOrder<const N: usize> = Box<dyn Iterator<Item = io::Result<[u8; N]>>>;

impl<const N: usize> Sorted<N> {
    pub(super) fn new(folder: &Path) -> Self {
        Self::bounded(folder, IN_MEMORY / N)
    }

    pub(super) fn bounded(folder: &Path, bound: usize) -> Self {
        let folder = folder.to_owned();
        Self { records: Vec::new(), runs: Vec::new(), folder, bound, failed: None }
    }

    /// When the folder has no room, [`Sorted::in_order`] says so.
    pub(super) fn insert(&mut self, record: [u8; N]) {
        // Most often the one before.
        if self.failed.is_some() || self.records.last() == Some(&record) {
            return;
        }
        self.records.push(record);
        if self.records.len() < self.bound {
            return;
        }
        self.sort();
        if self.records.len() < self.bound / 2 {
            return;
        }
        if let Err(error) = self.write_down() {
            self.failed = Some(error);
        }
    }

    fn sort(&mut self) {
        self.records.sort_unstable();
        self.records.dedup();
    }

    /// Behind the last run, if everything comes after it: what is inserted in order is one file. Else into a file of its own.
    fn write_down(&mut self) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.records.first(), self.records.last().copied()) else {
            return Ok(());
        };
        let mut run = match self.runs.pop() {
            Some(run) if run.last < *first => run,
            before => {
                self.runs.extend(before);
                Run { file: tempfile::tempfile_in(&self.folder)?, last }
            }
        };
        run.last = last;
        let mut file = BufWriter::new(&run.file);
        self.records.drain(..).try_for_each(|record| file.write_all(&record))?;
        file.flush()?;
        drop(file);
        self.runs.push(run);
        Ok(())
    }

    /// Every record once, ascending. Nothing follows an error.
    ///
    /// # Errors
    /// When a file could not be written, or cannot be read.
    pub(super) fn in_order(mut self) -> io::Result<impl Iterator<Item = io::Result<[u8; N]>>> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.sort();
        let mut runs: Vec<InOrder<N>> = vec![Box::new(self.records.into_iter().map(Ok))];
        for run in self.runs {
            runs.push(Box::new(records_of::<N>(run.file)?));
        }
        let mut next = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            next.extend(run.next().transpose()?.map(|record| Reverse((record, number))));
        }
        let mut shown: Option<[u8; N]> = None;
        Ok(std::iter::from_fn(move || {
            loop {
                let Reverse((record, number)) = next.pop()?;
                match runs[number].next().transpose() {
                    Ok(more) => next.extend(more.map(|record| Reverse((record, number)))),
                    Err(error) => {
                        next.clear();
                        return Some(Err(error));
                    }
                }
                if shown.replace(record) != Some(record) {
                    return Some(Ok(record));
                }
            }
        }))
    }
}

fn records_of<const N: usize>(
    mut run: File,
) -> io::Result<impl Iterator<Item = io::Result<[u8; N]>>> {
    run.seek(SeekFrom::Start(0))?;
    let mut run = BufReader::new(run);
    Ok(std::iter::from_fn(move || {
        let mut record = [0; N];
        match run.read_exact(&mut record) {
            Ok(()) => Some(Ok(record)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn record(n: u64) -> [u8; 16] {
        *blake3::hash(&n.to_be_bytes()).as_bytes().first_chunk().unwrap()
    }

    /// Break it: leave out `sort` in `insert`, or take no heed of `shown`.
    #[test]
    fn every_record_comes_once_and_in_order_however_little_fits() {
        let folder = tempfile::tempdir().unwrap();
        let expected: BTreeSet<_> = (0..150).map(record).collect();
        for bound in [1, 2, 16, 100, 5_000] {
            let mut sorted = Sorted::bounded(folder.path(), bound);
            for n in 0..400 {
                sorted.insert(record(n % 150));
                assert!(sorted.records.len() <= bound);
            }
            assert_eq!(sorted.runs.is_empty(), bound == 5_000);
            let in_order = sorted.in_order().unwrap().map(Result::unwrap);
            assert!(in_order.eq(expected.iter().copied()), "with room for {bound}");
        }
    }

    /// Break it: give each run a file of its own in `write_down`.
    #[test]
    fn what_comes_in_order_takes_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut sorted = Sorted::bounded(folder.path(), 10);
        (0..1_000_u64).for_each(|n| sorted.insert(n.to_be_bytes()));
        assert_eq!(sorted.runs.len(), 1);
        let in_order = sorted.in_order().unwrap().map(Result::unwrap);
        assert!(in_order.eq((0..1_000_u64).map(u64::to_be_bytes)));
    }

    /// Break it: do not keep the error in `insert`.
    #[test]
    fn without_room_it_says_so() {
        let mut sorted = Sorted::bounded(Path::new("/there/is/no/such/folder"), 2);
        (0..10_u64).for_each(|n| sorted.insert(n.to_be_bytes()));
        assert!(sorted.in_order().is_err());
    }
}
