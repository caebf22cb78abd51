//! The store on RocksDB: one synced WriteBatch a commit, one column family a kind of record.

mod backup;
mod damage;
mod overlap;
mod purge;
pub(crate) mod records;
mod rot;
#[cfg(test)]
mod tests;
pub(crate) mod wal;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use proto::ids::Id;
use proto::v1::Opening;
use rocksdb::{
    BlockBasedOptions, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction,
    IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};
use tlog::{LeafIndex, TreeSize};

use self::purge::LeftOut;
use self::rot::{Rot, is_rotten};
use super::keyspace::{
    self, CHAINS, DISCLOSURES, ENTRIES, FAMILIES, HEAD_KEY, HOLD_PREFIX, KEYS, META, PURGE_KEY,
    TILES, entry_key, tile_key,
};
use super::{Batch, Leaves, Store, StoreError, StoredChain, StoredKey, TreeHead};
use crate::vault;

/// What RocksDB puts beside key and value of a record in a write batch, at most: tag, family, two lengths.
pub(super) const RECORD_OVERHEAD_BYTES: usize = 16;

/// One log in one RocksDB folder.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
    /// Commits since the start that destroyed keys.
    destructions: AtomicU64,
    /// Families with blocks that cannot be read.
    rot: Rot,
    /// A commit failed: nothing is written any more.
    has_failed: AtomicBool,
    /// What the last purge could not take off the disk.
    left_out: Mutex<Option<LeftOut>>,
}

impl RocksStore {
    pub(super) fn of(db: DB, path: &Path) -> Self {
        Self {
            db,
            path: path.to_owned(),
            destructions: AtomicU64::new(0),
            rot: Rot::default(),
            has_failed: AtomicBool::new(false),
            left_out: Mutex::default(),
        }
    }

    /// Opens or creates the store in `path`. RocksDB's own lock keeps a second process out.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a ledger has it open; [`StoreError::Damaged`] when its write-ahead log is not what was
    /// written; [`StoreError::Engine`] when it is unreadable or damaged otherwise.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        check_logs(path)?;
        Self::open_without_a_look(path)
    }

    /// The engine's own way to open, see `wal`.
    pub(crate) fn open_without_a_look(path: &Path) -> Result<Self, StoreError> {
        let rot = Rot::noted(path);
        let families = FAMILIES.map(|name| {
            let mut options = family_options(name);
            // To the engine a block that it cannot rewrite is the end of all writing.
            options.set_disable_auto_compactions(rot.is_in(name));
            ColumnFamilyDescriptor::new(name, options)
        });
        let db = DB::open_cf_descriptors(&database_options(), path, families)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { rot, ..Self::of(db, path) })
    }

    /// Writes and syncs.
    pub(super) fn commit(&self, writes: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(writes, &options).map_err(|error| {
            self.has_failed.store(true, Ordering::Relaxed);
            self.note_what_stopped(&error);
            engine_error(&self.path, &error)
        })
    }

    pub(super) fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("every family is created when the store opens")
    }

    fn read(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family), key).map_err(|error| engine_error(&self.path, &error))
    }

    fn size(&self) -> Result<u64, StoreError> {
        Ok(self.head()?.map_or(0, |head| head.size.0))
    }
}

impl Store for RocksStore {
    fn head(&self) -> Result<Option<TreeHead>, StoreError> {
        self.read(META, HEAD_KEY)?.map(|value| keyspace::parse_head(&value)).transpose()
    }

