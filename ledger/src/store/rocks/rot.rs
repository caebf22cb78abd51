//! Which families have blocks that the engine cannot read any more, and how they are kept from its compactions.
//!
//! The engine takes a block that a compaction cannot read for the end of all writing. So a family in which one was met is
//! compacted no more: not by the engine itself, nor, where the block is, by a purge (`purge.rs`). A file in the store's folder says so to later starts. If a
//! compaction is the first to meet it, the ledger ends, once, and the next start knows.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{Direction, ErrorKind, IteratorMode, ReadOptions};

use super::{RocksStore, engine_error};
use crate::folder;
use crate::store::StoreError;
use crate::store::keyspace::{DISCLOSURES, KEYS};

/// In the store's folder: a line for each family with rotten blocks, with the engine's words for the first one.
const NOTE: &str = "unreadable-tables";
/// Bytes that a look reads ahead of itself.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Whether the disk does not have what was written there, for good: other bytes, or a sector that it cannot read.
pub(super) fn is_rotten(error: &rocksdb::Error) -> bool {
    match error.kind() {
        ErrorKind::Corruption => true,
        ErrorKind::IOError => error.as_ref().contains("Input/output error"),
        _ => false,
    }
}

/// Which families have rotten blocks, as far as anybody met one.
#[derive(Debug, Default)]
pub(super) struct Rot {
    keys: AtomicBool,
    disclosures: AtomicBool,
    /// Nothing may be written: the store is only read.
    is_only_seen: bool,
}

impl Rot {
    /// What earlier starts met. A note that cannot be read is one of both families.
    pub(super) fn noted(store: &Path) -> Self {
        let rot = Self::default();
        let families = match fs::read(store.join(NOTE)) {
            Ok(note) => String::from_utf8_lossy(&note).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(_) => format!("{KEYS}\n{DISCLOSURES}\n"),
        };
        for family in families.lines().filter_map(|line| line.split(' ').next()) {
            if let Some(rot) = rot.of(family) {
                rot.store(true, Ordering::Relaxed);
            }
        }
        rot
    }

    /// None that is known, and none is written down.
    pub(super) fn only_seen() -> Self {
        Self { is_only_seen: true, ..Self::default() }
    }

    pub(super) fn is_in(&self, family: &str) -> bool {
        self.of(family).is_some_and(|rot| rot.load(Ordering::Relaxed))
    }

    fn of(&self, family: &str) -> Option<&AtomicBool> {
        match family {
            KEYS => Some(&self.keys),
            DISCLOSURES => Some(&self.disclosures),
            _ => None,
        }
    }
}

impl RocksStore {
    /// Whether something cannot be read, as far as anybody met it: no copy of it is good without a check.
    pub(crate) fn has_shown_damage(&self) -> bool {
        [KEYS, DISCLOSURES].into_iter().any(|family| self.rot.is_in(family))
    }

    /// A block of a family cannot be read: its tables are rewritten no more.
    pub(super) fn met_rot(&self, family: &str, error: &rocksdb::Error) {
        let Some(rot) = self.rot.of(family) else { return };
        if rot.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::error!(
            family,
            %error,
            "a block of the store cannot be read, and what stands in it is lost; all else goes on. Stop the ledger when you \
             can, and run `exhibit fsck`"
        );
        if self.rot.is_only_seen {
            return;
        }
        self.compact_by_itself(family, false);
        if let Err(error) = self.note_rot(family, error) {
            let path = self.path.join(NOTE);
            tracing::error!(%error, path = %path.display(), "this could not be written down");
        }
    }

    fn note_rot(&self, family: &str, words: &rocksdb::Error) -> io::Result<()> {
        let mut note = OpenOptions::new().create(true).append(true).open(self.path.join(NOTE))?;
        note.write_all(format!("{family} {words}\n").as_bytes())?;
        note.sync_all()?;
        folder::sync(&self.path)
    }

    /// A commit was refused. When the engine's own compaction met a rotten block before, the next start must know where.
    pub(super) fn note_what_stopped(&self, error: &rocksdb::Error) {
        if !is_rotten(error) {
            return;
        }
        for file in self.db.live_files().unwrap_or_default() {
            if error.as_ref().contains(file.name.trim_start_matches('/')) {
                self.met_rot(&file.column_family_name, error);
            }
        }
    }

    /// Whether the engine may compact the tables of a family by itself.
    pub(super) fn compact_by_itself(&self, family: &str, may: bool) {
        let option = ("disable_auto_compactions", if may { "false" } else { "true" });
        if let Err(error) = self.db.set_options_cf(self.family(family), &[option]) {
            tracing::error!(%error, family, may, "whether tables are compacted could not be set");
        }
    }

    /// Reads all of a family, or what stands between two keys (both included); the engine's words for the first block that
    /// cannot be read, which name its table.
    ///
    /// # Errors
    /// [`StoreError`], but not for that.
    pub(super) fn rot_within(
        &self,
        family: &str,
        keys: Option<&(Vec<u8>, Vec<u8>)>,
    ) -> Result<Option<String>, StoreError> {
        let mut read = ReadOptions::default();
        read.set_verify_checksums(true);
        read.fill_cache(false);
        read.set_readahead_size(READ_AHEAD_BYTES);
        let mut mode = IteratorMode::Start;
        if let Some((first, last)) = keys {
            mode = IteratorMode::From(first, Direction::Forward);
            read.set_iterate_upper_bound([&last[..], &[0]].concat());
        }
        for item in self.db.iterator_cf_opt(self.family(family), read, mode) {
            match item {
                Err(error) if is_rotten(&error) => {
                    self.met_rot(family, &error);
                    return Ok(Some(error.into_string()));
                }
                read => _ = read.map_err(|error| engine_error(&self.path, &error))?,
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::BottommostLevelCompaction;
    use tlog::TreeSize;

    use super::super::damage::tests::{batch, key, rotten};
    use super::*;
    use crate::store::Store;

    /// As many tables as set off a compaction, in which the rotten block would end all writing. Break it: let `met_rot` write
    /// no note, or let the store open with every family compacted by itself.
    #[test]
    fn a_family_with_a_rotten_block_is_compacted_no_more_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = rotten(folder.path(), &key(2).1);
        assert!(store.disclosure_key(&key(2).0).is_err());
        drop(store);
        let store = RocksStore::open(folder.path()).unwrap();
        assert!(store.has_shown_damage());
        for leaf in 5..20 {
            store.append(TreeSize(leaf), &batch(leaf)).unwrap();
            store.flush();
        }
        let tables = store.files_of(KEYS).len();
        assert!(tables >= 15, "{tables}");
        // Whatever the engine would do by itself it has done then.
        let options = rocksdb::WaitForCompactOptions::default();
        store.db.wait_for_compact(&options).unwrap();
        store.append(TreeSize(20), &batch(20)).unwrap();
    }

    /// Of an engine whose compaction met the block first. Break it: let `commit` not call `note_what_stopped`.
    #[test]
    fn what_a_compaction_died_of_is_known_to_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = rotten(folder.path(), &key(2).1);
        store.compact(KEYS, (None, None), BottommostLevelCompaction::Force);
        let mut size = 5;
        while size < 10 && store.append(TreeSize(size), &batch(size)).is_ok() {
            size += 1;
        }
        assert!(store.has_shown_damage(), "the engine wrote on up to {size}");
        drop(store);
        let store = RocksStore::open(folder.path()).unwrap();
        assert!(store.has_shown_damage());
        store.append(TreeSize(size), &batch(size)).unwrap();
    }
}
