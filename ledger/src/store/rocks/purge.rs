//! Taking what was erased off the disk.
//!
//! A delete only hides a record: its bytes stand in tables and write-ahead logs until these are written anew. So every
//! family is flushed, which ends the logs; the tables of all keys, and those that hold disclosures of the erased leaves,
//! are compacted down to the last level; and the files that this leaves behind must be gone from the folder.
//!
//! What must be purged is written down in the commit that erases, and struck out when the files are gone. A crash in
//! between leaves it written down, and the next start does it again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rocksdb::{BottommostLevelCompaction, CompactOptions, WriteBatch};
use tlog::LeafIndex;

use super::{RocksStore, engine_error};
use crate::folder;
use crate::store::keyspace::{
    self, DISCLOSURES, FAMILIES, KEYS, META, PURGE_KEY, disclosure_place,
};
use crate::store::{Leaves, StoreError};

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

    pub(super) fn take_off_the_disk(&self) -> Result<(), StoreError> {
        let Some(ranges) = self.to_purge()? else { return Ok(()) };
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
        self.compact(KEYS, (None, None), BottommostLevelCompaction::Force);
        for (first, last) in self.tables_over(&ranges)? {
            let whole = BottommostLevelCompaction::ForceOptimized;
            self.compact(DISCLOSURES, (Some(first), Some(last)), whole);
        }
        let newest_table = newest(&self.path, "sst")?;
        let deadline = Instant::now() + REMOVAL;
        let newest = Newest { log: newest_log, table: newest_table, before: newest_before };
        while let Some(left) = self.left_behind(newest, &ranges)? {
            if Instant::now() > deadline {
                return Err(StoreError::Engine {
                    path: self.path.display().to_string(),
                    reason: format!(
                        "what was erased is not off the disk yet: {left}; it is tried again, and at the next start"
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
        let mut done = WriteBatch::default();
        done.delete_cf(self.family(META), PURGE_KEY);
        self.commit(done)
    }

    fn compact(
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

    /// First and last keys of the tables with disclosures over these leaves, joined where tables overlap. Whole tables: the
    /// engine leaves alone a table that has no key within what it is asked to compact.
    fn tables_over(&self, ranges: &[Leaves]) -> Result<Vec<(Key, Key)>, StoreError> {
        let live = self.db.live_files().map_err(|error| engine_error(&self.path, &error))?;
        let over = live
            .into_iter()
            .filter(|file| file.column_family_name == DISCLOSURES && overlaps(file, ranges));
        let mut tables: Vec<(Key, Key)> =
            over.filter_map(|file| Some((file.start_key?, file.end_key?))).collect();
        tables.sort_unstable();
        let mut joined: Vec<(Key, Key)> = Vec::new();
        for (first, last) in tables {
            match joined.last_mut() {
                Some(before) if first <= before.1 => {
                    before.1 = last.max(std::mem::take(&mut before.1));
                }
                _ => joined.push((first, last)),
            }
        }
        Ok(joined)
    }

    /// The first file, if any, in which an erased byte may stand.
    fn left_behind(&self, newest: Newest, ranges: &[Leaves]) -> Result<Option<String>, StoreError> {
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
        if crate::backup::holds_moment(folder::above(&self.path)) {
            return Ok(Some("a backup is being made".into()));
        }
        let is_uncompacted = |file: &&rocksdb::LiveFile| {
            let is_concerned = match file.column_family_name.as_str() {
                KEYS => true,
                DISCLOSURES => overlaps(file, ranges),
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

type Key = Vec<u8>;

/// Numbers of files: the newest log before the flush, the newest table behind the compactions and before them.
#[derive(Clone, Copy)]
struct Newest {
    log: u64,
    table: u64,
    before: u64,
}

fn overlaps(file: &rocksdb::LiveFile, ranges: &[Leaves]) -> bool {
    let leaf = |key: &Option<Vec<u8>>| {
        key.as_deref().and_then(|key| disclosure_place(key).ok()).map(|(LeafIndex(index), _)| index)
    };
    let (first, last) = (leaf(&file.start_key), leaf(&file.end_key));
    let (Some(first), Some(last)) = (first, last) else { return true };
    ranges.iter().any(|range| range.start <= last && first < range.end)
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
    use tlog::{Hash, TreeSize};

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
