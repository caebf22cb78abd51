//! Tree nodes out of tiles.

use super::{TILE_HEIGHT, TILE_WIDTH, Tile, TileKind};
use crate::hash::{Hash, node_hash};
use crate::position::TreeSize;
use crate::source::NodeSource;

/// Where a tree node is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeInTile {
    /// The level of the tile.
    pub tile_level: u8,
    /// The index of the tile within its level.
    pub tile_index: u64,
    /// The node's level above the tile's hashes, 0 to 7.
    pub level: u8,
    /// The node's index within that level of the tile.
    pub index: u16,
}

/// The tile that holds the tree node of this level and index, and where in it the node is.
#[must_use]
pub fn tile_of(level: u8, index: u64) -> NodeInTile {
    let within = level % TILE_HEIGHT;
    let per_tile = u64::from(TILE_WIDTH >> within);
    NodeInTile {
        tile_level: level / TILE_HEIGHT,
        tile_index: index / per_tile,
        level: within,
        // Below 256.
        index: (index % per_tile) as u16,
    }
}

/// The hash of the node that stands `level_in_tile` levels (0 to 8) above the tile's hashes at
/// `index_in_tile`.
///
/// `None` when the bytes are no tile (1 to 256 whole hashes), or the tile lacks a hash below the
/// node.
#[must_use]
pub fn node_from_tile(tile_hashes: &[u8], level_in_tile: u8, index_in_tile: u16) -> Option<Hash> {
    let (hashes, []) = tile_hashes.as_chunks::<{ Hash::LEN }>() else { return None };
    if hashes.len() > usize::from(TILE_WIDTH) || level_in_tile > TILE_HEIGHT {
        return None;
    }
    let first = usize::from(index_in_tile) << level_in_tile;
    let below = hashes.get(first..first + (1 << level_in_tile))?;
    Some(subtree(below))
}

/// The hash over a power of two of hashes.
fn subtree(hashes: &[[u8; Hash::LEN]]) -> Hash {
    match hashes {
        [] => Hash::empty_root(),
        [one] => Hash(*one),
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(&subtree(left), &subtree(right))
        }
    }
}

/// A [`NodeSource`] that reads the nodes of a tree from its tiles.
///
/// `fetch` is asked for tiles as wide as they are in the tree of this size, and may be asked for
/// the same one again: it caches as it likes.
pub struct TileNodes<F> {
    size: TreeSize,
    fetch: F,
}

impl<F> TileNodes<F> {
    /// The nodes of the tree of this size.
    pub fn new(size: TreeSize, fetch: F) -> Self {
        Self { size, fetch }
    }
}

impl<F, B, E> NodeSource for TileNodes<F>
where
    F: Fn(&Tile) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    type Error = TileNodesError<E>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let place = tile_of(level, index);
        let kind = TileKind::Hashes { level: place.tile_level };
        let outside = TileNodesError::OutsideTree { level, index, size: self.size };
        let Some(tile) = Tile::at(kind, place.tile_index, self.size) else { return Err(outside) };
        let bytes = (self.fetch)(&tile).map_err(TileNodesError::Fetch)?;
        let (bytes, expected) = (bytes.as_ref(), tile.hashes_len());
        if bytes.len() != expected {
            return Err(TileNodesError::Length { tile, expected, actual: bytes.len() });
        }
        node_from_tile(bytes, place.level, place.index).ok_or(outside)
    }
}

/// Why a node could not be read from tiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileNodesError<E> {
    /// The tile could not be fetched.
    #[error("a tile could not be read: {0}")]
    Fetch(E),
    /// The node's leaves are not all in the tree.
    #[error("node {index} of level {level} is not within a tree of size {size}")]
    OutsideTree {
        /// The node's level.
        level: u8,
        /// The node's index within the level.
        index: u64,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The tile is longer or shorter than its width.
    #[error("{tile} must have {expected} bytes, it has {actual}")]
    Length {
        /// The tile.
        tile: Tile,
        /// Its length in bytes by its width.
        expected: usize,
        /// The length of what was fetched.
        actual: usize,
    },
}
