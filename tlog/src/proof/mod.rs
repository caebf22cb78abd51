//! Inclusion, consistency and range proofs: making and verifying them.

mod consistency;
mod hash_lines;
mod inclusion;
mod range;

pub use consistency::{prove_consistency, verify_consistency};
pub use hash_lines::{HashLinesError, MAX_HASH_LINES, format_hash_lines, parse_hash_lines};
pub(crate) use inclusion::inclusion_root;
pub use inclusion::{prove_inclusion, verify_inclusion};
pub use range::{RangeProof, RangeProofParseError};

use crate::position::{LeafIndex, TreeSize};

/// Why a proof could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The leaf is not in the tree.
    #[error("leaf {index} is not in a tree of size {size}")]
    IndexOutOfRange {
        /// The leaf asked for.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The older tree is larger than the newer one.
    #[error("a tree of size {old} cannot be the older state of a tree of size {new}")]
    SizesReversed {
        /// The older size.
        old: TreeSize,
        /// The newer size.
        new: TreeSize,
    },
    /// Not `start ≤ end ≤ size`.
    #[error("the range {start}..{end} is not within a tree of size {size}")]
    RangeOutOfTree {
        /// First leaf.
        start: u64,
        /// Index after the last leaf.
        end: u64,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The source of node hashes failed.
    #[error("a node hash could not be read: {0}")]
    Source(E),
}

/// Why a proof does not prove what it should. Every one of these means: do not believe it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in the tree.
    #[error("leaf {index} is not in a tree of size {size}")]
    IndexOutOfRange {
        /// The leaf claimed.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The older tree is larger than the newer one.
    #[error("a tree of size {old} cannot be the older state of a tree of size {new}")]
    SizesReversed {
        /// The older size.
        old: TreeSize,
        /// The newer size.
        new: TreeSize,
    },
    /// The older tree is empty, the newer one is not: no proof could say anything.
    #[error(
        "nothing can be proved from the empty tree to one of size {new}: any tree continues it"
    )]
    FromEmptyTree {
        /// The newer size.
        new: TreeSize,
    },
    /// Not `start ≤ end ≤ size`.
    #[error("the range {start}..{end} is not within a tree of size {size}")]
    RangeOutOfTree {
        /// First leaf.
        start: u64,
        /// Index after the last leaf.
        end: u64,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The numbers determine another count of hashes.
    #[error("the proof must have exactly {expected} hashes, it has {actual}")]
    HashCount {
        /// How many hashes the numbers determine.
        expected: usize,
        /// How many there were.
        actual: usize,
    },
    /// There are more or fewer leaves than the range has.
    #[error("the range has {expected} leaves, {}", match actual { Some(n) => format!("{n} were given"), None => "more were given".to_owned() })]
    LeafCount {
        /// `end - start`.
        expected: u64,
        /// How many were given; `None` when there were more than expected.
        actual: Option<u64>,
    },
    /// The proof leads to another root.
    #[error("the proof leads to the root {computed}, the tree has {expected}")]
    RootMismatch {
        /// The root that was to be reached.
        expected: crate::Hash,
        /// The root that the proof leads to.
        computed: crate::Hash,
    },
    /// The proof leads to another root of the older tree.
    #[error("the proof leads to the older root {computed}, the older tree has {expected}")]
    OldRootMismatch {
        /// The older root that was to be reached.
        expected: crate::Hash,
        /// The root that the proof leads to.
        computed: crate::Hash,
    },
}
