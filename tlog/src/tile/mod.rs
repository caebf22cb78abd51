//! Tiles and entry bundles: [C2SP tlog-tiles](https://c2sp.org/tlog-tiles).
//!
//! A tile of level `L` holds up to 256 consecutive hashes of tree level `8 L`; the levels between
//! are computed from it.

mod bundle;
mod nodes;
mod path;

pub use bundle::{BundleError, MAX_ENTRY_BYTES, decode_bundle, encode_bundle};
pub use nodes::{NodeInTile, TileNodes, TileNodesError, node_from_tile, tile_of};
pub use path::TileError;

use crate::hash::Hash;
use crate::position::TreeSize;

/// How many tree levels a tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// How many hashes, or entries, a full tile has.
pub const TILE_WIDTH: u16 = 256;
/// The highest level that a path can name.
pub const MAX_TILE_LEVEL: u8 = 63;
/// The highest level that a tree with fewer than 2⁶⁴ leaves has.
const MAX_TREE_TILE_LEVEL: u8 = 7;

/// What a tile holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TileKind {
    /// Hashes of tree level `8 × level`.
    Hashes {
        /// The tile level, 0 to 63.
        level: u8,
    },
    /// The entries themselves, an entry bundle.
    Entries,
}

/// The coordinates of a tile or entry bundle.
///
/// `Display` and [`parse`](Self::parse) use the path below the log's prefix, for example
/// `tile/0/x001/234.p/8` or `tile/entries/067`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tile {
    /// What it holds.
    pub kind: TileKind,
    /// The position within its level.
    pub index: u64,
    /// How many hashes or entries it holds, 1 to 256; 256 is a full tile.
    pub width: u16,
}

impl Tile {
    /// The tile of this kind and index as wide as it is in a tree of this size; `None` when that
    /// tree has no such tile.
    #[must_use]
    pub fn at(kind: TileKind, index: u64, size: TreeSize) -> Option<Self> {
        let level = match kind {
            TileKind::Hashes { level } => level,
            TileKind::Entries => 0,
        };
        let first = index.checked_mul(u64::from(TILE_WIDTH))?;
        let left = hashes_at(level, size).checked_sub(first).filter(|left| *left > 0)?;
        // At most 256.
        let width = left.min(u64::from(TILE_WIDTH)) as u16;
        Some(Self { kind, index, width })
    }

    /// Whether the tile is full, and so final.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The bundle that holds the entries of this level-0 tile; `None` for other levels.
    #[must_use]
    pub fn bundle(&self) -> Option<Self> {
        match self.kind {
            TileKind::Hashes { level: 0 } | TileKind::Entries => {
                Some(Self { kind: TileKind::Entries, ..*self })
            }
            TileKind::Hashes { .. } => None,
        }
    }

    /// The length in bytes of a tile of hashes of this width.
    #[must_use]
    pub fn hashes_len(&self) -> usize {
        usize::from(self.width) * Hash::LEN
    }
}

/// The tiles of hashes that a tree growing from `old` to `new` gets anew or wider, at the width
/// they have in the new tree; by level, then by index. None when it does not grow.
pub fn tiles_between(old: TreeSize, new: TreeSize) -> impl Iterator<Item = Tile> {
    (0..=MAX_TREE_TILE_LEVEL).flat_map(move |level| {
        let width = u64::from(TILE_WIDTH);
        let (had, has) = (hashes_at(level, old), hashes_at(level, new));
        let indexes = if has > had { had / width..has.div_ceil(width) } else { 0..0 };
        indexes.filter_map(move |index| Tile::at(TileKind::Hashes { level }, index, new))
    })
}

/// How many hashes all tiles of this level have together.
fn hashes_at(level: u8, size: TreeSize) -> u64 {
    size.0.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0)
}
