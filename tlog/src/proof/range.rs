//! Range proofs: that a run of leaves is complete and stands where it is said to stand.

use std::fmt;

use super::{MAX_HASH_LINES, ProofError, ProveError, format_hash_lines};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::compact::{CompactRange, CompactRangeError};
use crate::decimal;
use crate::hash::{Hash, HashParseError};
use crate::lines::Lines;
use crate::note::{MAX_NOTE_BYTES, Note, NoteError};
use crate::position::TreeSize;
use crate::source::{NodeSource, read_cover};

const HEADER: &str = "exhibit/range-proof@v1";
/// Both lists of hashes, the numbers, and a checkpoint.
const MAX_BYTES: usize = MAX_NOTE_BYTES + 2 * MAX_HASH_LINES * 45 + 256;

/// Proof that given leaves are exactly the leaves `[start, end)` of a checkpoint's tree.
///
/// The file (`Display`, [`parse`](Self::parse)) has canonical decimals, padded standard base64, and
/// LF line ends:
///
/// ```text
/// exhibit/range-proof@v1
/// range <start> <end>
/// left <n>
/// <base64 hash> × n      compact range of [0, start)
/// right <m>
/// <base64 hash> × m      compact range of [end, size)
/// <blank line>
/// <checkpoint, verbatim>
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeProof {
    /// Index of the first leaf.
    pub start: u64,
    /// Index after the last leaf; equal to `start` for an empty range.
    pub end: u64,
    /// The compact range of `[0, start)`.
    pub left: Vec<Hash>,
    /// The compact range of `[end, size)`.
    pub right: Vec<Hash>,
    /// The signed note of the tree of that size, verbatim. The proof itself does not vouch for it.
    pub checkpoint: String,
}

impl RangeProof {
    /// Makes the proof for `[start, end)` in the tree of this size, whose signed note is
    /// `checkpoint`.
    ///
    /// # Errors
    /// When not `start ≤ end ≤ size`, or the source fails.
    pub fn prove<S: NodeSource>(
        start: u64,
        end: u64,
        size: TreeSize,
        checkpoint: String,
        source: &S,
    ) -> Result<Self, ProveError<S::Error>> {
        if start > end || end > size.0 {
            return Err(ProveError::RangeOutOfTree { start, end, size });
        }
        let left = read_cover(0, start, source).map_err(ProveError::Source)?;
        let right = read_cover(end, size.0, source).map_err(ProveError::Source)?;
        Ok(Self { start, end, left, right, checkpoint })
    }

    /// Checks that the leaf hashes are those of `[start, end)` in the tree with this size and root,
    /// all of them, in order. Takes at most one leaf more than the range has.
    ///
    /// Size and root must come from the checkpoint, opened by the caller with a key it trusts
    /// ([`open_checkpoint`](crate::open_checkpoint) on `self.checkpoint`).
    ///
    /// # Errors
    /// When it does not follow from the proof.
    pub fn verify(
        &self,
        size: TreeSize,
        root: &Hash,
        leaves: impl IntoIterator<Item = Hash>,
    ) -> Result<(), ProofError> {
        let Self { start, end, .. } = *self;
        if start > end || end > size.0 {
            return Err(ProofError::RangeOutOfTree { start, end, size });
        }
        let right = side(end, size.0, &self.right)?;
        let mut tree = side(0, start, &self.left)?;

        let expected = end - start;
        let mut actual = 0;
        for leaf in leaves {
            if actual == expected {
                return Err(ProofError::LeafCount { expected, actual: None });
            }
            tree.append(leaf);
            actual += 1;
        }
        if actual != expected {
            return Err(ProofError::LeafCount { expected, actual: Some(actual) });
        }
        tree.append_range(&right).map_err(|_| ProofError::RangeOutOfTree { start, end, size })?;

        match tree.root() {
            Some(computed) if computed == *root => Ok(()),
            Some(computed) => Err(ProofError::RootMismatch { expected: *root, computed }),
            None => Err(ProofError::RangeOutOfTree { start, end, size }),
        }
    }

