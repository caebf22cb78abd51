//! Full tiles near at hand: a proof needs a node of almost every level, and a tile has eight of them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tlog::{Hash, TILE_WIDTH, node_hash};

use super::missing_tile;
use crate::recent::Recent;
use crate::store::{Store, StoreError};

/// Full tiles of the lowest level that are kept, of 8 KiB and, as they are asked, up to 17.
const LEAF_TILES: usize = 512;
/// Full tiles of higher levels that are kept; they are enough for 60 million entries.
const INNER_TILES: usize = 1_024;
/// Tiles of the lowest level of which the middle is kept, 512 bytes each; enough for 16 million entries. Half of the
/// hashing that a proof out of a tile needs lies below it.
const MIDDLES: usize = 1 << 16;

/// Nodes of level 4 in a tile, and the leaves below each.
const GROUPS: usize = 16;
const GROUP_WIDTH: usize = 16;
const GROUP_HEIGHT: u8 = 4;

/// A full tile, and the nodes over its hashes.
pub(super) struct FullTile {
    hashes: Vec<u8>,
    /// Levels 1 to 3 of each group, hashed when the first of them is asked.
    groups: [OnceLock<Box<[Hash; 14]>>; GROUPS],
    /// Levels 4 to 8, one after another.
    upper: [Hash; 31],
}

impl FullTile {
    /// `None` when these are not 256 hashes.
    fn new(hashes: Vec<u8>, middle: Option<&[Hash; GROUPS]>) -> Option<Self> {
        if hashes.len() != usize::from(TILE_WIDTH) * Hash::LEN {
            return None;
        }
        let mut tile = Self { hashes, groups: Default::default(), upper: [Hash::default(); 31] };
        match middle {
            Some(middle) => tile.upper[..GROUPS].copy_from_slice(middle),
            None => {
                for group in 0..GROUPS {
                    let below = tile.parents(group);
                    tile.upper[group] = node_hash(&below[12], &below[13]);
                }
            }
        }
        for node in 0..GROUPS - 1 {
            tile.upper[GROUPS + node] = node_hash(&tile.upper[2 * node], &tile.upper[2 * node + 1]);
        }
        Some(tile)
    }

    /// The node `level` levels above the tile's hashes, at most 8.
    pub(super) fn node(&self, level: u8, index: u16) -> Option<Hash> {
        let index = usize::from(index);
        match level {
            0 => self.hash(index),
            1..GROUP_HEIGHT => {
                let in_group = GROUP_WIDTH >> level;
                let (group, within) = (index / in_group, index % in_group);
                let parents = self.groups.get(group)?.get_or_init(|| Box::new(self.parents(group)));
                // 8 of level 1, 4 of level 2, 2 of level 3.
                parents.get(GROUP_WIDTH - 2 * in_group + within).copied()
            }
            _ => {
                let in_level = usize::from(TILE_WIDTH) >> level;
                let before = 2 * (GROUPS - in_level);
                (index < in_level).then(|| self.upper.get(before + index).copied())?
            }
        }
    }

    fn hash(&self, index: usize) -> Option<Hash> {
        let bytes = self.hashes.get(index * Hash::LEN..(index + 1) * Hash::LEN)?;
        Hash::try_from(bytes).ok()
    }

    /// Levels 1 to 3 of a group.
    fn parents(&self, group: usize) -> [Hash; 14] {
        let leaf = |within| self.hash(group * GROUP_WIDTH + within).unwrap_or_default();
        let mut parents = [Hash::default(); 14];
        for (node, parent) in parents.iter_mut().enumerate().take(8) {
            *parent = node_hash(&leaf(2 * node), &leaf(2 * node + 1));
        }
        for node in 0..6 {
            parents[8 + node] = node_hash(&parents[2 * node], &parents[2 * node + 1]);
        }
        parents
    }

    fn middle(&self) -> [Hash; GROUPS] {
        std::array::from_fn(|group| self.upper[group])
    }
}

/// Full tiles that were read lately.
pub(super) struct FullTiles {
    store: Arc<dyn Store>,
    leaf: Mutex<Recent<u64, Arc<FullTile>>>,
    inner: Mutex<Recent<(u8, u64), Arc<FullTile>>>,
    middles: Mutex<Recent<u64, [Hash; GROUPS]>>,
}

impl FullTiles {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            leaf: Mutex::new(Recent::new(LEAF_TILES)),
            inner: Mutex::new(Recent::new(INNER_TILES)),
            middles: Mutex::new(Recent::new(MIDDLES)),
        }
    }

    /// # Errors
    /// [`StoreError`] when the store fails or has no such full tile.
    pub(super) fn find(&self, level: u8, index: u64) -> Result<Arc<FullTile>, StoreError> {
        if level > 0 {
            let key = (level, index);
            let found = locked(&self.inner).find(&key).cloned();
            return found.map_or_else(
                || {
                    let tile = self.read(level, index, None)?;
                    locked(&self.inner).insert(key, Arc::clone(&tile));
                    Ok(tile)
                },
                Ok,
            );
        }
        if let Some(tile) = locked(&self.leaf).find(&index) {
            return Ok(Arc::clone(tile));
        }
        let middle = locked(&self.middles).find(&index).copied();
        let tile = self.read(level, index, middle.as_ref())?;
        if middle.is_none() {
            locked(&self.middles).insert(index, tile.middle());
        }
        locked(&self.leaf).insert(index, Arc::clone(&tile));
        Ok(tile)
    }

    fn read(
        &self,
        level: u8,
        index: u64,
        middle: Option<&[Hash; GROUPS]>,
    ) -> Result<Arc<FullTile>, StoreError> {
        let hashes = self.store.tile(level, index)?;
        let tile = hashes.and_then(|hashes| FullTile::new(hashes, middle));
        tile.map(Arc::new).ok_or_else(|| missing_tile(level, index))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::node_from_tile;

    #[test]
    fn every_node_is_the_one_that_its_hashes_give() {
        let hashes: Vec<u8> = (0..=255).flat_map(|leaf| [leaf; Hash::LEN]).collect();
        let first = FullTile::new(hashes.clone(), None).unwrap();
        let again = FullTile::new(hashes.clone(), Some(&first.middle())).unwrap();
        for level in 0..=8 {
            for index in 0..=(256 >> level) {
                let expected = node_from_tile(&hashes, level, index);
                assert_eq!(first.node(level, index), expected, "level {level}, index {index}");
                assert_eq!(again.node(level, index), expected, "level {level}, index {index}");
            }
        }
        assert!(FullTile::new(hashes[1..].to_vec(), None).is_none());
    }
}
