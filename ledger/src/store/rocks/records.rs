//! Every record of a family in the order of its keys, past what is damaged: how fsck reads.

use std::cmp::Ordering;
use std::path::Path;

use rocksdb::{
    ColumnFamilyDescriptor, DB, DBIteratorWithThreadMode, Direction, IteratorMode, Options,
    ReadOptions,
};

use super::{RocksStore, database_options, engine_error, family_options, open_error};
use crate::folder;
use crate::store::StoreError;
use crate::store::keyspace::{DEFAULT, FAMILIES};

/// Bytes that an iterator reads ahead of itself.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Column families that are not those of the format.
#[derive(Debug, Default)]
pub(crate) struct StrangeFamilies {
    pub(crate) unknown: Vec<String>,
    pub(crate) missing: Vec<&'static str>,
}

impl RocksStore {
    /// Opens an existing store, whichever families it has, without compacting it.
    ///
    /// # Errors
    /// Those of [`RocksStore::open`]; also when there is no store.
    pub(crate) fn open_for_check(path: &Path) -> Result<(Self, StrangeFamilies), StoreError> {
        let mut options = database_options();
        options.create_if_missing(false);
        let there = DB::list_cf(&options, path).map_err(|error| engine_error(path, &error))?;
        let missing = FAMILIES.into_iter().filter(|name| !there.iter().any(|t| t == name));
        let missing = missing.collect();
        let is_unknown = |name: &&String| name != &DEFAULT && !FAMILIES.contains(&name.as_str());
        let unknown: Vec<_> = there.iter().filter(is_unknown).cloned().collect();
        let families = FAMILIES.into_iter().chain(unknown.iter().map(String::as_str));
        let families = families.map(|name| {
            let mut options =
                if FAMILIES.contains(&name) { family_options(name) } else { Options::default() };
            options.set_disable_auto_compactions(true);
            ColumnFamilyDescriptor::new(name, options)
        });
        let db = DB::open_cf_descriptors(&options, path, families)
            .map_err(|error| open_error(path, &error))?;
        Ok((Self::of(db, path), StrangeFamilies { unknown, missing }))
    }

    /// The folder in which the store's own stands.
    pub(crate) fn folder_above(&self) -> &Path {
        folder::above(&self.path)
    }

    /// One record. `Err` holds the engine's words.
    pub(crate) fn record(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        // Cached: what is read alone, as keys are, is not read in order.
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        self.db.get_cf_opt(self.family(family), key, &read).map_err(|error| error.to_string())
    }

    fn iterate(&self, family: &str, from: &[u8], until: Option<&[u8]>) -> Cursor<'_> {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        read.fill_cache(false);
        read.set_readahead_size(READ_AHEAD_BYTES);
        if let Some(until) = until {
            read.set_iterate_upper_bound(until);
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        self.db.iterator_cf_opt(self.family(family), read, mode)
    }
}

type Cursor<'a> = DBIteratorWithThreadMode<'a, DB>;
type Record = (Box<[u8]>, Box<[u8]>);

/// What is stored under an expected key.
#[derive(Debug)]
pub(crate) enum Found {
    Record(Box<[u8]>),
    Missing,
    /// The engine cannot read it, in its words.
    Unreadable(String),
}

/// What is stored beside expected keys.
#[derive(Debug)]
pub(crate) enum Odd<'a> {
    /// A record that nobody expects.
    Surplus(&'a [u8]),
    /// The engine cannot read on behind this key (empty: from the beginning), in its words.
    Damage { after: &'a [u8], reason: &'a str },
}

/// The records of a family, held against the keys that are expected in it.
///
/// Where the engine cannot iterate, expected records are read one by one until one can be read again.
pub(crate) struct Records<'a> {
    store: &'a RocksStore,
    family: &'static str,
    until: Option<Vec<u8>>,
    iterator: Cursor<'a>,
    ahead: Option<Record>,
    is_damaged: bool,
    last: Vec<u8>,
    /// Keys and values that were read.
    pub(crate) bytes: u64,
}

impl<'a> Records<'a> {
    /// All of a family.
    pub(crate) fn of(store: &'a RocksStore, family: &'static str) -> Self {
        Self::within(store, family, &[], None)
    }

    /// Those from a key on, up to another.
    pub(crate) fn within(
        store: &'a RocksStore,
        family: &'static str,
        from: &[u8],
        until: Option<Vec<u8>>,
    ) -> Self {
        let iterator = store.iterate(family, from, until.as_deref());
        let last = Vec::new();
        Self { store, family, until, iterator, ahead: None, is_damaged: false, last, bytes: 0 }
    }

