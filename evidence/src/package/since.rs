//! Checkpoints that a requester kept from earlier: does this log go on from them?

use tlog::{
    Checkpoint, CheckpointError, Note, TlogProof, VerifyingKey, open_checkpoint, verify_consistency,
};

use crate::source::{Source, SourceError};

/// Most kept checkpoints of one request.
const MAX_SINCE: usize = 100;
/// How a tlog-proof of any version begins.
const TLOG_PROOF: &str = "c2sp.org/tlog-proof@";

/// Why a kept checkpoint cannot be bound to this log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinceError {
    /// Too many at once.
    #[error("{0} kept checkpoints were given, at most {MAX_SINCE} are accepted")]
    TooMany(usize),
    /// Not a checkpoint that the log signed.
    #[error(
        "kept checkpoint {number} {what}. Wanted is a checkpoint that this log signed: what GET /checkpoint gave, \
         data/proofs/checkpoint of an older package, or a .tlog-proof, which carries one"
    )]
    Unusable {
        /// Which of those given, from 1.
        number: usize,
        /// What is wrong with it.
        what: String,
    },
    /// This node is behind.
    #[error(
        "kept checkpoint {number} has {kept} leaves, this node has verified {verified} so far: try again when it has \
         followed further"
    )]
    Newer {
        /// Which of those given, from 1.
        number: usize,
        /// Its leaves.
        kept: u64,
        /// Leaves verified here.
        verified: u64,
    },
    /// Signed by the log, and not of the history that is here.
    #[error(
        "kept checkpoint {number} is signed by the log, but the log that this node follows is another one at {size} \
         leaves: its history was rewritten. Keep the file, it is evidence of that"
    )]
    Forked {
        /// Which of those given, from 1.
        number: usize,
        /// Its leaves.
        size: u64,
    },
    /// The log could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl SinceError {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany(_) => "since_too_many",
            Self::Unusable { .. } => "since_unusable",
            Self::Newer { .. } => "since_newer",
            Self::Forked { .. } => "since_forked",
            Self::Source(_) => "log_unreadable",
        }
    }
}

/// The kept checkpoints that are older than the source's, each with its note as the log signed it.
pub(super) fn check(
    source: &impl Source,
    since: &[String],
) -> Result<Vec<(Checkpoint, String)>, SinceError> {
    if since.len() > MAX_SINCE {
        return Err(SinceError::TooMany(since.len()));
    }
    let newest = source.checkpoint().0;
    let mut kept = Vec::with_capacity(since.len());
    for (number, note) in (1..).zip(since) {
        let unusable = |what: String| SinceError::Unusable { number, what };
        let Kept { checkpoint, note, not_signed } =
            open(note, source.log_key()).map_err(unusable)?;
        let size = checkpoint.size;
        if size > newest.size {
            let (kept, verified) = (size.0, newest.size.0);
            return Err(SinceError::Newer { number, kept, verified });
        }
        if size.0 == 0 {
            // Every log goes on from the empty one.
            continue;
        }
        let proof = source.consistency_proof(size)?;
        match verify_consistency(size, newest.size, &checkpoint.root, &newest.root, &proof) {
            Ok(()) => kept.push((checkpoint, note)),
            // Only what the log signed would tell of another history.
            Err(_) => {
                return Err(match not_signed {
                    Some(what) => unusable(what),
                    None => SinceError::Forked { number, size: size.0 },
                });
            }
        }
    }
    Ok(kept)
}

/// A checkpoint that was given.
struct Kept {
    checkpoint: Checkpoint,
    /// Its note with no signature but the log's: nobody here could answer for others.
    note: String,
    /// That the key which this node believes has not signed it, but another under the log's name: it may be the log's of
    /// before.
    not_signed: Option<String>,
}

fn open(given: &str, log: Option<VerifyingKey>) -> Result<Kept, String> {
    let Some(log) = log else {
        return Err("cannot be checked, since this source names no key of the log".to_owned());
    };
    let note = if given.starts_with(TLOG_PROOF) {
        let proof = TlogProof::parse(given);
        proof.map_err(|error| format!("is a tlog-proof that cannot be read: {error}"))?.checkpoint
    } else {
        given.to_owned()
    };
    let cannot = |error: &dyn std::fmt::Display| format!("cannot be used: {error}");
    let signed = Note::parse(&note).map_err(|error| cannot(&error))?;
    let mut signatures: Vec<_> =
        signed.signatures().iter().filter(|signature| signature.name == log.name()).collect();
    let (checkpoint, not_signed) = match open_checkpoint(&note, &log) {
        Ok(checkpoint) => {
            signatures.retain(|signature| signature.key_id == log.key_id());
            (checkpoint, None)
        }
        Err(error @ CheckpointError::NotSigned { .. }) if !signatures.is_empty() => {
            let checkpoint = Checkpoint::parse_text(signed.text()).map_err(|e| cannot(&e))?;
            if checkpoint.origin != log.name() {
                return Err(cannot(&error));
            }
            // A key of before, and the one that followed it.
            signatures.truncate(2);
            (checkpoint, Some(cannot(&error)))
        }
        Err(error) => return Err(cannot(&error)),
    };
    let mut own = Note::new(signed.text()).map_err(|error| cannot(&error))?;
    for signature in signatures {
        own.add_signature(signature.clone()).map_err(|error| cannot(&error))?;
    }
    Ok(Kept { checkpoint, note: own.to_string(), not_signed })
}
