//! What is not there, held against the events that say what was erased: in bounded memory, since in time retention erases
//! nearly everything.

use std::io;
use std::path::Path;

use super::sorted::Sorted;
use super::{FsckReport, place};
use crate::vault::{KEY_ID_BYTES, KeyId};

/// Leaf index, then slots.
const ERASED_BYTES: usize = 8 + 4;
/// Leaf index, three times slots, two key ids.
const ABSENT_BYTES: usize = 8 + 3 * 4 + 2 * KEY_ID_BYTES;

/// Slots of a leaf, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slots(u32);

impl Slots {
    /// Slots of a canonical event are those of the format, of which there are less than 32.
    pub(super) fn add(&mut self, slot: i32) {
        self.0 |= 1_u32.checked_shl(slot as u32).unwrap_or_default();
    }

    pub(super) fn has(self, slot: i32) -> bool {
        self.each().any(|one| one == slot)
    }

    fn each(self) -> impl Iterator<Item = i32> {
        (0..32).filter(move |slot| self.0 & (1_u32 << *slot) != 0)
    }
}

/// The disclosures of a leaf that cannot be opened, since they are not there, or their key is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Absent {
    index: u64,
    /// Not there.
    pub(super) gone: Slots,
    /// There without their key, by the one of `ids` that they name.
    pub(super) keyless: [Slots; 2],
    /// The keys under which they may have been sealed.
    pub(super) ids: [KeyId; 2],
}

impl Absent {
    /// None of this leaf yet.
    pub(super) fn of(index: u64, ids: [KeyId; 2]) -> Self {
        Self { index, gone: Slots::default(), keyless: Default::default(), ids }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = i32> {
        Slots(self.gone.0 | self.keyless[0].0 | self.keyless[1].0).each()
    }

    pub(super) fn place(&self, slot: i32) -> String {
        place::disclosure(self.index, slot)
    }

    /// That nothing says why one of them is absent.
    pub(super) fn find(&self, slot: i32, report: &mut FsckReport) {
        let why = "missing, and no DisclosureErased event says that it was erased";
        let key = self.keyless.iter().zip(&self.ids).find(|(keyless, _)| keyless.has(slot));
        match key {
            None => report.find("disclosure_missing", self.place(slot), format!("is {why}")),
            Some((_, id)) => {
                let message = format!("its {} is {why}", place::key(id));
                report.find("key_missing", self.place(slot), message);
            }
        }
    }
}

/// All that is absent, and all that was erased.
pub(super) struct Absences {
    absent: Sorted<ABSENT_BYTES>,
    erased: Sorted<ERASED_BYTES>,
}

impl Absences {
    /// What does not fit into memory waits in files in this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self { absent: Sorted::new(folder), erased: Sorted::new(folder) }
    }

    /// With so many of each in memory.
    #[cfg(test)]
    pub(super) fn bounded(folder: &Path, bound: usize) -> Self {
        let (absent, erased) = (Sorted::bounded(folder, bound), Sorted::bounded(folder, bound));
        Self { absent, erased }
    }

    /// Takes note of a leaf, if anything of it is absent.
    pub(super) fn absent(&mut self, absent: &Absent) {
        if absent.slots().next().is_some() {
            self.absent.insert(encode(absent));
        }
    }

    /// Takes note of an event that says what of a leaf was erased.
    pub(super) fn erased(&mut self, leaf_index: u64, slots: &[i32]) {
        let mut erased = Slots::default();
        slots.iter().for_each(|slot| erased.add(*slot));
        let mut record = [0; ERASED_BYTES];
        record[..8].copy_from_slice(&leaf_index.to_be_bytes());
        record[8..].copy_from_slice(&erased.0.to_be_bytes());
        self.erased.insert(record);
    }