    /// The record with this key. Keys ascend from call to call; `odd` is told what stands between them.
    pub(crate) fn take(&mut self, key: &[u8], odd: &mut dyn FnMut(Odd<'_>)) -> Found {
        loop {
            if self.is_damaged {
                return self.take_alone(key);
            }
            let Some((stored, value)) = self.read_ahead(odd) else {
                if self.is_damaged {
                    continue;
                }
                return Found::Missing;
            };
            match (*stored).cmp(key) {
                Ordering::Less => odd(Odd::Surplus(&stored)),
                Ordering::Equal => return Found::Record(value),
                Ordering::Greater => {
                    self.ahead = Some((stored, value));
                    return Found::Missing;
                }
            }
        }
    }

    /// The key of the next record; `None` at the end, and where the engine cannot read on.
    pub(crate) fn next_key(&mut self, odd: &mut dyn FnMut(Odd<'_>)) -> Option<&[u8]> {
        if self.ahead.is_none() {
            self.ahead = self.read_ahead(odd);
        }
        self.ahead.as_ref().map(|(key, _)| &**key)
    }

    /// Everything behind the last expected key is odd.
    pub(crate) fn rest(&mut self, odd: &mut dyn FnMut(Odd<'_>)) {
        while let Some((key, _)) = self.read_ahead(odd) {
            odd(Odd::Surplus(&key));
        }
    }

    fn read_ahead(&mut self, odd: &mut dyn FnMut(Odd<'_>)) -> Option<Record> {
        if self.is_damaged {
            return None;
        }
        if let Some(ahead) = self.ahead.take() {
            return Some(ahead);
        }
        match self.iterator.next()? {
            Ok((key, value)) => {
                self.bytes += (key.len() + value.len()) as u64;
                self.last = key.to_vec();
                Some((key, value))
            }
            Err(error) => {
                self.is_damaged = true;
                odd(Odd::Damage { after: &self.last, reason: error.as_ref() });
                None
            }
        }
    }

    fn take_alone(&mut self, key: &[u8]) -> Found {
        let read = self.store.record(self.family, key);
        let value = match read {
            Ok(value) => value,
            Err(reason) => return Found::Unreadable(reason),
        };
        self.is_damaged = false;
        self.last = key.to_vec();
        let behind = [key, &[0]].concat();
        self.iterator = self.store.iterate(self.family, &behind, self.until.as_deref());
        let Some(value) = value else { return Found::Missing };
        self.bytes += (key.len() + value.len()) as u64;
        Found::Record(value.into())
    }
}

/// Changing records behind the ledger's back, as only tests of fsck do.
#[cfg(test)]
impl RocksStore {
    pub(crate) fn overwrite(&self, family: &str, key: &[u8], value: Option<&[u8]>) {
        let family = self.family(family);
        match value {
            Some(value) => self.db.put_cf(family, key, value).unwrap(),
            None => self.db.delete_cf(family, key).unwrap(),
        }
    }

    pub(crate) fn all(&self, family: &str) -> Vec<Record> {
        self.iterate(family, &[], None).map(Result::unwrap).collect()
    }

    /// Moves everything out of the write-ahead log.
    pub(crate) fn flush(&self) {
        FAMILIES.iter().for_each(|name| self.db.flush_cf(self.family(name)).unwrap());
    }

    /// Names of the table files of a family.
    pub(crate) fn files_of(&self, family: &str) -> Vec<String> {
        let files = self.db.live_files().unwrap().into_iter();
        let of = files.filter(|file| file.column_family_name == family);
        of.map(|file| file.name.trim_start_matches('/').to_owned()).collect()
    }

    /// Flips a bit in each table of a closed store where these bytes stand; in how many.
    pub(crate) fn rot(path: &Path, bytes: &[u8]) -> usize {
        let mut found = 0;
        for file in std::fs::read_dir(path).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_none_or(|extension| extension != "sst") {
                continue;
            }
            let mut table = std::fs::read(&file).unwrap();
            if let Some(at) = table.windows(bytes.len()).position(|window| window == bytes) {
                table[at] ^= 1;
                std::fs::write(&file, table).unwrap();
                found += 1;
            }
        }
        found
    }

    pub(crate) fn add_family(&mut self, name: &str) {
        self.db.create_cf(name, &Options::default()).unwrap();
    }
}
