//! Inclusion proofs:
//! [RFC 6962, Section 2.1.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1.1).

use super::{ProofError, ProveError};
use crate::hash::{Hash, node_hash};
use crate::position::{LeafIndex, TreeSize};
use crate::source::{NodeSource, fold};

/// The audit path of a leaf: from its sibling up to the child of the root, at most 64 hashes.
///
/// # Errors
/// When the leaf is not in the tree, or the source fails.
pub fn prove_inclusion<S: NodeSource>(
    index: LeafIndex,
    size: TreeSize,
    source: &S,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    let path = Path::new(index, size).ok_or(ProveError::IndexOutOfRange { index, size })?;
    let mut proof = Vec::with_capacity(path.len());
    path.read(0, source, &mut proof).map_err(ProveError::Source)?;
    Ok(proof)
}

/// Checks that the tree with this size and root has this leaf hash at this index.
///
/// # Errors
/// When it does not follow from the proof.
pub fn verify_inclusion(
    index: LeafIndex,
    size: TreeSize,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    let computed = inclusion_root(index, size, leaf, proof)?;
    if computed == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch { expected: *root, computed })
    }
}

/// The root of the tree of this size that has this leaf hash at this index, if the proof is its audit path.
pub(crate) fn inclusion_root(
    index: LeafIndex,
    size: TreeSize,
    leaf: &Hash,
    proof: &[Hash],
) -> Result<Hash, ProofError> {
    let path = Path::new(index, size).ok_or(ProofError::IndexOutOfRange { index, size })?;
    if proof.len() != path.len() {
        return Err(ProofError::HashCount { expected: path.len(), actual: proof.len() });
    }
    let (inner, border) = proof.split_at(path.inner as usize);
    Ok(path.climb_border(path.climb_inner(0, *leaf, inner), border))
}

/// The way from a leaf to the root of a tree.
///
/// The leaf's way and the last leaf's way meet at level `inner`. Below it every level has a
/// sibling; all of these are perfect subtrees except possibly the topmost, which holds the last
/// leaf. From `inner` upwards the leaf's way is the right border of the tree, and has siblings only
/// to its left, one for each 1 bit.
pub(super) struct Path {
    index: u64,
    size: u64,
    pub(super) inner: u32,
}

impl Path {
    /// `None` when the leaf is not in the tree.
    pub(super) fn new(index: LeafIndex, size: TreeSize) -> Option<Self> {
        let (index, size) = (index.0, size.0);
        if index >= size {
            return None;
        }
        let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
        Some(Self { index, size, inner })
    }

    /// How many siblings there are on the whole way.
    pub(super) fn len(&self) -> usize {
        (self.inner + self.border()) as usize
    }

    /// How many siblings there are at or above level `inner`.
    pub(super) fn border(&self) -> u32 {
        self.above(self.inner).count_ones()
    }

    /// Reads the siblings from level `from` (at most `inner`) upwards.
    pub(super) fn read<S: NodeSource>(
        &self,
        from: u32,
        source: &S,
        proof: &mut Vec<Hash>,
    ) -> Result<(), S::Error> {
        // Levels are below 64 throughout: they fit a u8.
        for level in from..self.inner {
            let sibling = self.above(level) ^ 1;
            if level + 1 == self.inner {
                // The sibling that holds the last leaf; it has at least that one.
                proof.extend(fold(sibling << level, self.size, source)?);
            } else {
                proof.push(source.node(level as u8, sibling)?);
            }
        }
        for level in self.inner..u64::BITS {
            let node = self.above(level);
            if node & 1 == 1 {
                proof.push(source.node(level as u8, node - 1)?);
            }
        }
        Ok(())
    }

    /// Hashes from level `from` up to level `inner`.
    pub(super) fn climb_inner(&self, from: u32, start: Hash, siblings: &[Hash]) -> Hash {
        (from..self.inner).zip(siblings).fold(start, |hash, (level, sibling)| {
            if self.above(level) & 1 == 0 {
                node_hash(&hash, sibling)
            } else {
                node_hash(sibling, &hash)
            }
        })
    }

    /// Hashes from level `from` up to level `inner`, as if nothing lay to the right.
    pub(super) fn climb_inner_right(&self, from: u32, start: Hash, siblings: &[Hash]) -> Hash {
        (from..self.inner)
            .zip(siblings)
            .filter(|(level, _)| self.above(*level) & 1 == 1)
            .fold(start, |hash, (_, sibling)| node_hash(sibling, &hash))
    }

    /// Hashes from level `inner` up to the root.
    pub(super) fn climb_border(&self, start: Hash, siblings: &[Hash]) -> Hash {
        siblings.iter().fold(start, |hash, sibling| node_hash(sibling, &hash))
    }

    /// The index of the way's node at this level; 0 above the highest.
    fn above(&self, level: u32) -> u64 {
        self.index.checked_shr(level).unwrap_or(0)
    }
}