    /// Reads the file format, strictly: exactly the bytes that `Display` writes.
    ///
    /// The checkpoint must be well-formed and its size must fit the numbers of hashes; its
    /// signature is not checked here.
    ///
    /// # Errors
    /// When anything differs from the format.
    pub fn parse(text: &str) -> Result<Self, RangeProofParseError> {
        if text.len() > MAX_BYTES {
            return Err(RangeProofParseError::TooLong);
        }
        let mut lines = Lines::new(text);
        if lines.take() != Some(HEADER) {
            return Err(RangeProofParseError::Header);
        }
        let (start, end) = parse_range(&mut lines)?;
        let left = parse_side(&mut lines, "left")?;
        let right = parse_side(&mut lines, "right")?;
        if lines.take() != Some("") {
            return Err(RangeProofParseError::Line {
                line: lines.number(),
                expected: "a blank line",
            });
        }
        let proof = Self { start, end, left, right, checkpoint: lines.rest().to_owned() };
        proof.check_shape()?;
        Ok(proof)
    }

    /// The numbers of hashes are those that start, end and the checkpoint's size determine.
    fn check_shape(&self) -> Result<(), RangeProofParseError> {
        let size = Checkpoint::parse_text(Note::parse(&self.checkpoint)?.text())?.size;
        if self.start > self.end || self.end > size.0 {
            let Self { start, end, .. } = *self;
            return Err(ProofError::RangeOutOfTree { start, end, size }.into());
        }
        side(0, self.start, &self.left)?;
        side(self.end, size.0, &self.right)?;
        Ok(())
    }
}

impl fmt::Display for RangeProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nrange {} {}", self.start, self.end)?;
        write!(f, "left {}\n{}", self.left.len(), format_hash_lines(&self.left))?;
        write!(f, "right {}\n{}", self.right.len(), format_hash_lines(&self.right))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The compact range of one side; the caller has checked that `begin <= end`.
fn side(begin: u64, end: u64, hashes: &[Hash]) -> Result<CompactRange, ProofError> {
    let expected = CompactRange::subtrees(begin, end).count();
    let wrong_count = ProofError::HashCount { expected, actual: hashes.len() };
    if hashes.len() != expected {
        return Err(wrong_count);
    }
    CompactRange::from_hashes(begin, end, hashes.to_vec())
        .map_err(|_: CompactRangeError| wrong_count)
}

fn parse_range(lines: &mut Lines<'_>) -> Result<(u64, u64), RangeProofParseError> {
    let line = lines.take().unwrap_or_default();
    let numbers = line.strip_prefix("range ").and_then(|rest| rest.split_once(' '));
    numbers.and_then(|(start, end)| Some((decimal::parse(start)?, decimal::parse(end)?))).ok_or(
        RangeProofParseError::Line { line: lines.number(), expected: "`range <start> <end>`" },
    )
}

fn parse_side(
    lines: &mut Lines<'_>,
    name: &'static str,
) -> Result<Vec<Hash>, RangeProofParseError> {
    let line = lines.take().unwrap_or_default();
    let count = line.strip_prefix(name).and_then(|rest| decimal::parse(rest.strip_prefix(' ')?));
    let count = count.filter(|count| *count <= MAX_HASH_LINES as u64);
    let count = count.ok_or(RangeProofParseError::Line {
        line: lines.number(),
        expected: if name == "left" { "`left <n>`" } else { "`right <m>`" },
    })?;
    (0..count)
        .map(|_| {
            let hash = Hash::from_base64(lines.take().unwrap_or_default());
            hash.map_err(|source| RangeProofParseError::Hash { line: lines.number(), source })
        })
        .collect()
}

/// Why a text is not a range proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeProofParseError {
    /// Longer than any range proof can be.
    #[error("the text is longer than any range proof (limit {MAX_BYTES} bytes)")]
    TooLong,
    /// The first line is another one.
    #[error("the first line is not `{HEADER}`: this is no range proof, or a newer version")]
    Header,
    /// A line is not what the format wants there.
    #[error("line {line}: expected {expected}")]
    Line {
        /// The 1-based line.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A line is not a hash.
    #[error("line {line}: {source}")]
    Hash {
        /// The 1-based line.
        line: usize,
        /// What is wrong with it.
        source: HashParseError,
    },
    /// The numbers do not fit each other or the hashes.
    #[error(transparent)]
    Shape(#[from] ProofError),
    /// What follows the blank line is no signed note.
    #[error("the checkpoint is not a signed note: {0}")]
    Note(#[from] NoteError),
    /// The signed note is no checkpoint.
    #[error("the signed note is not a checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}
