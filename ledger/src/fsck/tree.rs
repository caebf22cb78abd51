//! The tree, rebuilt from the entries, and the stored tiles held against it.

use tlog::{CompactRange, Hash, TILE_HEIGHT, TILE_WIDTH};

use super::FsckReport;
use super::place;
use crate::store::RocksStore;
use crate::store::keyspace::{TILES, tile_key};
use crate::store::records::{Found, Odd, Records};

const TILE_BYTES: usize = TILE_WIDTH as usize * Hash::LEN;

/// The tree over the entries read so far.
pub(super) struct Tree<'a> {
    store: &'a RocksStore,
    /// `None` once a leaf is lost of which no tile holds the hash.
    range: Option<CompactRange>,
    /// The tile that grows, of each level.
    growing: Vec<Vec<u8>>,
    stored: Vec<Records<'a>>,
    size: u64,
    /// Entries of which full tiles were compared, and were the same.
    agreed: u64,
    has_disagreed: bool,
}

impl<'a> Tree<'a> {
    pub(super) fn new(store: &'a RocksStore) -> Self {
        Self {
            store,
            range: Some(CompactRange::new(0)),
            growing: Vec::new(),
            stored: vec![level(store, 0)],
            size: 0,
            agreed: 0,
            has_disagreed: false,
        }
    }

    /// The root of all leaves so far; `None` when one is lost.
    pub(super) fn root(&self) -> Option<Hash> {
        self.range.as_ref().map(|range| range.root().unwrap_or_else(Hash::empty_root))
    }

    /// The leaves that no agreeing tile vouches for begin here.
    pub(super) fn agreed(&self) -> u64 {
        self.agreed
    }

    /// Appends a leaf and compares each tile that it completes with the stored one.
    pub(super) fn append(&mut self, leaf: Hash, report: &mut FsckReport) {
        self.size += 1;
        let Some(range) = &mut self.range else { return };
        let mut completed = Vec::new();
        let growing = &mut self.growing;
        range.append_visit(leaf, &mut |node_level, index, hash| {
            if node_level % TILE_HEIGHT != 0 {
                return;
            }
            let tile_level = node_level / TILE_HEIGHT;
            if growing.len() <= usize::from(tile_level) {
                growing.push(Vec::with_capacity(TILE_BYTES));
            }
            let tile = &mut growing[usize::from(tile_level)];
            tile.extend_from_slice(&hash.0);
            if tile.len() == TILE_BYTES {
                completed.push((tile_level, index / u64::from(TILE_WIDTH), std::mem::take(tile)));
            }
        });
        for (tile_level, index, hashes) in completed {
            self.compare(tile_level, index, &hashes, report);
        }
    }

    /// Appends a leaf whose entry cannot be read, by the hash in its tile, if there is one.
    pub(super) fn append_lost(&mut self, index: u64, report: &mut FsckReport) {
        let tile = self.store.record(TILES, &tile_key(0, index / u64::from(TILE_WIDTH)));
        let at = usize::try_from(index % u64::from(TILE_WIDTH)).unwrap_or_default();
        let tile = tile.ok().flatten().filter(|tile| tile.len() == TILE_BYTES);
        match tile.as_deref().and_then(|tile| tlog::node_from_tile(tile, 0, at as u16)) {
            Some(leaf) => self.append(leaf, report),
            None => {
                self.size += 1;
                self.range = None;
            }
        }
    }

    /// Skips leaves that are lost: from here on there is no root.
    pub(super) fn skip_to(&mut self, size: u64) {
        self.size = size;
        self.range = None;
    }

    fn compare(&mut self, tile_level: u8, index: u64, hashes: &[u8], report: &mut FsckReport) {
        while self.stored.len() <= usize::from(tile_level) {
            self.stored.push(level(self.store, self.stored.len() as u8));
        }
        report.tiles += 1;
        let place = place::tile(tile_level, index);
        let stored = &mut self.stored[usize::from(tile_level)];
        let found =
            stored.take(&tile_key(tile_level, index), &mut |odd| surplus(&odd, None, report));
        let message = match found {
            Found::Record(tile) if *tile == *hashes => {
                if tile_level == 0 && !self.has_disagreed {
                    self.agreed = (index + 1) * u64::from(TILE_WIDTH);
                }
                return;
            }
            Found::Record(tile) => difference(tile_level, index, &tile, hashes),
            Found::Missing => "is missing".to_owned(),
            Found::Unreadable(reason) => format!("cannot be read: {reason}"),
        };
        self.has_disagreed |= tile_level == 0;
        report.find("tile_mismatch", place, message);
    }

    /// Looks for tiles that should not be there.
    pub(super) fn finish(mut self, report: &mut FsckReport) {
        // Without a root, tiles behind the lost leaf were not asked for.
        let lost_in = self.range.is_none().then_some(self.size);
        let above = [self.stored.len() as u8];
        self.stored.push(Records::within(self.store, TILES, &above, None));
        for stored in &mut self.stored {
            stored.rest(&mut |odd| surplus(&odd, lost_in, report));
            report.bytes += stored.bytes;
        }
    }
}

/// The stored tiles of a level.
fn level(store: &RocksStore, level: u8) -> Records<'_> {
    let from = if level == 0 { &[][..] } else { &[level][..] };
    Records::within(store, TILES, from, Some(vec![level + 1]))
}

/// Which hash differs, and whose it is.
fn difference(tile_level: u8, index: u64, stored: &[u8], hashes: &[u8]) -> String {
    if stored.len() != hashes.len() {
        return format!("has {} bytes, not {TILE_BYTES}", stored.len());
    }
    let pairs = stored.chunks(Hash::LEN).zip(hashes.chunks(Hash::LEN));
    let mut others = pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(at, _)| at);
    let first = others.next().unwrap_or_default();
    let of = index * u64::from(TILE_WIDTH) + first as u64;
    let of = if tile_level == 0 { place::entry(of) } else { place::tile(tile_level - 1, of) };
    match others.count() {
        0 => format!("its hash {first} is not that of {of}"),
        more => format!("its hash {first} is not that of {of}, and {more} others are not right"),
    }
}

/// A tile that nobody expects. Within a tree of `lost_in` leaves, one of which is lost, those that belong there are
/// no surplus.
fn surplus(odd: &Odd<'_>, lost_in: Option<u64>, report: &mut FsckReport) {
    let Odd::Surplus(key) = odd else { return super::damage(TILES, odd, report) };
    if let (Some((level, index)), Some(size)) = (place::tile_place(key), lost_in) {
        let height = u32::from(TILE_HEIGHT) * (u32::from(level) + 1);
        if index < size.checked_shr(height).unwrap_or_default() {
            return;
        }
    }
    let message = "should not be there: the tree has no such full tile";
    report.find("tile_surplus", place::record(TILES, key), message);
}
