//! Compact ranges: the few hashes that stand for any run of leaves.
//!
//! A run `[begin, end)` is covered by its largest perfect subtrees that are aligned to their own
//! size, left to right; there is exactly one such cover, and the numbers alone say which subtrees
//! it has. A node is named by its level (0 = leaves) and its index within the level: it covers the
//! leaves `[index << level, (index + 1) << level)`.

use crate::hash::{Hash, node_hash};

/// The hashes of the perfect aligned subtrees that cover the leaves `[begin, end)`.
///
/// Appending takes one hash on average and allocates nothing once the range has held its widest
/// cover (at most 126 hashes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactRange {
    begin: u64,
    end: u64,
    hashes: Vec<Hash>,
}

impl CompactRange {
    /// The empty range `[begin, begin)`.
    #[must_use]
    pub fn new(begin: u64) -> Self {
        Self { begin, end: begin, hashes: Vec::with_capacity(u64::BITS as usize) }
    }

    /// A range from hashes kept earlier: one for each of [`subtrees(begin, end)`](Self::subtrees),
    /// in that order.
    ///
    /// # Errors
    /// When `begin > end`, or the number of hashes is not the one that these two determine.
    pub fn from_hashes(begin: u64, end: u64, hashes: Vec<Hash>) -> Result<Self, CompactRangeError> {
        if begin > end {
            return Err(CompactRangeError::Reversed { begin, end });
        }
        let expected = Self::subtrees(begin, end).count();
        if hashes.len() != expected {
            let actual = hashes.len();
            return Err(CompactRangeError::HashCount { begin, end, expected, actual });
        }
        Ok(Self { begin, end, hashes })
    }

    /// The index of the first leaf.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The index after the last leaf.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The hashes of [`subtrees(begin, end)`](Self::subtrees), in that order.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Extends the range by the hash of the leaf at index [`end`](Self::end).
    ///
    /// There is no leaf at index `u64::MAX` (its tree size would not be a `u64`). Appending there
    /// empties the range and moves it to `u64::MAX`, so that it has no root and matches nothing.
    pub fn append(&mut self, leaf: Hash) {
        self.push(0, self.end, leaf, |_, _, _| ());
    }

    /// Like [`append`](Self::append); shows `visit` the leaf and then every parent that it
    /// completes within the range, bottom up, as (level, index in level, hash).
    pub fn append_visit(&mut self, leaf: Hash, visit: &mut dyn FnMut(u8, u64, Hash)) {
        self.push(0, self.end, leaf, visit);
    }

    /// Extends the range by the range that begins where it ends.
    ///
    /// # Errors
    /// When `other` does not begin at this range's end; the range is then unchanged.
    pub fn append_range(&mut self, other: &CompactRange) -> Result<(), CompactRangeError> {
        if other.begin != self.end {
            return Err(CompactRangeError::Gap { end: self.end, begin: other.begin });
        }
        for ((level, index), hash) in Self::subtrees(other.begin, other.end).zip(&other.hashes) {
            self.push(level, index, *hash, |_, _, _| ());
        }
        Ok(())
    }

    /// The root of the tree of size `end`; `None` unless the range begins at 0.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        if self.begin != 0 {
            return None;
        }
        let folded =
            self.hashes.iter().copied().rev().reduce(|right, left| node_hash(&left, &right));
        Some(folded.unwrap_or_else(Hash::empty_root))
    }

    /// The (level, index in level) of the subtrees that cover `[begin, end)`, left to right; none
    /// when `begin >= end`.
    pub fn subtrees(begin: u64, end: u64) -> impl Iterator<Item = (u8, u64)> + Clone {
        Subtrees { next: begin, end }
    }

    /// Adds the subtree that starts at `self.end` and joins it with its left siblings.
    fn push(&mut self, level: u8, index: u64, hash: Hash, mut visit: impl FnMut(u8, u64, Hash)) {
        let Some(end) = self.end.checked_add(1 << level) else {
            *self = Self { begin: u64::MAX, end: u64::MAX, hashes: Vec::new() };
            return;
        };
        let (mut level, mut index, mut hash) = (level, index, hash);
        visit(level, index, hash);
        // A left sibling inside the range is a maximal subtree that ends where this one starts:
        // it is the last hash.
        while index & 1 == 1 && (index - 1) << level >= self.begin {
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            index >>= 1;
            visit(level, index, hash);
        }
        self.hashes.push(hash);
        self.end = end;
    }
}

#[derive(Clone)]
struct Subtrees {
    next: u64,
    end: u64,
}

impl Iterator for Subtrees {
    type Item = (u8, u64);

    fn next(&mut self) -> Option<(u8, u64)> {
        let left = self.end.checked_sub(self.next).filter(|left| *left > 0)?;
        // Largest power of two that divides the position (0 is divisible by all) and still fits.
        let level = self.next.trailing_zeros().min(left.ilog2());
        let index = self.next >> level;
        self.next += 1 << level;
        // At most 63: `ilog2` of a u64.
        Some((level as u8, index))
    }
}

/// Why hashes and numbers do not make a [`CompactRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactRangeError {
    /// The range ends before it begins.
    #[error("the range begins at {begin} but ends before it, at {end}")]
    Reversed {
        /// First leaf.
        begin: u64,
        /// Index after the last leaf.
        end: u64,
    },
    /// The numbers determine another count of hashes.
    #[error("the range {begin}..{end} has exactly {expected} hashes, here are {actual}")]
    HashCount {
        /// First leaf.
        begin: u64,
        /// Index after the last leaf.
        end: u64,
        /// How many hashes the numbers determine.
        expected: usize,
        /// How many there were.
        actual: usize,
    },
    /// The second range does not begin where the first ends.
    #[error("a range that ends at {end} cannot be continued by one that begins at {begin}")]
    Gap {
        /// Where the first range ends.
        end: u64,
        /// Where the second begins.
        begin: u64,
    },
}