    /// Shows every leaf of which something is absent, in the order of the log, and what of it was erased.
    ///
    /// # Errors
    /// When the folder had no room, or a file there cannot be read.
    pub(super) fn each(self, show: &mut dyn FnMut(&Absent, Slots)) -> io::Result<()> {
        let mut erased = self.erased.in_order()?.peekable();
        for absent in self.absent.in_order()? {
            let absent = decode(&absent?);
            let mut slots = Slots::default();
            let is_behind = |next: &io::Result<[u8; ERASED_BYTES]>| match next {
                Ok(next) => number(next) > absent.index,
                Err(_) => false,
            };
            while let Some(next) = erased.next_if(|next| !is_behind(next)) {
                let next = next?;
                if number(&next) == absent.index {
                    slots.0 |= slots_at(&next, 8).0;
                }
            }
            show(&absent, slots);
        }
        Ok(())
    }
}

fn encode(absent: &Absent) -> [u8; ABSENT_BYTES] {
    let mut record = [0; ABSENT_BYTES];
    record[..8].copy_from_slice(&absent.index.to_be_bytes());
    for (at, slots) in [absent.gone, absent.keyless[0], absent.keyless[1]].iter().enumerate() {
        record[8 + 4 * at..][..4].copy_from_slice(&slots.0.to_be_bytes());
    }
    for (at, id) in absent.ids.iter().enumerate() {
        record[20 + KEY_ID_BYTES * at..][..KEY_ID_BYTES].copy_from_slice(id);
    }
    record
}

fn decode(record: &[u8; ABSENT_BYTES]) -> Absent {
    let id = |at: usize| -> KeyId { std::array::from_fn(|byte| record[at + byte]) };
    Absent {
        index: number(record),
        gone: slots_at(record, 8),
        keyless: [slots_at(record, 12), slots_at(record, 16)],
        ids: [id(20), id(20 + KEY_ID_BYTES)],
    }
}

/// The leaf index with which a record begins.
fn number(record: &[u8]) -> u64 {
    u64::from_be_bytes(std::array::from_fn(|byte| record[byte]))
}

fn slots_at(record: &[u8], at: usize) -> Slots {
    Slots(u32::from_be_bytes(std::array::from_fn(|byte| record[at + byte])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(all: &[i32]) -> Slots {
        let mut slots = Slots::default();
        all.iter().for_each(|slot| slots.add(*slot));
        slots
    }

    /// Erasures come in any order, twice, and of leaves of which nothing is absent. Break it: let `insert` in `sorted.rs`
    /// forget what has no room, or let `is_behind` compare with `>=`.
    #[test]
    fn what_was_erased_is_known_however_little_fits() {
        let folder = tempfile::tempdir().unwrap();
        for bound in [1, 2, 7, 1_000] {
            let mut absences = Absences::bounded(folder.path(), bound);
            let mut expected = Vec::new();
            for index in 0..100_u64 {
                let mut absent = Absent::of(index, [[index as u8; 16], [7; 16]]);
                absences.absent(&absent);
                if !index.is_multiple_of(3) {
                    absent.gone = slots(&[1, 9]);
                    absent.keyless = [slots(&[2]), slots(&[4])];
                    absences.absent(&absent);
                    let erased: &[i32] = if index % 3 == 1 { &[1, 2, 9] } else { &[] };
                    expected.push((absent, slots(erased)));
                }
            }
            for index in (0..100_u64).map(|number| number * 37 % 100) {
                let of: Vec<Vec<i32>> = match index % 3 {
                    0 => vec![vec![1]],
                    1 => vec![vec![9], vec![1, 2], vec![9]],
                    _ => Vec::new(),
                };
                of.iter().for_each(|slots| absences.erased(index, slots));
            }
            let mut shown = Vec::new();
            absences.each(&mut |absent, erased| shown.push((*absent, erased))).unwrap();
            assert_eq!(shown, expected, "with room for {bound}");
        }
    }

    #[test]
    fn what_nothing_says_was_erased_is_found() {
        let mut absent = Absent::of(17, [[1; 16], [2; 16]]);
        absent.gone = slots(&[1]);
        absent.keyless = [Slots::default(), slots(&[2])];
        assert!(absent.slots().eq([1, 2]));
        let mut report = FsckReport::default();
        absent.slots().for_each(|slot| absent.find(slot, &mut report));
        let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("entry 17, disclosure PRINCIPAL: is missing, and no"));
        let key = "02".repeat(16);
        assert!(found[1].starts_with(&format!("entry 17, disclosure MESSAGE: its key {key} is")));
    }
}
