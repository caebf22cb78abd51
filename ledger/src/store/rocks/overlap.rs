//! Which tables of disclosures lie over which leaves, and whether they can be read, before a purge compacts them.

use rocksdb::LiveFile;
use tlog::LeafIndex;

use super::{RocksStore, engine_error};
use crate::store::keyspace::{DISCLOSURES, disclosure_place};
use crate::store::{Leaves, StoreError};

pub(super) type Key = Vec<u8>;

/// Ranges of leaves, each with the engine's words for a block over it that cannot be read.
pub(super) type Rotten = Vec<(Leaves, String)>;

impl RocksStore {
    /// The ranges over which every table of disclosures can be read, and those over which one cannot, with the engine's words
    /// for it. A compaction takes in whatever overlaps with what it is asked for, so that is read too.
    pub(super) fn apart(&self, ranges: Vec<Leaves>) -> Result<(Vec<Leaves>, Rotten), StoreError> {
        let live = self.tables()?;
        let islands = joined(live.iter().filter_map(keys_of).collect());
        let mut rotten: Vec<((Key, Key), String)> = Vec::new();
        for island in islands {
            let is_over = |table: &LiveFile| lies_in(table, &island) && overlaps(table, &ranges);
            if live.iter().any(is_over)
                && let Some(why) = self.rot_within(DISCLOSURES, Some(&island))?
            {
                rotten.push((island, why));
            }
        }
        let (mut whole, mut left) = (Vec::new(), Vec::new());
        for range in ranges {
            let over = |table: &&LiveFile| overlaps(table, std::slice::from_ref(&range));
            let why = live.iter().filter(over).find_map(|table| {
                rotten.iter().find(|(island, _)| lies_in(table, island)).map(|(_, why)| why.clone())
            });
            match why {
                None => whole.push(range),
                Some(why) => left.push((range, why)),
            }
        }
        Ok((whole, left))
    }

    /// First and last keys of the tables with disclosures over these leaves, joined where tables overlap. Whole tables: the
    /// engine leaves alone a table that has no key within what it is asked to compact.
    pub(super) fn tables_over(&self, ranges: &[Leaves]) -> Result<Vec<(Key, Key)>, StoreError> {
        let live = self.tables()?;
        Ok(joined(live.iter().filter(|file| overlaps(file, ranges)).filter_map(keys_of).collect()))
    }

    /// Those of disclosures.
    fn tables(&self) -> Result<Vec<LiveFile>, StoreError> {
        let mut live = self.db.live_files().map_err(|error| engine_error(&self.path, &error))?;
        live.retain(|file| file.column_family_name == DISCLOSURES);
        Ok(live)
    }
}

/// First and last keys, joined where they overlap.
fn joined(mut tables: Vec<(Key, Key)>) -> Vec<(Key, Key)> {
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
    joined
}

fn keys_of(file: &LiveFile) -> Option<(Key, Key)> {
    Some((file.start_key.clone()?, file.end_key.clone()?))
}

fn lies_in(file: &LiveFile, island: &(Key, Key)) -> bool {
    keys_of(file).is_some_and(|(first, last)| island.0 <= first && last <= island.1)
}

pub(super) fn overlaps(file: &LiveFile, ranges: &[Leaves]) -> bool {
    let leaf = |key: &Option<Vec<u8>>| {
        key.as_deref().and_then(|key| disclosure_place(key).ok()).map(|(LeafIndex(index), _)| index)
    };
    let (first, last) = (leaf(&file.start_key), leaf(&file.end_key));
    let (Some(first), Some(last)) = (first, last) else { return true };
    ranges.iter().any(|range| range.start <= last && first < range.end)
}
