//! A store as of one moment, while it goes on; and a store that is only read.

use std::path::Path;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{ColumnFamilyDescriptor, DB};

use super::rot::Rot;
use super::{RocksStore, check_logs, database_options, engine_error, family_options, open_error};
use crate::store::StoreError;
use crate::store::keyspace::FAMILIES;

impl RocksStore {
    /// Puts the store as of now into the folder `to`, which must not exist and lies on the same disk. It holds everything
    /// that was acknowledged before the call. Tables, which never change, are hard links, so this takes no room and
    /// little time; appends go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub(crate) fn snapshot(&self, to: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(to))
            .map_err(|error| engine_error(&self.path, &error))
    }

    /// Opens an existing store of which nothing is changed. It takes no lock: no ledger may write to it meanwhile.
    ///
    /// # Errors
    /// Those of [`RocksStore::open`], except that it is never in use.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        check_logs(path)?;
        let mut options = database_options();
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options(name)));
        let db = DB::open_cf_descriptors_read_only(&options, path, families, false)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { rot: Rot::only_seen(), ..Self::of(db, path) })
    }
}
