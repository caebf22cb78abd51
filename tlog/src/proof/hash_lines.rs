//! Hashes as text: one padded base64 hash per line, the body of C2SP proofs.

use crate::hash::{Hash, HashParseError};

/// The most lines accepted; no proof over a tree of at most 2⁶⁴ − 1 leaves needs more.
pub const MAX_HASH_LINES: usize = 128;

/// One base64 hash per line, each line ended by a newline; nothing for no hashes.
///
/// This is the file format of a consistency proof, in the order of RFC 6962.
#[must_use]
pub fn format_hash_lines(hashes: &[Hash]) -> String {
    hashes.iter().map(|hash| format!("{hash}\n")).collect()
}

/// Reads what [`format_hash_lines`] writes, and nothing else.
///
/// # Errors
/// When a line is not a hash, the last line has no newline, or there are more than
/// [`MAX_HASH_LINES`].
pub fn parse_hash_lines(text: &str) -> Result<Vec<Hash>, HashLinesError> {
    let mut hashes = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if number > MAX_HASH_LINES {
            return Err(HashLinesError::TooMany);
        }
        let line = line.strip_suffix('\n').ok_or(HashLinesError::NoNewline)?;
        let hash = Hash::from_base64(line);
        hashes.push(hash.map_err(|source| HashLinesError::Hash { line: number, source })?);
    }
    Ok(hashes)
}

/// Why a text is not a list of hashes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashLinesError {
    /// A line is not a hash.
    #[error("line {line}: {source}")]
    Hash {
        /// The 1-based line.
        line: usize,
        /// What is wrong with it.
        source: HashParseError,
    },
    /// The text does not end with a newline.
    #[error("the last line is not ended by a newline: the file may be cut off")]
    NoNewline,
    /// More lines than any proof has.
    #[error("more than {MAX_HASH_LINES} lines: no proof has so many hashes")]
    TooMany,
}
