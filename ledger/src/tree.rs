//! The tree in memory: the compact range of all leaves and the tiles that are not full yet.
//!
//! Only full tiles are stored. Everything to the right of them follows from the entries, so a restart
//! rebuilds it and a commit never rewrites a tile.

mod tiles;

use std::cell::RefCell;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use tlog::tile::TileNodesError;
use tlog::{
    CompactRange, Hash, NodeSource, TILE_HEIGHT, TILE_WIDTH, Tile, TileKind, TreeSize, leaf_hash,
    node_from_tile, node_hash, tile_of,
};

use self::tiles::{FullTile, FullTiles};
use crate::store::{Store, StoreError, TreeHead};

const HASH_BYTES: usize = Hash::LEN;
const FULL_TILE_BYTES: usize = TILE_WIDTH as usize * HASH_BYTES;

/// The rightmost, still growing tile of each tile level. Snapshots share what does not change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edge(Vec<Arc<EdgeTile>>);

#[derive(Debug, Clone, Default)]
struct EdgeTile {
    index: u64,
    hashes: Vec<u8>,
    /// The perfect nodes over the hashes, level by level, hashed when the first of them is asked.
    parents: OnceLock<Vec<Vec<Hash>>>,
}

impl Edge {
    /// Adds the next hash of a tile level; the tile, if that fills it.
    fn push(&mut self, level: usize, hash: Hash) -> Option<(u64, Vec<u8>)> {
        if self.0.len() <= level {
            self.0.resize_with(level + 1, Arc::default);
        }
        let tile = Arc::make_mut(&mut self.0[level]);
        tile.parents.take();
        tile.hashes.extend_from_slice(&hash.0);
        if tile.hashes.len() < FULL_TILE_BYTES {
            return None;
        }
        let full = std::mem::take(&mut tile.hashes);
        tile.index += 1;
        Some((tile.index - 1, full))
    }

    fn tile(&self, level: u8, index: u64) -> Option<&EdgeTile> {
        let tile = self.0.get(usize::from(level))?;
        (tile.index == index).then_some(&**tile)
    }
}

impl EdgeTile {
    /// The node `level` levels above the tile's hashes; `None` when something below it is not there yet.
    fn node(&self, level: u8, index: u16) -> Option<Hash> {
        let Some(above) = level.checked_sub(1) else {
            return node_from_tile(&self.hashes, 0, index);
        };
        let parents = self.parents.get_or_init(|| parents(&self.hashes));
        parents.get(usize::from(above))?.get(usize::from(index)).copied()
    }
}

/// The perfect nodes over hashes, level by level.
fn parents(hashes: &[u8]) -> Vec<Vec<Hash>> {
    let (hashes, _) = hashes.as_chunks::<HASH_BYTES>();
    let joined = |below: &[Hash]| -> Vec<Hash> {
        below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect()
    };
    let first: Vec<Hash> = hashes.iter().copied().map(Hash).collect();
    let levels = std::iter::successors(Some(joined(&first)), |below| Some(joined(below)));
    levels.take_while(|level| !level.is_empty()).collect()
}

/// The sequencer's own tree, ahead of what readers see until a commit is durable.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    range: CompactRange,
    edge: Edge,
}

impl Tree {
    /// Rebuilds the tree of a store, and checks its root against the stored head.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when entries or tiles do not give the stored root.
    pub(crate) fn recover(store: &dyn Store, head: &TreeHead) -> Result<Self, StoreError> {
        let size = head.size.0;
        let tree = Self::of_first(store, size)?;
        if tree.root() != head.root {
            return Err(StoreError::Damaged(format!(
                "its {size} entries give root {}, but its head says {}",
                tree.root(),
                head.root
            )));
        }
        Ok(tree)
    }

    /// The tree of the first `size` entries of a store.
    fn of_first(store: &dyn Store, size: u64) -> Result<Self, StoreError> {
        let mut edge = Edge::default();
        for level in 0..=tile_level_of(size) {
            edge.0.push(Arc::new(recover_edge_tile(store, level, size)?));
        }
        let nodes = Nodes { store, edge: &edge };
        let range = CompactRange::read(0, size, &nodes)?;
        Ok(Self { range, edge })
    }

