//! The two numbers of a log, kept apart by type: where a leaf is, and how many there are.

use std::fmt;
use std::str::FromStr;

use crate::decimal;

/// The zero-based position of a leaf in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LeafIndex(pub u64);

/// The number of leaves of a tree. Leaves of a tree of size `n` have the indexes `0..n`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TreeSize(pub u64);

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for TreeSize {
    type Err = TreeSizeError;

    /// Reads a decimal number below 2⁶⁴ without sign or leading zeroes, as every C2SP format writes a size.
    fn from_str(text: &str) -> Result<Self, TreeSizeError> {
        decimal::parse(text).map(Self).ok_or(TreeSizeError)
    }
}

/// A text is no tree size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree size is a decimal number below 2^64 without leading zeroes")]
pub struct TreeSizeError;
