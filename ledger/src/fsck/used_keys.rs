//! The ids of all keys that disclosures name or named, sorted, in bounded memory: what does not fit waits in a file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use crate::vault::{KEY_ID_BYTES, KeyId};

/// An id, and whether anything that is there names it.
type Named = [u8; KEY_ID_BYTES + 1];

/// Ids that are kept in memory: 17 MiB of them.
const IN_MEMORY: usize = 1 << 20;

/// A set that is filled first, and read sorted then.
pub(super) struct UsedKeys {
    ids: Vec<Named>,
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
    pub(super) fn insert(&mut self, id: KeyId, is_used: bool) -> io::Result<()> {
        let mut named: Named = [u8::from(is_used); KEY_ID_BYTES + 1];
        named[..KEY_ID_BYTES].copy_from_slice(&id);
        let id = named;
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

    /// Shows every id once, ascending, and whether anything uses it.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub(super) fn each(mut self, show: &mut dyn FnMut(&KeyId, bool)) -> io::Result<()> {
        self.sort();
        let in_memory = self.ids.into_iter().map(Ok);
        let mut runs: Vec<Box<dyn Iterator<Item = io::Result<Named>>>> = vec![Box::new(in_memory)];
        for run in self.runs {
            runs.push(Box::new(ids_of(run)?));
        }
        let mut next = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            next.extend(run.next().transpose()?.map(|id| Reverse((id, number))));
        }
        let mut last: Option<(KeyId, bool)> = None;
        while let Some(Reverse((named, number))) = next.pop() {
            let (id, is_used) = parts(&named);
            match &mut last {
                // Those that are used come behind those that are not.
                Some((same, used)) if *same == id => *used |= is_used,
                _ => {
                    if let Some((id, is_used)) = last.replace((id, is_used)) {
                        show(&id, is_used);
                    }
                }
            }
            next.extend(runs[number].next().transpose()?.map(|id| Reverse((id, number))));
        }
        if let Some((id, is_used)) = last {
            show(&id, is_used);
        }
        Ok(())
    }
}

fn parts(named: &Named) -> (KeyId, bool) {
    let mut id = KeyId::default();
    id.copy_from_slice(&named[..KEY_ID_BYTES]);
    (id, named[KEY_ID_BYTES] != 0)
}

fn ids_of(mut run: File) -> io::Result<impl Iterator<Item = io::Result<Named>>> {
    run.seek(SeekFrom::Start(0))?;
    let mut run = BufReader::new(run);
    Ok(std::iter::from_fn(move || {
        let mut id: Named = [0; KEY_ID_BYTES + 1];
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
                // Of the even ones something is there.
                used.insert(id(n), false).unwrap();
                used.insert(id(n), (n % 700).is_multiple_of(2)).unwrap();
                assert!(used.ids.len() <= bound);
            }
            assert_eq!(used.runs.is_empty(), bound == 5_000);
            let mut shown = Vec::new();
            used.each(&mut |id, is_used| shown.push((*id, is_used))).unwrap();
            assert!(shown.iter().map(|(id, _)| id).eq(&expected), "with room for {bound}");
            let even: BTreeSet<_> = (0..700).step_by(2).map(id).collect();
            assert!(shown.iter().all(|(id, is_used)| *is_used == even.contains(id)));
        }
    }
}