    /// Appends a leaf; tiles that it completes are pushed to `tiles`.
    pub(crate) fn append(&mut self, leaf: Hash, tiles: &mut Vec<(u8, u64, Vec<u8>)>) {
        let edge = &mut self.edge;
        self.range.append_visit(leaf, &mut |level, _index, hash| {
            if level % TILE_HEIGHT == 0 {
                let tile_level = level / TILE_HEIGHT;
                if let Some((index, full)) = edge.push(usize::from(tile_level), hash) {
                    tiles.push((tile_level, index, full));
                }
            }
        });
    }

    pub(crate) fn root(&self) -> Hash {
        self.range.root().unwrap_or_else(Hash::empty_root)
    }

    pub(crate) fn edge(&self) -> Edge {
        self.edge.clone()
    }
}

/// The root of the first `size` entries of a store that has at least so many.
///
/// # Errors
/// When the store cannot be read, or an entry or a tile is missing.
pub(crate) fn root_of_first(store: &dyn Store, size: TreeSize) -> Result<Hash, StoreError> {
    Ok(Tree::of_first(store, size.0)?.root())
}

/// Highest tile level that holds a hash in a tree of this size.
fn tile_level_of(size: u64) -> u8 {
    let mut level = 0;
    while level < 7 && size >> (u32::from(TILE_HEIGHT) * (u32::from(level) + 1)) > 0 {
        level += 1;
    }
    level
}

fn recover_edge_tile(store: &dyn Store, level: u8, size: u64) -> Result<EdgeTile, StoreError> {
    let width = u64::from(TILE_WIDTH);
    let hashes = size >> (u32::from(level) * u32::from(TILE_HEIGHT));
    let index = hashes / width;
    let mut tile = EdgeTile { index, ..EdgeTile::default() };
    let first = index * width;
    if level == 0 {
        let mut next = first;
        while next < size {
            let entries = store.entries(
                tlog::LeafIndex(next),
                usize::from(TILE_WIDTH),
                proto::MAX_MESSAGE_BYTES,
            )?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")));
            }
            for entry in entries.iter().take(usize::try_from(size - next).unwrap_or(usize::MAX)) {
                tile.hashes.extend_from_slice(&leaf_hash(entry).0);
                next += 1;
            }
        }
        return Ok(tile);
    }
    for child in first..hashes {
        let bytes = store.tile(level - 1, child)?;
        let root = bytes.as_deref().and_then(|bytes| node_from_tile(bytes, TILE_HEIGHT, 0));
        let root = root.ok_or_else(|| missing_tile(level - 1, child))?;
        tile.hashes.extend_from_slice(&root.0);
    }
    Ok(tile)
}

struct Nodes<'a> {
    store: &'a dyn Store,
    edge: &'a Edge,
}

impl NodeSource for Nodes<'_> {
    type Error = StoreError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let place = tile_of(level, index);
        let hash = match self.edge.tile(place.tile_level, place.tile_index) {
            Some(tile) => tile.node(place.level, place.index),
            None => self
                .store
                .tile(place.tile_level, place.tile_index)?
                .and_then(|bytes| node_from_tile(&bytes, place.level, place.index)),
        };
        hash.ok_or_else(|| missing_tile(place.tile_level, place.tile_index))
    }
}

fn missing_tile(level: u8, index: u64) -> StoreError {
    StoreError::Damaged(format!("hash tile {index} of level {level} is missing or too short"))
}

/// What readers see of the tree: durable tiles, and the edge as of the last commit. Cheap to clone.
#[derive(Clone)]
pub struct TreeReader {
    store: Arc<dyn Store>,
    full: Arc<FullTiles>,
    edge: Arc<RwLock<Arc<Edge>>>,
}

impl TreeReader {
    pub(crate) fn new(store: Arc<dyn Store>, edge: Edge) -> Self {
        let full = Arc::new(FullTiles::new(Arc::clone(&store)));
        Self { store, full, edge: Arc::new(RwLock::new(Arc::new(edge))) }
    }

