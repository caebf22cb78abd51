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
    self, DISCLOSURES, FAMILIES, KEYS, META, PURGE_KEY, disclosure_place, entry_key,
};
use crate::store::{Leaves, StoreError};

/// How long the engine may take to remove files that nothing needs any more. Readers keep them while they read.
const REMOVAL: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl RocksStore {
    /// The leaves whose erased disclosures may still be on the disk.
    pub(super) fn to_purge(&self) -> Result<Option<Vec<Leaves>>, StoreError> {
        self.read(META, PURGE_KEY)?.map(|value| keyspace::parse_purge(&value)).transpose()
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
        self.compact(KEYS, None, BottommostLevelCompaction::Force);
        for range in &ranges {
            self.compact(DISCLOSURES, Some(range), BottommostLevelCompaction::ForceOptimized);
        }
        let newest_table = newest(&self.path, "sst")?;
        let deadline = Instant::now() + REMOVAL;
        while let Some(left) = self.left_behind(newest_log, newest_table, &ranges)? {
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

    fn compact(&self, family: &str, leaves: Option<&Leaves>, level: BottommostLevelCompaction) {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(true);
        options.set_bottommost_level_compaction(level);
        let key = |index: u64| entry_key(LeafIndex(index));
        let from = leaves.map(|leaves| key(leaves.start));
        let to = leaves.map(|leaves| key(leaves.end));
        // It does not say whether it failed; the look at what is left does.
        self.db.compact_range_cf_opt(self.family(family), from, to, &options);
    }

    /// The first file, if any, in which an erased byte may stand.
    fn left_behind(
        &self,
        newest_log: u64,
        newest_table: u64,
        ranges: &[Leaves],
    ) -> Result<Option<String>, StoreError> {
        let tables = files(&self.path, "sst")?;
        let live = self.db.live_files().map_err(|error| engine_error(&self.path, &error))?;
        let is_live = |number: u64| live.iter().any(|file| number_of(&file.name) == Some(number));
        let logs = files(&self.path, "log")?;
        if let Some(old) = logs.into_iter().find(|number| *number <= newest_log) {
            return Ok(Some(format!("write-ahead log {old:06}.log is still there")));
        }
        if let Some(old) = tables.into_iter().find(|old| *old <= newest_table && !is_live(*old)) {
            return Ok(Some(format!("table {old:06}.sst is still there")));
        }
        // A moment of the store that is being copied into a backup: other names of the same files.
        if crate::backup::holds_moment(folder::above(&self.path)) {
            return Ok(Some("a backup is being made".into()));
        }
        let holds_tombstone = |file: &&rocksdb::LiveFile| {
            let is_concerned = match file.column_family_name.as_str() {
                KEYS => true,
                DISCLOSURES => overlaps(file, ranges),
                _ => false,
            };
            is_concerned && file.num_deletions > 0
        };
        let uncompacted = live.iter().find(holds_tombstone);
        Ok(uncompacted.map(|file| format!("table {} was not compacted", file.name)))
    }
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