    fn append(&self, expected: TreeSize, batch: &Batch) -> Result<(), StoreError> {
        let found = self.size()?;
        if found != expected.0 {
            return Err(StoreError::Conflict { expected: expected.0, found });
        }
        let mut bytes = 0;
        keyspace::writes(expected, batch, |_, key, value| {
            bytes += key.len() + value.len() + RECORD_OVERHEAD_BYTES;
        });
        let mut writes = WriteBatch::with_capacity_bytes(bytes);
        let families = FAMILIES.map(|name| (name, self.family(name)));
        keyspace::writes(expected, batch, |family, key, value| {
            if let Some((_, family)) = families.iter().find(|(name, _)| *name == family) {
                writes.put_cf(family, key, value);
            }
        });
        keyspace::deletes(batch, |family, key| writes.delete_cf(self.family(family), key));
        if !batch.changes.erased.is_empty() {
            // Beside what an earlier erasure left, if that was not purged.
            let mut ranges = self.to_purge()?.unwrap_or_default();
            ranges.extend(batch.changes.erased.iter().map(|(index, _)| index.0..index.0 + 1));
            writes.put_cf(self.family(META), PURGE_KEY, keyspace::purge_value(ranges));
        }
        self.commit(writes)?;
        if !batch.changes.destroyed.is_empty() {
            self.destructions.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn entries(
        &self,
        from: LeafIndex,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        let start = entry_key(from);
        let iterator = self.db.iterator_cf_opt(
            self.family(ENTRIES),
            read,
            IteratorMode::From(&start, Direction::Forward),
        );
        let mut entries = Vec::new();
        let mut sum = 0;
        for (index, item) in (from.0..).zip(iterator).take(count) {
            let (key, value) = item.map_err(|error| engine_error(&self.path, &error))?;
            if keyspace::entry_index(&key)?.0 != index {
                return Err(StoreError::Damaged(format!("entry {index} is missing")));
            }
            sum += value.len();
            entries.push(Bytes::from(value));
            if sum >= bytes {
                break;
            }
        }
        Ok(entries)
    }

    fn openings(
        &self,
        from: LeafIndex,
        end: LeafIndex,
        bytes: usize,
    ) -> Result<(Vec<(LeafIndex, Opening)>, LeafIndex), StoreError> {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        read.set_iterate_upper_bound(entry_key(end));
        let start = entry_key(from);
        let iterator = self.db.iterator_cf_opt(
            self.family(DISCLOSURES),
            read,
            IteratorMode::From(&start, Direction::Forward),
        );
        let mut openings = Vec::new();
        let mut sum = 0;
        for item in iterator {
            let (key, sealed) = match item {
                Err(error) if is_rotten(&error) => {
                    self.met_rot(DISCLOSURES, &error);
                    return self.openings_one_by_one(openings, from, end, bytes);
                }
                read => read.map_err(|error| engine_error(&self.path, &error))?,
            };
            let (index, slot) = keyspace::disclosure_place(&key)?;
            sum += sealed.len();
            let new_leaf = openings.last().is_some_and(|(last, _)| *last != index);
            if sum > bytes && new_leaf {
                return Ok((openings, index));
            }
            let opened = vault::open(&sealed, slot, |id| Ok(self.disclosure_key(id)?.usable()));
            match opened {
                Ok(opened) => openings.extend(opened.map(|opening| (index, opening))),
                Err(StoreError::Damaged(reason)) => vault::report_unreadable(index, slot, &reason),
                Err(error) => return Err(error),
            }
        }
        Ok((openings, end))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(TILES, &tile_key(level, index))
    }

    fn disclosure_key(&self, id: &[u8; 16]) -> Result<StoredKey, StoreError> {
        let read = self.db.get_cf(self.family(KEYS), id).map_err(|error| {
            if !is_rotten(&error) {
                return engine_error(&self.path, &error);
            }
            self.met_rot(KEYS, &error);
            let id = hex::encode(id);
            StoreError::Damaged(format!("disclosure key {id} cannot be read: {error}"))
        });
        match read? {
            None => Ok(StoredKey::Unknown),
            Some(key) if key.is_empty() => Ok(StoredKey::Destroyed),
            Some(key) => key.try_into().map(StoredKey::There).map_err(|_| {
                StoreError::Damaged(format!("disclosure key {} is not 32 bytes", hex::encode(id)))
            }),
        }
    }

    fn destructions(&self) -> u64 {
        self.destructions.load(Ordering::SeqCst)
    }

    fn chains(&self) -> Result<Vec<StoredChain>, StoreError> {
        self.db
            .iterator_cf(self.family(CHAINS), IteratorMode::Start)
            .map(|item| {
                let (key, value) = item.map_err(|error| engine_error(&self.path, &error))?;
                keyspace::parse_chain(&key, &value)
            })
            .collect()
    }

    fn disclosed(
        &self,
        leaves: Leaves,
        show: &mut dyn FnMut(LeafIndex, i32, &[u8]),
    ) -> Result<(), StoreError> {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        read.fill_cache(false);
        read.set_iterate_upper_bound(entry_key(LeafIndex(leaves.end)));
        let start = entry_key(LeafIndex(leaves.start));
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut shown = None;
        for item in self.db.iterator_cf_opt(self.family(DISCLOSURES), read, mode) {
            let (key, sealed) = match item {
                Err(error) if is_rotten(&error) => {
                    self.met_rot(DISCLOSURES, &error);
                    return self.disclosed_one_by_one(shown, &leaves, show);
                }
                read => read.map_err(|error| engine_error(&self.path, &error))?,
            };
            let (index, slot) = keyspace::disclosure_place(&key)?;
            show(index, slot, &sealed);
            shown = Some((index, slot));
        }
        Ok(())
    }

    fn holds(&self) -> Result<Vec<(Id, Option<LeafIndex>)>, StoreError> {
        let mode = IteratorMode::From(HOLD_PREFIX, Direction::Forward);
        let mut holds = Vec::new();
        for item in self.db.iterator_cf(self.family(META), mode) {
            let (key, value) = item.map_err(|error| engine_error(&self.path, &error))?;
            if !key.starts_with(HOLD_PREFIX) {
                break;
            }
            let id = key.strip_prefix(HOLD_PREFIX).and_then(Id::from_slice);
            let damaged = || StoreError::Damaged("the id of a legal hold is none".into());
            holds.push((id.ok_or_else(damaged)?, keyspace::entry_index(&value).ok()));
        }
        Ok(holds)
    }

    fn must_purge(&self) -> Result<bool, StoreError> {
        Ok(self.to_purge()?.is_some())
    }

    fn purge(&self) -> Result<(), StoreError> {
        self.take_off_the_disk()
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A record that the end of the WAL cuts short is a commit whose sync did not return: nobody was told of it,
    // and it is dropped. Any other damage may lie in or before a synced commit, and the store does not open: the
    // default, PointInTime, would drop everything from there on without a word, published or not. Near the end of a
    // log this mode cannot always tell the two apart, so `wal` does it before.
    // Reused WAL files cut a lone commit's time, but their old records stand behind the new tail, where only
    // PointInTime takes them for the end: RocksDB turns reuse off in this mode, and so do we.
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    // A WAL that was closed must be there in its full length.
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_max_total_wal_size(256 << 20);
    options.set_keep_log_file_num(4);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options
}

fn family_options(name: &str) -> Options {
    let mut options = Options::default();
    let mut table = BlockBasedOptions::default();
    // From 6 on a table's footer has a checksum too.
    table.set_format_version(6);
    // Each new exchange asks for a key that is not there. A filter block that is damaged is not used, and not told of:
    // nothing rests on it.
    if name == KEYS {
        table.set_bloom_filter(10.0, false);
    }
    if matches!(name, ENTRIES | DISCLOSURES) {
        // They are read in runs. A fourth of the index, which stands in memory as long as its file is open.
        table.set_block_size(16 << 10);
    }
    options.set_block_based_table_factory(&table);
    match name {
        // Nine tenths of all bytes: a third buffer takes them while one is written out.
        ENTRIES => {
            options.set_write_buffer_size(32 << 20);
            options.set_max_write_buffer_number(3);
        }
        DISCLOSURES => options.set_max_write_buffer_number(3),
        // Of a new exchange its key is asked for, and is not there.
        KEYS => {
            options.set_memtable_prefix_bloom_ratio(0.05);
            options.set_memtable_whole_key_filtering(true);
        }
        _ => {}
    }
    // Ciphertext, keys and hashes do not compress.
    options.set_compression_type(match name {
        ENTRIES => DBCompressionType::Lz4,
        _ => DBCompressionType::None,
    });
    options
}

/// Before the engine drops what it takes for a torn end.
fn check_logs(path: &Path) -> Result<(), StoreError> {
    let damages = wal::damages(path).map_err(|error| StoreError::Engine {
        path: path.display().to_string(),
        reason: format!("its write-ahead log cannot be read: {error}"),
    })?;
    match damages.first() {
        None => Ok(()),
        Some(damage) => Err(StoreError::Damaged(format!("write-ahead log {damage}"))),
    }
}

/// RocksDB tells a lock that another holds from other failures of the file system only in words.
fn open_error(path: &Path, error: &rocksdb::Error) -> StoreError {
    let words = ["While lock file", "lock hold by current process"];
    if words.iter().any(|words| error.as_ref().contains(words)) {
        return StoreError::InUse { path: path.display().to_string() };
    }
    engine_error(path, error)
}

fn engine_error(path: &Path, error: &rocksdb::Error) -> StoreError {
    StoreError::Engine { path: path.display().to_string(), reason: error.to_string() }
}
