//! Reading around blocks of disclosures and keys that the engine cannot read any more, leaf by leaf: what stands in them is lost,
//! and nothing else. One rotten block is no reason to show nobody anything.

use proto::v1::Opening;
use rocksdb::{DB, DBIteratorWithThreadMode, Direction, IteratorMode, ReadOptions};
use tlog::LeafIndex;

use super::rot::is_rotten;
use super::{RocksStore, engine_error};
use crate::store::keyspace::{self, DISCLOSURES, disclosure_key, entry_key};
use crate::store::{Leaves, Store, StoreError};
use crate::vault;

/// Openings with their leaves, and the leaf up to which they were read.
type Openings = (Vec<(LeafIndex, Opening)>, LeafIndex);

impl RocksStore {
    /// As `disclosed`, from leaf to leaf, each by itself, behind the last disclosure that was shown.
    ///
    /// # Errors
    /// [`StoreError`], but for what is damaged: that is left out.
    pub(super) fn disclosed_one_by_one(
        &self,
        shown: Option<(LeafIndex, i32)>,
        leaves: &Leaves,
        show: &mut dyn FnMut(LeafIndex, i32, &[u8]),
    ) -> Result<(), StoreError> {
        let first = shown.map_or(leaves.start, |(index, _)| index.0);
        for index in (first..leaves.end).map(LeafIndex) {
            let start = match shown {
                Some((last, slot)) if last == index => {
                    [&disclosure_key(last, slot)[..], &[0]].concat()
                }
                _ => first_of(index),
            };
            for item in self.sealed_of(index, &start) {
                let (key, sealed) = match item {
                    Err(error) if is_rotten(&error) => break,
                    read => read.map_err(|error| engine_error(&self.path, &error))?,
                };
                let (index, slot) = keyspace::disclosure_place(&key)?;
                show(index, slot, &sealed);
            }
        }
        Ok(())
    }

    /// As `openings`, from leaf to leaf, each by itself. `read` are those that were read before the damage; they are read again
    /// from the last leaf on, of which some may be missing.
    ///
    /// # Errors
    /// [`StoreError`], but for what is damaged: that is left out, and told.
    pub(super) fn openings_one_by_one(
        &self,
        mut read: Vec<(LeafIndex, Opening)>,
        from: LeafIndex,
        end: LeafIndex,
        bytes: usize,
    ) -> Result<Openings, StoreError> {
        let first = read.last().map_or(from, |(last, _)| *last);
        read.retain(|(index, _)| *index < first);
        let mut sum: usize = read.iter().map(|(_, opening)| opening.content.len()).sum();
        for index in first.0..end.0 {
            if sum > bytes && !read.is_empty() {
                return Ok((read, LeafIndex(index)));
            }
            sum += self.openings_of(LeafIndex(index), &mut read)?;
        }
        Ok((read, end))
    }

    /// Those of one leaf that can be read; how many bytes they have.
    fn openings_of(
        &self,
        index: LeafIndex,
        read: &mut Vec<(LeafIndex, Opening)>,
    ) -> Result<usize, StoreError> {
        let mut sum = 0;
        for item in self.sealed_of(index, &first_of(index)) {
            let (key, sealed) = match item {
                Err(error) if is_rotten(&error) => {
                    vault::report_unreadable(index, 0, error.as_ref());
                    return Ok(sum);
                }
                read => read.map_err(|error| engine_error(&self.path, &error))?,
            };
            let (_, slot) = keyspace::disclosure_place(&key)?;
            sum += sealed.len();
            match vault::open(&sealed, slot, |id| Ok(self.disclosure_key(id)?.usable())) {
                Ok(opened) => read.extend(opened.map(|opening| (index, opening))),
                Err(StoreError::Damaged(reason)) => vault::report_unreadable(index, slot, &reason),
                Err(error) => return Err(error),
            }
        }
        Ok(sum)
    }

    /// The sealed disclosures of one leaf from a key on.
    fn sealed_of(&self, index: LeafIndex, start: &[u8]) -> DBIteratorWithThreadMode<'_, DB> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.set_iterate_upper_bound(entry_key(LeafIndex(index.0 + 1)));
        let mode = IteratorMode::From(start, Direction::Forward);
        self.db.iterator_cf_opt(self.family(DISCLOSURES), options, mode)
    }
}

