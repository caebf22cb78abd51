//! Consistency proofs:
//! [RFC 6962, Section 2.1.2](https://www.rfc-editor.org/rfc/rfc6962#section-2.1.2).

use super::inclusion::Path;
use super::{ProofError, ProveError};
use crate::hash::Hash;
use crate::position::{LeafIndex, TreeSize};
use crate::source::NodeSource;

/// The proof that the tree of size `old` is a prefix of the tree of size `new`, at most 65 hashes.
///
/// It is empty when `old` is 0 or equals `new`: what C2SP `tlog-witness` wants sent in these cases.
/// [`verify_consistency`] does not take one from 0 to a larger tree.
///
/// # Errors
/// When `old > new`, or the source fails.
pub fn prove_consistency<S: NodeSource>(
    old: TreeSize,
    new: TreeSize,
    source: &S,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if old > new {
        return Err(ProveError::SizesReversed { old, new });
    }
    let Some(way) = Way::new(old, new) else { return Ok(Vec::new()) };
    let mut proof = Vec::with_capacity(way.len());
    if !way.old_is_perfect {
        let seed = source.node(way.level as u8, (old.0 >> way.level) - 1);
        proof.push(seed.map_err(ProveError::Source)?);
    }
    way.path.read(way.level, source, &mut proof).map_err(ProveError::Source)?;
    Ok(proof)
}

/// Checks that the tree with the old size and root is a prefix of the tree with the new ones.
///
/// The empty tree is a prefix of every tree, so from `old` 0 to a larger tree no proof says
/// anything about `new_root`, and none is accepted here (RFC 9162, Section 2.1.4: `0 < first`). A
/// caller that knows no older tree has nothing to verify and should not ask.
///
/// # Errors
/// When it does not follow from the proof.
pub fn verify_consistency(
    old: TreeSize,
    new: TreeSize,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::SizesReversed { old, new });
    }
    let Some(way) = Way::new(old, new) else {
        return verify_trivial(old, new, old_root, new_root, proof);
    };
    if proof.len() != way.len() {
        return Err(ProofError::HashCount { expected: way.len(), actual: proof.len() });
    }
    let (seed, siblings) = match proof.split_first() {
        Some((first, rest)) if !way.old_is_perfect => (*first, rest),
        _ => (*old_root, proof),
    };
    let (inner, border) = siblings.split_at(way.inner_len());
    let path = &way.path;

    let computed = path.climb_border(path.climb_inner_right(way.level, seed, inner), border);
    if computed != *old_root {
        return Err(ProofError::OldRootMismatch { expected: *old_root, computed });
    }
    let computed = path.climb_border(path.climb_inner(way.level, seed, inner), border);
    if computed != *new_root {
        return Err(ProofError::RootMismatch { expected: *new_root, computed });
    }
    Ok(())
}

/// The cases that no hash could decide: from a tree to itself, and from nothing.
fn verify_trivial(
    old: TreeSize,
    new: TreeSize,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old != new {
        return Err(ProofError::FromEmptyTree { new });
    }
    if !proof.is_empty() {
        return Err(ProofError::HashCount { expected: 0, actual: proof.len() });
    }
    let empty = Hash::empty_root();
    if old.0 == 0 && *old_root != empty {
        return Err(ProofError::OldRootMismatch { expected: *old_root, computed: empty });
    }
    if old_root != new_root {
        return Err(ProofError::RootMismatch { expected: *new_root, computed: *old_root });
    }
    Ok(())
}

/// The way from the last perfect subtree of the old tree up to the root of the new one.
struct Way {
    path: Path,
    /// The level of that subtree.
    level: u32,
    /// Whether that subtree is the whole old tree: then its hash is the old root, and left out.
    old_is_perfect: bool,
}

impl Way {
    /// `None` when no hash is needed: `old` is 0 or not smaller than `new`.
    fn new(old: TreeSize, new: TreeSize) -> Option<Self> {
        if old >= new {
            return None;
        }
        let last = LeafIndex(old.0.checked_sub(1)?);
        let path = Path::new(last, new)?;
        // `new - 1 >= old`, so the two ways still differ above the subtree: `inner > level`.
        Some(Self { path, level: old.0.trailing_zeros(), old_is_perfect: old.0.is_power_of_two() })
    }

    fn inner_len(&self) -> usize {
        (self.path.inner - self.level) as usize
    }

    fn len(&self) -> usize {
        usize::from(!self.old_is_perfect) + self.inner_len() + self.path.border() as usize
    }
}