    /// Called by the sequencer after a commit.
    pub(crate) fn advance(&self, edge: Edge) {
        *self.edge.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(edge);
    }

    /// The nodes of the tree as of the last commit, for one proof or a few.
    pub fn nodes(&self) -> TreeNodes {
        let last = RefCell::default();
        TreeNodes { full: Arc::clone(&self.full), edge: self.snapshot(), last }
    }

    /// Root of the tree as it was at `size`, which must not exceed what is committed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn root_at(&self, size: TreeSize) -> Result<Hash, StoreError> {
        tlog::tree_root(size, &self.nodes())
    }

    /// Bytes of a hash tile or an entry bundle within a tree of `size`; `None` when it lies outside.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tile_bytes(&self, tile: &Tile, size: TreeSize) -> Result<Option<Bytes>, StoreError> {
        match Tile::at(tile.kind, tile.index, size) {
            Some(widest) if tile.width <= widest.width => {}
            _ => return Ok(None),
        }
        let TileKind::Hashes { level } = tile.kind else { return self.bundle(tile).map(Some) };
        let wanted = usize::from(tile.width) * HASH_BYTES;
        let edge = self.snapshot();
        let bytes = match edge.tile(level, tile.index) {
            Some(tile) => Some(tile.hashes.clone()),
            None => self.store.tile(level, tile.index)?,
        };
        match bytes {
            Some(mut bytes) if bytes.len() >= wanted => {
                bytes.truncate(wanted);
                Ok(Some(bytes.into()))
            }
            _ => Err(missing_tile(level, tile.index)),
        }
    }

    fn bundle(&self, tile: &Tile) -> Result<Bytes, StoreError> {
        let mut next = tile.index * u64::from(TILE_WIDTH);
        let end = next + u64::from(tile.width);
        let mut entries = Vec::with_capacity(usize::from(tile.width));
        while next < end {
            let count = usize::try_from(end - next).unwrap_or(0);
            let read =
                self.store.entries(tlog::LeafIndex(next), count, proto::MAX_MESSAGE_BYTES)?;
            if read.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")));
            }
            next += read.len() as u64;
            entries.extend(read);
        }
        tlog::encode_bundle(entries.iter().map(AsRef::as_ref))
            .map(Bytes::from)
            .map_err(|error| StoreError::Damaged(error.to_string()))
    }

    fn snapshot(&self) -> Arc<Edge> {
        Arc::clone(&self.edge.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl NodeSource for TreeReader {
    type Error = StoreError;

    /// One node alone; whoever needs more takes [`TreeReader::nodes`].
    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        self.nodes().node(level, index)
    }
}

/// A tile of some level, and its index there.
type OfLevel = (u64, Arc<FullTile>);

/// The nodes of one tree. They come by tile: the last one of each level is kept.
pub struct TreeNodes {
    full: Arc<FullTiles>,
    edge: Arc<Edge>,
    last: RefCell<[Option<OfLevel>; 8]>,
}

impl NodeSource for TreeNodes {
    type Error = StoreError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let place = tile_of(level, index);
        let (tile_level, tile_index) = (place.tile_level, place.tile_index);
        let missing = || missing_tile(tile_level, tile_index);
        if let Some(tile) = self.edge.tile(tile_level, tile_index) {
            return tile.node(place.level, place.index).ok_or_else(missing);
        }
        let mut last = self.last.borrow_mut();
        let last = last.get_mut(usize::from(tile_level)).ok_or_else(missing)?;
        if last.as_ref().is_none_or(|(at, _)| *at != tile_index) {
            *last = Some((tile_index, self.full.find(tile_level, tile_index)?));
        }
        let (_, tile) = last.as_ref().ok_or_else(missing)?;
        tile.node(place.level, place.index).ok_or_else(missing)
    }
}

/// A proof that could not be made from tiles fetched elsewhere reads as damage here.
impl From<TileNodesError<StoreError>> for StoreError {
    fn from(error: TileNodesError<StoreError>) -> Self {
        StoreError::Damaged(error.to_string())
    }
}
