//! The store on RocksDB: one synced WriteBatch a commit, one column family a kind of record.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use proto::v1::Opening;
use rocksdb::{
    BlockBasedOptions, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction,
    IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};
use tlog::{LeafIndex, TreeSize};

use super::keyspace::{
    self, CHAINS, DISCLOSURES, ENTRIES, HEAD_KEY, KEYS, META, TILES, disclosure_key, entry_key,
    tile_key,
};
use super::{Batch, Store, StoreError, StoredChain, TreeHead};
use crate::vault;

/// One log in one RocksDB folder.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
}

impl RocksStore {
    /// Opens or creates the store in `path`. RocksDB's own lock keeps a second process out.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when a ledger has it open; [`StoreError::Engine`] when it is unreadable or damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let families = [ENTRIES, DISCLOSURES, KEYS, TILES, CHAINS, META]
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(name)));
        let db = DB::open_cf_descriptors(&database_options(), path, families)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { db, path: path.to_owned() })
    }

    fn family(&self, name: &str) -> &ColumnFamily {
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
        let mut writes = WriteBatch::default();
        let entries = self.family(ENTRIES);
        for (index, entry) in (expected.0..).zip(&batch.entries) {
            writes.put_cf(entries, entry_key(LeafIndex(index)), entry);
        }
        let disclosures = self.family(DISCLOSURES);
        for disclosure in &batch.disclosures {
            let key = disclosure_key(disclosure.leaf_index, disclosure.slot);
            writes.put_cf(disclosures, key, &disclosure.sealed);
        }
        for (id, key) in &batch.keys {
            writes.put_cf(self.family(KEYS), id, key);
        }
        for (level, index, hashes) in &batch.tiles {
            writes.put_cf(self.family(TILES), tile_key(*level, *index), hashes);
        }
        for chain in &batch.chains {
            let key = keyspace::chain_key(chain);
            writes.put_cf(self.family(CHAINS), key, keyspace::chain_value(chain));
        }
        writes.put_cf(self.family(META), HEAD_KEY, keyspace::head_value(&batch.head));

        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(writes, &options).map_err(|error| engine_error(&self.path, &error))
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
            let (key, sealed) = item.map_err(|error| engine_error(&self.path, &error))?;
            let (index, slot) = keyspace::disclosure_place(&key)?;
            sum += sealed.len();
            let new_leaf = openings.last().is_some_and(|(last, _)| *last != index);
            if sum > bytes && new_leaf {
                return Ok((openings, index));
            }
            let opened = vault::open(&sealed, slot, |id| self.disclosure_key(id))?;
            openings.extend(opened.map(|opening| (index, opening)));
        }
        Ok((openings, end))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(TILES, &tile_key(level, index))
    }

    fn disclosure_key(&self, id: &[u8; 16]) -> Result<Option<[u8; 32]>, StoreError> {
        self.read(KEYS, id)?
            .map(|key| {
                key.try_into()
                    .map_err(|_| StoreError::Damaged("a disclosure key is not 32 bytes".into()))
            })
            .transpose()
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
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A record that the end of the WAL cuts short is a commit whose sync did not return: nobody was told of it,
    // and it is dropped. Any other damage may lie in or before a synced commit, and the store does not open: the
    // default, PointInTime, would drop everything from there on without a word, published or not. This mode and
    // reused WAL files exclude each other (what an old file leaves behind a new tail reads as damage).
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
    table.set_format_version(5);
    if matches!(name, KEYS | CHAINS | META | TILES) {
        table.set_bloom_filter(10.0, false);
    }
    options.set_block_based_table_factory(&table);
    // Ciphertext, keys and hashes do not compress.
    options.set_compression_type(match name {
        ENTRIES => DBCompressionType::Lz4,
        _ => DBCompressionType::None,
    });
    options
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
