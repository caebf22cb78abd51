//! What goes over the wire of `add-checkpoint`, for both sides.

use std::fmt;

use tlog::{Hash, HashParseError, TreeSize, TreeSizeError, format_hash_lines};

/// The longest request that a witness reads, in bytes. A checkpoint with a dozen post-quantum signatures fits.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// The most lines of a consistency proof, by the specification.
pub const MAX_PROOF_LINES: usize = 63;
/// Type of the body that names the size of the checkpoint that the witness cosigned last.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A checkpoint that is submitted to a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness cosigned last, as far as the sender knows.
    pub old_size: TreeSize,
    /// Consistency proof (RFC 6962, Section 2.1.2) from that size to the checkpoint; empty from 0 and from the same size.
    pub proof: Vec<Hash>,
    /// The checkpoint: a signed note, verbatim.
    pub checkpoint: String,
}

impl AddCheckpoint {
    /// Reads the body of a request. The checkpoint is not looked at.
    ///
    /// # Errors
    /// When it is not `old <size>`, lines of base64 hashes, an empty line, and something more.
    pub fn parse(body: &str) -> Result<Self, RequestError> {
        let (head, checkpoint) = body.split_once("\n\n").ok_or(RequestError::NoEmptyLine)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old.ok_or(RequestError::NoOldSize)?.parse()?;
        let mut proof = Vec::new();
        for (number, line) in (2..).zip(lines) {
            if proof.len() == MAX_PROOF_LINES {
                return Err(RequestError::TooManyLines);
            }
            let hash = Hash::from_base64(line);
            proof.push(hash.map_err(|source| RequestError::Proof { line: number, source })?);
        }
        Ok(Self { old_size, proof, checkpoint: checkpoint.to_owned() })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "old {}\n{}\n{}", self.old_size, format_hash_lines(&self.proof), self.checkpoint)
    }
}

/// The body of an answer `409 Conflict`.
pub fn format_size(size: TreeSize) -> String {
    format!("{size}\n")
}

/// Reads what [`format_size`] writes, and nothing else.
pub fn parse_size(body: &str) -> Option<TreeSize> {
    body.strip_suffix('\n')?.parse().ok()
}

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No empty line.
    #[error("no empty line stands before the checkpoint")]
    NoEmptyLine,
    /// The first line is another.
    #[error("the first line is not `old <size>`")]
    NoOldSize,
    /// The first line names no size.
    #[error("the first line: {0}")]
    OldSize(#[from] TreeSizeError),
    /// A line of the proof is no hash.
    #[error("line {line}: {source}")]
    Proof {
        /// The 1-based line.
        line: usize,
        /// What is wrong with it.
        source: HashParseError,
    },
    /// More than [`MAX_PROOF_LINES`].
    #[error("more than {MAX_PROOF_LINES} lines of proof")]
    TooManyLines,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(proof: Vec<Hash>) -> AddCheckpoint {
        let checkpoint = "log.example\n7\nroot\n\n— log.example AAAA\n".to_owned();
        AddCheckpoint { old_size: TreeSize(5), proof, checkpoint }
    }

    #[test]
    fn the_form_is_the_specifications() {
        // Example of C2SP tlog-witness, shortened.
        let body = "old 20852014\n\
                    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
                    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
                    \n\
                    example.com/behind-the-sofa\n\
                    20852163\n\
                    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
                    \n\
                    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        let read = AddCheckpoint::parse(body).unwrap();
        assert_eq!((read.old_size.0, read.proof.len()), (20_852_014, 2));
        assert!(read.checkpoint.starts_with("example.com/behind-the-sofa\n20852163\n"));
        assert_eq!(read.to_string(), body);
    }

    #[test]
    fn anything_else_is_refused() {
        let parse = |body: &str| AddCheckpoint::parse(body);
        assert_eq!(parse("old 1\n"), Err(RequestError::NoEmptyLine));
        assert_eq!(parse("\n\ncheckpoint\n"), Err(RequestError::NoOldSize));
        assert_eq!(parse("size 1\n\ncheckpoint\n"), Err(RequestError::NoOldSize));
        for size in ["", "01", "+1", "-1", "1 ", " 1", "18446744073709551616"] {
            let body = format!("old {size}\n\ncheckpoint\n");
            assert_eq!(parse(&body), Err(RequestError::OldSize(TreeSizeError)), "{size:?}");
        }
        assert!(matches!(parse("old 1\nAAAA\n\nx\n"), Err(RequestError::Proof { line: 2, .. })));
        let most = request(vec![Hash([1; 32]); MAX_PROOF_LINES]);
        assert_eq!(parse(&most.to_string()), Ok(most));
        let more = request(vec![Hash([1; 32]); MAX_PROOF_LINES + 1]);
        assert_eq!(parse(&more.to_string()), Err(RequestError::TooManyLines));
    }

    #[test]
    fn sizes_have_one_spelling() {
        assert_eq!(parse_size(&format_size(TreeSize(20_852_014))), Some(TreeSize(20_852_014)));
        for bad in ["", "7", "\n", "07\n", "7\r\n", "7\n\n", " 7\n"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_comes_back(body in "(old [0-9]{0,3}\n)?([A-Za-z0-9+/=]{0,44}\n){0,3}\n?.{0,40}\n") {
            if let Ok(read) = AddCheckpoint::parse(&body) {
                prop_assert_eq!(read.to_string(), body);
            }
        }
    }
}
