//! Reading disclosures around a block that the engine cannot read any more: the leaves whose disclosures stand in it are shown
//! without them, and all others as ever. One rotten block is no reason to show nobody anything.

use std::sync::atomic::Ordering;

use proto::v1::Opening;
use rocksdb::{Direction, ErrorKind, IteratorMode, ReadOptions};
use tlog::LeafIndex;

use super::{RocksStore, engine_error};
use crate::store::keyspace::{self, DISCLOSURES, entry_key};
use crate::store::{Store, StoreError};
use crate::vault;

/// Openings with their leaves, and the leaf up to which they were read.
type Openings = (Vec<(LeafIndex, Opening)>, LeafIndex);

impl RocksStore {
    /// Whether something could not be read since the start: no copy of it is good without a check.
    pub(crate) fn has_shown_damage(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
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
        self.is_damaged.store(true, Ordering::Relaxed);
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
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        options.set_iterate_upper_bound(entry_key(LeafIndex(index.0 + 1)));
        // The engine's index may name the end of the block before by the leaf alone; slot 0 is behind that, and none's.
        let start = [&entry_key(index)[..], &[0]].concat();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut sum = 0;
        for item in self.db.iterator_cf_opt(self.family(DISCLOSURES), options, mode) {
            let (key, sealed) = match item {
                Err(error) if error.kind() == ErrorKind::Corruption => {
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
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tlog::{Hash, TreeSize};

    use super::*;
    use crate::store::{Batch, Changes, SealedDisclosure, TreeHead};

    /// Larger than a block, so that each leaf has one of its own.
    const CONTENT_BYTES: usize = 40_000;
    const ID: [u8; 16] = [1; 16];
    const KEY: [u8; 32] = [2; 32];

    fn batch(leaf: u64) -> Batch {
        // No two are alike, and none compresses.
        let mut content = vec![0; CONTENT_BYTES];
        blake3::Hasher::new().update(&leaf.to_be_bytes()).finalize_xof().fill(&mut content);
        let sealed = vault::sealed(&ID, &KEY, 2, content);
        let leaf_index = LeafIndex(leaf);
        Batch {
            entries: vec![bytes::Bytes::from_static(b"entry")],
            disclosures: vec![SealedDisclosure { leaf_index, slot: 2, sealed }],
            keys: if leaf == 0 { vec![(ID, KEY)] } else { Vec::new() },
            tiles: Vec::new(),
            chains: Vec::new(),
            head: TreeHead { size: TreeSize(leaf + 1), root: Hash([0; 32]), recorded_at_ns: 1 },
            changes: Changes::default(),
        }
    }

    /// Break it: return the error of a damaged block in `openings` of `rocks.rs`.
    #[test]
    fn a_rotten_block_hides_its_own_leaves_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        let batches: Vec<_> = (0..5).map(batch).collect();
        for (size, batch) in (0..).zip(&batches) {
            store.append(TreeSize(size), batch).unwrap();
        }
        store.flush();
        drop(store);
        let rotten = &batches[2].disclosures[0].sealed[1_000..1_100];
        let mut found = 0;
        for file in fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "sst") {
                let mut bytes = fs::read(&path).unwrap();
                if let Some(at) = bytes.windows(100).position(|window| window == rotten) {
                    bytes[at] ^= 1;
                    fs::write(&path, bytes).unwrap();
                    found += 1;
                }
            }
        }
        assert_eq!(found, 1);
        let store = RocksStore::open(folder.path()).unwrap();
        assert!(!store.has_shown_damage());
        let (read, end) = store.openings(LeafIndex(0), LeafIndex(5), usize::MAX).unwrap();
        let leaves: Vec<_> = read.iter().map(|(index, _)| index.0).collect();
        assert_eq!((leaves, end), (vec![0, 1, 3, 4], LeafIndex(5)));
        assert!(store.has_shown_damage());
        // What passes the bound comes with the next call, damaged or not.
        let (read, end) = store.openings(LeafIndex(1), LeafIndex(5), CONTENT_BYTES).unwrap();
        assert!(!read.is_empty() && end > LeafIndex(1) && end < LeafIndex(5), "{end:?}");
    }
}
