//! Self-contained inclusion proofs: [C2SP tlog-proof](https://c2sp.org/tlog-proof), version 1.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError, open_checkpoint};
use crate::decimal;
use crate::hash::{Hash, HashParseError};
use crate::key::VerifyingKey;
use crate::lines::Lines;
use crate::note::{MAX_NOTE_BYTES, Note, NoteError};
use crate::position::LeafIndex;
use crate::proof::{ProofError, format_hash_lines, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// An audit path has at most one hash per bit of the index.
const MAX_HASHES: usize = 64;
/// The most extra data accepted, in bytes.
pub const MAX_EXTRA_BYTES: usize = 1 << 20;
const MAX_BYTES: usize = MAX_NOTE_BYTES + MAX_EXTRA_BYTES / 3 * 4 + MAX_HASHES * 45 + 256;

/// A `.tlog-proof` file: that a leaf is in the tree of the checkpoint it carries.
///
/// `Display` writes exactly the bytes that [`parse`](Self::parse) read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data for the application, not covered by any signature; empty data is written as none.
    pub extra: Option<Vec<u8>>,
    /// The position of the leaf.
    pub index: LeafIndex,
    /// The audit path, from the leaf's sibling upwards.
    pub hashes: Vec<Hash>,
    /// The checkpoint's signed note with all cosignatures, verbatim.
    pub checkpoint: String,
}

impl TlogProof {
    /// Reads the file format, strictly. The checkpoint must be well-formed; no signature and no
    /// hash is checked here.
    ///
    /// # Errors
    /// When anything differs from the format.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > MAX_BYTES {
            return Err(TlogProofError::TooLong);
        }
        let mut lines = Lines::new(text);
        if lines.take() != Some(HEADER) {
            return Err(TlogProofError::Header);
        }
        let mut line = lines.take();
        let mut extra = None;
        if let Some(base64) = line.and_then(|line| line.strip_prefix("extra ")) {
            let decoded = STANDARD.decode(base64).ok().filter(|extra| !extra.is_empty());
            let decoded = decoded.filter(|extra| extra.len() <= MAX_EXTRA_BYTES);
            extra = Some(decoded.ok_or(TlogProofError::Extra)?);
            line = lines.take();
        }
        let index = line.and_then(|line| decimal::parse(line.strip_prefix("index ")?));
        let index = LeafIndex(index.ok_or(TlogProofError::Index { line: lines.number() })?);
        let hashes = parse_path(&mut lines)?;
        let checkpoint = lines.rest().to_owned();
        Checkpoint::parse_text(Note::parse(&checkpoint)?.text())?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// Checks that the log signed the checkpoint and that its tree has this leaf hash at this
    /// proof's index. Returns the checkpoint. A quorum of witnesses is the caller's to check
    /// ([`Policy::open_checkpoint`](crate::Policy::open_checkpoint)).
    ///
    /// # Errors
    /// When the checkpoint is not the log's, or the leaf does not follow from the proof.
    pub fn verify(&self, leaf: &Hash, log: &VerifyingKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = open_checkpoint(&self.checkpoint, log)?;
        verify_inclusion(self.index, checkpoint.size, leaf, &self.hashes, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = self.extra.as_ref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        let path = format_hash_lines(&self.hashes);
        write!(f, "index {}\n{path}\n{}", self.index, self.checkpoint)
    }
}

/// Reads hashes up to and with the blank line.
fn parse_path(lines: &mut Lines<'_>) -> Result<Vec<Hash>, TlogProofError> {
    let mut hashes = Vec::new();
    loop {
        let line = lines.take().ok_or(TlogProofError::NoBlankLine)?;
        if line.is_empty() {
            return Ok(hashes);
        }
        if hashes.len() == MAX_HASHES {
            return Err(TlogProofError::TooManyHashes);
        }
        let hash = Hash::from_base64(line);
        let line = lines.number();
        hashes.push(hash.map_err(|source| TlogProofError::Hash { line, source })?);
    }
}

/// Why a text is not a tlog-proof, or does not prove what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Longer than any accepted proof.
    #[error("the text is longer than any accepted proof (limit {MAX_BYTES} bytes)")]
    TooLong,
    /// The first line is another one.
    #[error("the first line is not `{HEADER}`: this is no tlog-proof, or a newer version")]
    Header,
    /// The extra line is not canonical base64 of 1 to [`MAX_EXTRA_BYTES`] bytes.
    #[error("line 2: `extra` is not followed by canonical base64 of 1 to {MAX_EXTRA_BYTES} bytes")]
    Extra,
    /// No index line where it belongs.
    #[error("line {line}: expected `index <decimal without leading zeroes>`")]
    Index {
        /// The 1-based line.
        line: usize,
    },
    /// A line is not a hash.
    #[error("line {line}: {source}")]
    Hash {
        /// The 1-based line.
        line: usize,
        /// What is wrong with it.
        source: HashParseError,
    },
    /// More hashes than any audit path has.
    #[error("more than {MAX_HASHES} hashes: no audit path is so long")]
    TooManyHashes,
    /// No blank line between hashes and checkpoint.
    #[error("no blank line after the hashes: the file may be cut off")]
    NoBlankLine,
    /// The checkpoint is malformed or not this log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leaf does not follow from the proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl From<NoteError> for TlogProofError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(CheckpointError::Note(error))
    }
}
