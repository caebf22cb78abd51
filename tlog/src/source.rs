//! Where provers take the hashes of perfect subtrees from.

use crate::compact::CompactRange;
use crate::hash::{Hash, node_hash};
use crate::position::TreeSize;

/// A store of node hashes. Provers ask only for perfect subtrees that lie wholly inside the tree
/// they prove about, so every node they ask for is final.
///
/// Any `Fn(u8, u64) -> Result<Hash, E>` is a source.
pub trait NodeSource {
    /// Why a node could not be read.
    type Error;

    /// The hash of the perfect subtree over the leaves `[index << level, (index + 1) << level)`.
    ///
    /// # Errors
    /// When the store cannot be read or has no such node.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<F, E> NodeSource for F
where
    F: Fn(u8, u64) -> Result<Hash, E>,
{
    type Error = E;

    fn node(&self, level: u8, index: u64) -> Result<Hash, E> {
        self(level, index)
    }
}

/// The root of the tree of this size.
///
/// # Errors
/// When the source fails.
pub fn tree_root<S: NodeSource>(size: TreeSize, source: &S) -> Result<Hash, S::Error> {
    Ok(fold(0, size.0, source)?.unwrap_or_else(Hash::empty_root))
}

impl CompactRange {
    /// Reads the compact range `[begin, end)` from a source; empty when `begin >= end`.
    ///
    /// # Errors
    /// When the source fails.
    pub fn read<S: NodeSource>(begin: u64, end: u64, source: &S) -> Result<Self, S::Error> {
        let hashes = read_cover(begin, end, source)?;
        // One hash was read for each subtree, which is all that `from_hashes` asks for.
        Ok(Self::from_hashes(begin, end, hashes).unwrap_or_else(|_| Self::new(begin)))
    }
}

/// The hashes that cover `[begin, end)`, left to right.
pub(crate) fn read_cover<S: NodeSource>(
    begin: u64,
    end: u64,
    source: &S,
) -> Result<Vec<Hash>, S::Error> {
    CompactRange::subtrees(begin, end).map(|(level, index)| source.node(level, index)).collect()
}

/// The tree hash over `[begin, end)` where `begin` is aligned to the subtree; `None` when empty.
pub(crate) fn fold<S: NodeSource>(
    begin: u64,
    end: u64,
    source: &S,
) -> Result<Option<Hash>, S::Error> {
    let cover = read_cover(begin, end, source)?;
    Ok(cover.into_iter().rev().reduce(|right, left| node_hash(&left, &right)))
}
