//! The ids of all keys that disclosures name, sorted, in bounded memory: what does not fit waits in a file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::vault::KeyId;

/// Ids that are kept in memory: 16 MiB of them.
const IN_MEMORY: usize = 1 << 20;

/// A set that is filled first, and read sorted then.
pub(super) struct UsedKeys {
    ids: Vec<KeyId>,
    /// Sorted runs of ids, in files that the system removes with this process.
    runs: Vec<File>,
    bound: usize,
}

impl UsedKeys {
    pub(super) fn new() -> Self {
        Self::bounded(IN_MEMORY)
    }

    fn bounded(bound: usize) -> Self {
        Self { ids: Vec::new(), runs: Vec::new(), bound }
    }

    /// # Errors
    /// When the folder for temporary files has no room.
    pub(super) fn insert(&mut self, id: KeyId) -> io::Result<()> {
        // Most often the exchange before.
        if self.ids.last() == Some(&id) {
            return Ok(());
        }
        self.ids.push(id);
        if self.ids.len() < self.bound {
            return Ok(());
        }
        self.sort();
        if self.ids.len() < self.bound / 2 {
            return Ok(());
        }
        let mut run = BufWriter::new(tempfile::tempfile()?);
        self.ids.drain(..).try_for_each(|id| run.write_all(&id))?;
        self.runs.push(run.into_inner().map_err(io::IntoInnerError::into_error)?);
        Ok(())
    }

    fn sort(&mut self) {
        self.ids.sort_unstable();
        self.ids.dedup();
    }

    /// Shows every id once, ascending.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub(super) fn each(mut self, show: &mut dyn FnMut(&KeyId)) -> io::Result<()> {
        self.sort();
        let in_memory = self.ids.into_iter().map(Ok);
        let mut runs: Vec<Box<dyn Iterator<Item = io::Result<KeyId>>>> = vec![Box::new(in_memory)];
        for run in self.runs {
            runs.push(Box::new(ids_of(run)?));
        }
        let mut next = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            next.extend(run.next().transpose()?.map(|id| Reverse((id, number))));
        }
        let mut last = None;
        while let Some(Reverse((id, number))) = next.pop() {
            if last != Some(id) {
                show(&id);
                last = Some(id);
            }
            next.extend(runs[number].next().transpose()?.map(|id| Reverse((id, number))));
        }
        Ok(())
    }
}

fn ids_of(mut run: File) -> io::Result<impl Iterator<Item = io::Result<KeyId>>> {
    run.seek(SeekFrom::Start(0))?;
    let mut run = BufReader::new(run);
    Ok(std::iter::from_fn(move || {
        let mut id = KeyId::default();
        match run.read_exact(&mut id) {
            Ok(()) => Some(Ok(id)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(error)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_id_comes_once_and_in_order_however_little_fits() {
        let id = |n: u64| -> KeyId {
            *blake3::hash(&(n % 700).to_be_bytes()).as_bytes().first_chunk().unwrap()
        };
        let expected: BTreeSet<_> = (0..700).map(id).collect();
        for bound in [2, 16, 100, 5_000] {
            let mut used = UsedKeys::bounded(bound);
            for n in 0..3_000 {
                used.insert(id(n)).unwrap();
                used.insert(id(n)).unwrap();
                assert!(used.ids.len() <= bound);
            }
            assert_eq!(used.runs.is_empty(), bound == 5_000);
            let mut shown = Vec::new();
            used.each(&mut |id| shown.push(*id)).unwrap();
            assert!(shown.iter().eq(&expected), "with room for {bound}");
        }
    }
}
