//! Taking what was erased off the disk.
//!
//! A delete only hides a record: its bytes stand in tables and write-ahead logs until these are written anew. So every
//! family is flushed, which ends the logs; the tables of all keys, and those that hold disclosures of the erased leaves,
//! are compacted down to the last level; and the files that this leaves behind must be gone from the folder.
//!
//! What must be purged is written down in the commit that erases, and struck out when the files are gone. A crash in
//! between leaves it written down, and the next start does it again.
//!
//! To the engine a block that a compaction cannot read is the end of all writing. So every table is read before it is compacted,
//! and what overlaps with one that cannot be read is left out, stays written down, and is told.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rocksdb::{BottommostLevelCompaction, CompactOptions, LiveFile, WriteBatch, properties};

use super::overlap::{Key, overlaps};
use super::{RocksStore, engine_error};
use crate::folder;
use crate::store::keyspace::{self, DISCLOSURES, FAMILIES, KEYS, META, PURGE_KEY};
use crate::store::moment::holds_moment;
use crate::store::{Leaves, Store, StoreError};

/// How long the engine may take to remove files that nothing needs any more. Readers keep them while they read.
const REMOVAL: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl RocksStore {
    /// The leaves whose erased disclosures may still be on the disk. When the note of them is damaged, these are all.
    pub(super) fn to_purge(&self) -> Result<Option<Vec<Leaves>>, StoreError> {
        let Some(note) = self.read(META, PURGE_KEY)? else { return Ok(None) };
        let ranges = keyspace::parse_purge(&note).or_else(|error| {
            tracing::error!(%error, "everything is purged, since nobody can tell what should be");
            let all: Leaves = 0..self.size()?;
            Ok::<_, StoreError>(std::iter::once(all).collect())
        })?;
        Ok(Some(ranges))
    }

    /// # Errors
    /// [`StoreError`]; [`StoreError::Damaged`] when something was left out, which names the table.
    pub(super) fn take_off_the_disk(&self) -> Result<(), StoreError> {
        let Some(ranges) = self.to_purge()? else { return Ok(()) };
        let destructions = self.destructions();
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = &*left_out
            && (&left.ranges, left.destructions) == (&ranges, destructions)
        {
            // Nothing was erased since, and nothing of it can be read now.
            return Err(left.error());
        }
        // Not while it is looked at; and one that was not looked at may hold the first rotten block.
        for family in [KEYS, DISCLOSURES] {
            self.compact_by_itself(family, false);
        }
        let purged = self.purge_ranges(ranges);
        for family in [KEYS, DISCLOSURES] {
            if !self.rot.is_in(family) {
                self.compact_by_itself(family, true);
            }
            // A reader may have met a block just now.
            if self.rot.is_in(family) {
                self.compact_by_itself(family, false);
            }
        }
        *left_out = purged?.map(|(ranges, why)| LeftOut { ranges, destructions, why });
        left_out.as_ref().map_or(Ok(()), |left| Err(left.error()))
    }

    /// Of what tables of keys, or of disclosures over these leaves, could not be taken: the leaves, and why.
    fn purge_ranges(
        &self,
        ranges: Vec<Leaves>,
    ) -> Result<Option<(Vec<Leaves>, String)>, StoreError> {
        let errors = self.background_errors();
        let newest_log = newest(&self.path, "log")?;
        // Written once more, so that there is something to flush, and first flushed: that ends the newest log, and what is
        // appended from then on stands in another.
        let mut again = WriteBatch::default();
        again.put_cf(self.family(META), PURGE_KEY, keyspace::purge_value(ranges.clone()));
        self.commit(again)?;
        for name in [META].into_iter().chain(FAMILIES) {
            let flushed = self.db.flush_cf(self.family(name));
            flushed.map_err(|error| engine_error(&self.path, &error))?;
        }
        // Every older table of what is compacted must be gone then.
        let newest_before = newest(&self.path, "sst")?;
        let rotten_keys = self.rot_within(KEYS, None)?;
        let (ranges, left) = self.apart(ranges)?;
        if rotten_keys.is_none() {
            self.compact(KEYS, (None, None), BottommostLevelCompaction::Force);
        }
        for (first, last) in self.tables_over(&ranges)? {
            let whole = BottommostLevelCompaction::ForceOptimized;
            self.compact(DISCLOSURES, (Some(first), Some(last)), whole);
        }
        let newest_table = newest(&self.path, "sst")?;
        let deadline = Instant::now() + REMOVAL;
        let newest = Newest { log: newest_log, table: newest_table, before: newest_before };
        let compacted = Compacted { keys: rotten_keys.is_none(), ranges };
        while let Some(still) = self.left_behind(newest, &compacted)? {
            let is_dead =
                self.has_failed.load(Ordering::Relaxed) || self.background_errors() > errors;
            if is_dead || Instant::now() > deadline {
                return Err(StoreError::Engine {
                    path: self.path.display().to_string(),
                    reason: format!(
                        "what was erased is not off the disk yet: {still}; it is tried again in some minutes"
                    ),
                });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        // Else a power cut could bring them back.
        folder::sync(&self.path).map_err(|error| StoreError::Engine {
            path: self.path.display().to_string(),
            reason: format!("the folder could not be synced: {error}"),
        })?;
        let why = rotten_keys.into_iter().chain(left.iter().map(|(_, why)| why.clone())).next();
        let left: Vec<Leaves> = left.into_iter().map(|(range, _)| range).collect();
        let mut done = WriteBatch::default();
        match &why {
            None => done.delete_cf(self.family(META), PURGE_KEY),
            // Of keys alone there are no leaves.
            Some(_) => {
                let left = keyspace::purge_value(left.clone());
                done.put_cf(self.family(META), PURGE_KEY, left);
            }
        }
        self.commit(done)?;
        // As it will be read: sorted and joined.
        Ok(why.map(|why| (self.to_purge().ok().flatten().unwrap_or(left), why)))
    }

    /// Errors of compactions and flushes since the start: with one the engine may write nothing more.
    fn background_errors(&self) -> u64 {
        let errors = self.db.property_int_value(properties::BACKGROUND_ERRORS);
        errors.ok().flatten().unwrap_or_default()
    }

    pub(super) fn compact(
        &self,
        family: &str,
        keys: (Option<Key>, Option<Key>),
        level: BottommostLevelCompaction,
    ) {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(true);
        options.set_bottommost_level_compaction(level);
        // It does not say whether it failed; the look at what is left does.
        self.db.compact_range_cf_opt(self.family(family), keys.0, keys.1, &options);
    }

    /// The first file, if any, in which an erased byte may stand.
    fn left_behind(
        &self,
        newest: Newest,
        compacted: &Compacted,
    ) -> Result<Option<String>, StoreError> {
        let tables = files(&self.path, "sst")?;
        let live = self.db.live_files().map_err(|error| engine_error(&self.path, &error))?;
        let is_live = |number: u64| live.iter().any(|file| number_of(&file.name) == Some(number));
        let logs = files(&self.path, "log")?;
        if let Some(old) = logs.into_iter().find(|number| *number <= newest.log) {
            return Ok(Some(format!("write-ahead log {old:06}.log is still there")));
        }
        if let Some(old) = tables.into_iter().find(|old| *old <= newest.table && !is_live(*old)) {
            return Ok(Some(format!("table {old:06}.sst is still there")));
        }
        // A moment of the store that is being copied into a backup: other names of the same files.
        if holds_moment(folder::above(&self.path)) {
            return Ok(Some("a backup is being made".into()));
        }
        let is_uncompacted = |file: &&LiveFile| {
            let is_concerned = match file.column_family_name.as_str() {
                KEYS => compacted.keys,
                DISCLOSURES => overlaps(file, &compacted.ranges),
                _ => false,
            };
            let is_old = number_of(&file.name).is_none_or(|number| number <= newest.before);
            is_concerned
                && (is_old || (file.column_family_name == DISCLOSURES && file.num_deletions > 0))
        };
        let uncompacted = live.iter().find(is_uncompacted);
        Ok(uncompacted.map(|file| format!("table {} was not compacted", file.name)))
    }
}

/// Numbers of files: the newest log before the flush, the newest table behind the compactions and before them.
#[derive(Clone, Copy)]
struct Newest {
    log: u64,
    table: u64,
    before: u64,
}

/// What was compacted: all keys, and the disclosures of these leaves.
struct Compacted {
    keys: bool,
    ranges: Vec<Leaves>,
}

/// What a purge could not take off the disk.
pub(super) struct LeftOut {
    /// Leaves of which disclosures are left, as they stand written down; none when these are keys alone.
    ranges: Vec<Leaves>,
    /// How many commits had destroyed keys then.
    destructions: u64,
    /// The engine's words for the first block.
    why: String,
}

impl LeftOut {
    fn error(&self) -> StoreError {
        StoreError::Damaged(format!(
            "what was erased is not off the disk: a table that may hold some of it cannot be rewritten, since it cannot be read: {}. \
             Until that is mended no backup is made",
            self.why
        ))
    }
}

fn newest(folder: &Path, extension: &str) -> Result<u64, StoreError> {
    Ok(files(folder, extension)?.into_iter().max().unwrap_or_default())
}

/// The numbers of the engine's files with this extension.
fn files(folder: &Path, extension: &str) -> Result<Vec<u64>, StoreError> {
    let failed = |error: std::io::Error| StoreError::Engine {
        path: folder.display().to_string(),
        reason: format!("its files cannot be listed: {error}"),
    };
    let mut numbers = Vec::new();
    for file in fs::read_dir(folder).map_err(failed)? {
        let name = file.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|found| found == extension) {
            numbers.extend(number_of(&name));
        }
    }
    Ok(numbers)
}

/// The number in `000123.sst` or `/000123.sst`.
fn number_of(name: &str) -> Option<u64> {
    name.trim_start_matches('/').split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, Changes, SealedDisclosure, Store, TreeHead};
    use tlog::{Hash, LeafIndex, TreeSize};

    fn batch(size: u64, keys: Vec<([u8; 16], [u8; 32])>, changes: Changes) -> Batch {
        let disclosures = keys.iter().map(|(id, key)| SealedDisclosure {
            leaf_index: LeafIndex(u64::from(id[0])),
            slot: 2,
            sealed: key.iter().rev().cycle().take(100).map(|byte| byte ^ 0x55).collect(),
        });
        Batch {
            entries: vec![bytes::Bytes::from_static(b"entry")],
            disclosures: disclosures.collect(),
            keys,
            tiles: Vec::new(),
            chains: Vec::new(),
            head: TreeHead { size: TreeSize(size + 1), root: Hash([0; 32]), recorded_at_ns: 1 },
            changes,
        }
    }

    /// A store that was closed, with four keys and their disclosures in tables, the two of an erasure among them.
    fn erased(path: &Path) -> [[u8; 32]; 4] {
        let store = RocksStore::open(path).unwrap();
        let secrets = [0, 1, 2, 3].map(|n: u8| *blake3::hash(&[n]).as_bytes());
        let keys = secrets.iter().zip(0_u8..).map(|(secret, n)| ([n; 16], *secret));
        store.append(TreeSize(0), &batch(0, keys.collect(), Changes::default())).unwrap();
        store.flush();
        let changes = Changes {
            erased: vec![(LeafIndex(1), 2), (LeafIndex(2), 2)],
            destroyed: vec![[1; 16], [2; 16]],
            ..Changes::default()
        };
        store.append(TreeSize(1), &batch(1, Vec::new(), changes)).unwrap();
        secrets
    }

    fn sealed_with(secret: &[u8; 32]) -> Vec<u8> {
        secret.iter().rev().map(|byte| byte ^ 0x55).collect()
    }

    /// Purges twice, and writes on.
    fn purges_and_goes_on(store: &RocksStore, size: u64) {
        for _ in 0..2 {
            let left = store.purge().unwrap_err();
            assert!(matches!(&left, StoreError::Damaged(why) if why.contains(".sst")), "{left}");
            assert!(store.must_purge().unwrap());
        }
        store.append(TreeSize(size), &batch(size, Vec::new(), Changes::default())).unwrap();
    }

    /// Of keys the disclosures go all the same. Break it: let `purge_ranges` compact keys whatever `rot_within` says.
    #[test]
    fn a_rotten_block_of_keys_keeps_them_from_being_purged_and_nothing_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let secrets = erased(&path);
        assert_eq!(RocksStore::rot(&path, &secrets[0]), 1);
        let store = RocksStore::open(&path).unwrap();
        purges_and_goes_on(&store, 2);
        assert!(!is_on_disk(&path, &sealed_with(&secrets[1])));
        assert!(is_on_disk(&path, &sealed_with(&secrets[3])) && is_on_disk(&path, &secrets[1]));
        drop(store);
        purges_and_goes_on(&RocksStore::open(&path).unwrap(), 3);
    }

    /// Break it: let `apart` find every range whole.
    #[test]
    fn a_rotten_block_of_disclosures_keeps_them_from_being_purged_and_nothing_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let secrets = erased(&path);
        assert_eq!(RocksStore::rot(&path, &sealed_with(&secrets[0])), 1);
        let store = RocksStore::open(&path).unwrap();
        purges_and_goes_on(&store, 2);
        assert!(!is_on_disk(&path, &secrets[1]) && is_on_disk(&path, &secrets[3]));
        assert!(is_on_disk(&path, &sealed_with(&secrets[1])));
        drop(store);
        purges_and_goes_on(&RocksStore::open(&path).unwrap(), 3);
    }

    /// An engine that cannot write takes nothing off. Break it: let `purge_ranges` wait for its deadline alone.
    #[test]
    fn a_purge_ends_when_nothing_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        erased(&path);
        let store = RocksStore::open(&path).unwrap();
        // As a backup that is made: the purge would wait for it.
        fs::create_dir(folder.path().join("snapshot")).unwrap();
        store.has_failed.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let error = store.purge().unwrap_err().to_string();
        assert!(error.contains("not off the disk yet"), "{error}");
        assert!(begun.elapsed() < REMOVAL / 2);
    }

    fn is_on_disk(folder: &Path, bytes: &[u8]) -> bool {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut contents = files.filter_map(|path| fs::read(path).ok());
        contents.any(|content| content.windows(bytes.len()).any(|window| window == bytes))
    }

    /// What stands in tables goes, and what stands beside it stays. Break it: leave out a compaction, or the writing over of
    /// keys in `keyspace`.
    #[test]
    fn what_is_in_tables_is_taken_off_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = RocksStore::open(&path).unwrap();
        let secrets: Vec<[u8; 32]> = (0..4).map(|n| *blake3::hash(&[n]).as_bytes()).collect();
        let ids = |n: u8| ([n; 16], secrets[usize::from(n)]);
        let sealed = |n: usize| secrets[n].iter().rev().map(|byte| byte ^ 0x55).collect::<Vec<_>>();
        store.append(TreeSize(0), &batch(0, vec![ids(0), ids(1)], Changes::default())).unwrap();
        store.flush();
        store.append(TreeSize(1), &batch(1, vec![ids(2), ids(3)], Changes::default())).unwrap();
        store.flush();
        assert!(secrets.iter().all(|secret| is_on_disk(&path, secret)));
        let changes = Changes {
            erased: vec![(LeafIndex(1), 2), (LeafIndex(2), 2)],
            destroyed: vec![[1; 16], [2; 16]],
            ..Changes::default()
        };
        store.append(TreeSize(2), &batch(2, Vec::new(), changes)).unwrap();
        assert!(store.must_purge().unwrap());
        store.purge().unwrap();
        assert!(!store.must_purge().unwrap());
        // A crash before it was struck out: there is nothing left to do, and that is seen. A damaged note is of all leaves.
        for noted in [keyspace::purge_value(vec![1..2, 2..3]), vec![1; 17]] {
            let mut again = WriteBatch::default();
            again.put_cf(store.family(META), PURGE_KEY, noted);
            store.commit(again).unwrap();
            assert!(store.must_purge().unwrap());
            store.purge().unwrap();
            assert!(!store.must_purge().unwrap());
        }
        for (n, secret) in secrets.iter().enumerate() {
            let stays = n == 0 || n == 3;
            assert_eq!(is_on_disk(&path, secret), stays, "key {n}");
            assert_eq!(is_on_disk(&path, &sealed(n)), stays, "disclosure {n}");
        }
    }
}