/// Before the disclosures of a leaf. The engine's index may name the end of the block before by the leaf alone; slot 0 is
/// behind that, and none's.
fn first_of(index: LeafIndex) -> Vec<u8> {
    [&entry_key(index)[..], &[0]].concat()
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use tlog::{Hash, TreeSize};

    use super::*;
    use crate::store::{Batch, Changes, SealedDisclosure, TreeHead};

    /// Larger than a block, so that each leaf has one of its own.
    const CONTENT_BYTES: usize = 40_000;

    /// Each leaf has its key.
    pub(in crate::store::rocks) fn key(leaf: u64) -> ([u8; 16], [u8; 32]) {
        let secret = *blake3::hash(&leaf.to_be_bytes()).as_bytes();
        ([u8::try_from(leaf).unwrap(); 16], secret)
    }

    pub(in crate::store::rocks) fn batch(leaf: u64) -> Batch {
        // No two are alike, and none compresses.
        let mut content = vec![0; CONTENT_BYTES];
        blake3::Hasher::new().update(&leaf.to_be_bytes()).finalize_xof().fill(&mut content);
        let (id, secret) = key(leaf);
        let sealed = vault::sealed(&id, &secret, 2, content);
        let leaf_index = LeafIndex(leaf);
        Batch {
            entries: vec![bytes::Bytes::from_static(b"entry")],
            disclosures: vec![SealedDisclosure { leaf_index, slot: 2, sealed }],
            keys: vec![(id, secret)],
            tiles: Vec::new(),
            chains: Vec::new(),
            head: TreeHead { size: TreeSize(leaf + 1), root: Hash([0; 32]), recorded_at_ns: 1 },
            changes: Changes::default(),
        }
    }

    /// Leaves 0 to 4 in tables, and where these bytes stood a flipped bit.
    pub(in crate::store::rocks) fn rotten(folder: &Path, bytes: &[u8]) -> RocksStore {
        let store = RocksStore::open(folder).unwrap();
        for leaf in 0..5 {
            store.append(TreeSize(leaf), &batch(leaf)).unwrap();
        }
        store.flush();
        drop(store);
        assert_eq!(RocksStore::rot(folder, bytes), 1);
        RocksStore::open(folder).unwrap()
    }

    fn opened(store: &RocksStore) -> Vec<u64> {
        let (read, end) = store.openings(LeafIndex(0), LeafIndex(6), usize::MAX).unwrap();
        assert_eq!(end, LeafIndex(6));
        read.iter().map(|(index, _)| index.0).collect()
    }

    /// Break it: return the error of a damaged block in `openings`, or in `disclosed`, of `rocks.rs`.
    #[test]
    fn a_rotten_block_hides_its_own_leaves_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = rotten(folder.path(), &batch(2).disclosures[0].sealed[1_000..1_100]);
        assert!(!store.has_shown_damage());
        let mut shown = Vec::new();
        store.disclosed(0..5, &mut |index, slot, _| shown.push((index.0, slot))).unwrap();
        assert_eq!(shown, [(0, 2), (1, 2), (3, 2), (4, 2)]);
        assert!(store.has_shown_damage());
        assert_eq!(opened(&store), [0, 1, 3, 4]);
        // What passes the bound comes with the next call, damaged or not.
        let (read, end) = store.openings(LeafIndex(1), LeafIndex(5), CONTENT_BYTES).unwrap();
        assert!(!read.is_empty() && end > LeafIndex(1) && end < LeafIndex(5), "{end:?}");
        store.append(TreeSize(5), &batch(5)).unwrap();
        assert_eq!(opened(&store), [0, 1, 3, 4, 5]);
    }

    /// Break it: let `disclosure_key` return the engine's error of a damaged block.
    #[test]
    fn a_rotten_block_of_keys_hides_what_they_open_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = rotten(folder.path(), &key(2).1);
        assert!(matches!(store.disclosure_key(&key(2).0), Err(StoreError::Damaged(_))));
        assert!(store.has_shown_damage());
        // They all stand in one block.
        assert!(opened(&store).is_empty());
        store.append(TreeSize(5), &batch(5)).unwrap();
        assert_eq!(opened(&store), [5]);
        let mut shown = 0;
        store.disclosed(0..6, &mut |_, _, _| shown += 1).unwrap();
        assert_eq!(shown, 6);
    }
}
