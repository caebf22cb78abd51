//! The engine without the ledger: the baseline of the benchmark.

use std::path::Path;

use tlog::TreeSize;

use super::keyspace::{self, FAMILIES};
use super::rocks::RECORD_OVERHEAD_BYTES;
use super::{Batch, RocksStore, StoreError};

/// Keys and values of one commit, by family.
pub struct Writes {
    bytes: Vec<u8>,
    /// Family, end of the key, end of the value.
    ends: Vec<(&'static str, usize, usize)>,
}

impl Writes {
    pub(crate) fn of(expected: TreeSize, batch: &Batch) -> Self {
        let mut writes = Self { bytes: Vec::new(), ends: Vec::new() };
        keyspace::writes(expected, batch, |family, key, value| {
            writes.bytes.extend_from_slice(key);
            let key_end = writes.bytes.len();
            writes.bytes.extend_from_slice(value);
            writes.ends.push((family, key_end, writes.bytes.len()));
        });
        writes
    }

    /// All keys and values, one after another.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, &[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(family, key_end, end)| {
            let (key, value) = (&self.bytes[start..key_end], &self.bytes[key_end..end]);
            start = end;
            (family, key, value)
        })
    }
}

/// RocksDB with the ledger's families and options, and nothing around it.
pub struct RawStore(RocksStore);

impl RawStore {
    /// Opens or creates it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        RocksStore::open(path).map(Self)
    }

    /// One synced WriteBatch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let families = FAMILIES.map(|name| (name, self.0.family(name)));
        let bytes = writes.bytes.len() + writes.ends.len() * RECORD_OVERHEAD_BYTES;
        let mut batch = rocksdb::WriteBatch::with_capacity_bytes(bytes);
        for (family, key, value) in writes.each() {
            if let Some((_, family)) = families.iter().find(|(name, _)| *name == family) {
                batch.put_cf(family, key, value);
            }
        }
        self.0.commit(batch)
    }
}
