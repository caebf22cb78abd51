//! The paths of tiles: canonical ones only, so that each tile has one name.

use std::fmt;

use super::{MAX_TILE_LEVEL, TILE_WIDTH, Tile, TileKind};
use crate::decimal;

impl Tile {
    /// Reads a path such as `tile/0/x001/234.p/8`, without a leading slash.
    ///
    /// # Errors
    /// When it is not exactly what `Display` writes for some tile.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        let rest = path.strip_prefix("tile/").ok_or(TileError::Form)?;
        let (level, rest) = rest.split_once('/').ok_or(TileError::Form)?;
        let kind = match level {
            "entries" => TileKind::Entries,
            number => TileKind::Hashes { level: parse_level(number).ok_or(TileError::Level)? },
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, parse_width(width).ok_or(TileError::Width)?),
            None => (rest, TILE_WIDTH),
        };
        let index = parse_index(index).ok_or(TileError::Index)?;
        Ok(Self { kind, index, width })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut scale = 1;
        while self.index / scale >= 1000 {
            scale *= 1000;
        }
        while scale > 1 {
            write!(f, "x{:03}/", self.index / scale % 1000)?;
            scale /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl std::str::FromStr for Tile {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Self, TileError> {
        Self::parse(path)
    }
}

fn parse_level(text: &str) -> Option<u8> {
    decimal::parse(text)?.try_into().ok().filter(|level| *level <= MAX_TILE_LEVEL)
}

fn parse_width(text: &str) -> Option<u16> {
    decimal::parse(text)?.try_into().ok().filter(|width| (1..TILE_WIDTH).contains(width))
}

fn parse_index(text: &str) -> Option<u64> {
    let (parents, last) = text.rsplit_once('/').map_or((None, text), |(p, l)| (Some(p), l));
    let mut index = 0u64;
    for parent in parents.into_iter().flat_map(|parents| parents.split('/')) {
        let group = parse_group(parent.strip_prefix('x')?)?;
        // A leading x000 would be a second name.
        if index == 0 && group == 0 {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    index.checked_mul(1000)?.checked_add(parse_group(last)?)
}

fn parse_group(text: &str) -> Option<u64> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Why a path names no tile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not `tile/<level>/<index>[.p/<width>]`.
    #[error("a tile's path is `tile/<level or entries>/<index>[.p/<width>]`")]
    Form,
    /// The level is not a canonical decimal up to 63.
    #[error("a tile's level is `entries` or a number from 0 to 63 without leading zeroes")]
    Level,
    /// The index is not in canonical groups of three digits.
    #[error(
        "a tile's index is written in groups of three digits, all but the last after an `x`, such as x001/234"
    )]
    Index,
    /// The width is not a canonical decimal from 1 to 255.
    #[error("a partial tile's width is a number from 1 to 255 without leading zeroes")]
    Width,
}
