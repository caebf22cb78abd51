//! What decides whether a checkpoint is cosigned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tlog::{
    Checkpoint, CheckpointError, Hash, Note, TreeSize, VerifyingKey, WitnessKey, WitnessSigningKey,
    verify_consistency,
};

use crate::request::AddCheckpoint;
use crate::state::{StateError, StateFolder, origin_hash};

/// The most logs that one witness takes.
pub const MAX_LOGS: usize = 1_024;

/// A witness of some logs.
#[derive(Debug)]
pub struct Witness {
    key: WitnessSigningKey,
    logs: BTreeMap<String, Log>,
    folder: StateFolder,
}

/// A log, known by its origin.
#[derive(Debug)]
struct Log {
    /// Any of which may have signed its checkpoints.
    keys: Vec<VerifyingKey>,
    /// Held from the check until what follows from it is durable: requests for one origin go one after the other.
    memory: Mutex<Memory>,
}

#[derive(Debug)]
enum Memory {
    /// What was cosigned last, if anything ever was.
    Known(Option<Cosigned>),
    /// A write failed, so it is not known what the next start will find. Nothing is cosigned before that.
    Lost,
}

#[derive(Clone, Debug)]
struct Cosigned {
    size: TreeSize,
    root: Hash,
    /// POSIX seconds.
    time: u64,
    /// The checkpoint with the log's signatures and our cosignature.
    note: Arc<str>,
}

impl Witness {
    /// A witness with this key, of these logs (each key's name is the log's origin; several keys may share one), with its
    /// memory in the folder `dir`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        key: WitnessSigningKey,
        logs: &[VerifyingKey],
        dir: &Path,
    ) -> Result<Self, OpenError> {
        if logs.len() > MAX_LOGS {
            return Err(OpenError::TooManyLogs);
        }
        let folder = StateFolder::open(dir)?;
        let mut known: BTreeMap<String, Log> = BTreeMap::new();
        for log in logs {
            let origin = log.name();
            if let Some(known) = known.get_mut(origin) {
                known.keys.push(log.clone());
                continue;
            }
            let last = remembered(&folder, origin, &key.witness_key())?;
            let memory = Mutex::new(Memory::Known(last));
            known.insert(origin.to_owned(), Log { keys: vec![log.clone()], memory });
        }
        Ok(Self { key, logs: known, folder })
    }

    /// The key that verifies its cosignatures.
    pub fn key(&self) -> WitnessKey {
        self.key.witness_key()
    }

    /// Each origin, with the size of the tree that was cosigned last; none when nothing ever was.
    pub fn remembered(&self) -> impl Iterator<Item = (&str, Option<TreeSize>)> {
        self.logs.iter().map(|(origin, log)| {
            let memory = log.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let size = match &*memory {
                Memory::Known(last) => last.as_ref().map(|last| last.size),
                Memory::Lost => None,
            };
            (origin.as_str(), size)
        })
    }

    /// Takes the body of a request at the time `now` (POSIX seconds); the answer is the cosignature's line.
    ///
    /// Blocks until the checkpoint is durable in the witness's memory; the cosignature exists only then.
    ///
    /// # Errors
    /// [`Refused`]; nothing was cosigned then.
    pub fn add_checkpoint(&self, body: &[u8], now: u64) -> Result<String, Refused> {
        let body = std::str::from_utf8(body).map_err(malformed)?;
        let request = AddCheckpoint::parse(body).map_err(malformed)?;
        let note = Note::parse(&request.checkpoint).map_err(malformed)?;
        let origin = note.text().split('\n').next().unwrap_or_default();
        let log = self.logs.get(origin).ok_or_else(|| Refused::UnknownLog(origin.to_owned()))?;
        log.check_signatures(&note)?;
        let checkpoint = read(note.text())?;
        if request.old_size > checkpoint.size {
            return Err(Refused::OldSize { old: request.old_size, size: checkpoint.size });
        }

        // A panic below would leave the memory as it was: it is written last.
        let mut memory = log.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory::Known(last) = &*memory else { return Err(Refused::MemoryLost) };
        let known = last.as_ref().map_or(TreeSize(0), |last| last.size);
        if request.old_size != known {
            return Err(Refused::Conflict { known });
        }
        check_consistency(last.as_ref(), &checkpoint, &request.proof).map_err(|reason| {
            let cosigned = last.as_ref().map_or("nothing", |last| &*last.note);
            let submitted = &request.checkpoint;
            tracing::error!(
                origin,
                reason,
                cosigned,
                submitted,
                "the log signed a checkpoint that was not shown to continue what was cosigned: keep these lines"
            );
            Refused::Inconsistent(reason)
        })?;

        // A clock that was set back must not make a larger tree look older than a smaller one.
        let time = last.as_ref().map_or(now, |last| now.max(last.time)).max(1);
        let cosignature = self.key.sign(note.text(), time).map_err(malformed)?;
        let mut kept = log.without_strangers(&note).map_err(malformed)?;
        kept.add_signature(cosignature.clone()).map_err(malformed)?;
        let kept = kept.to_string();
        if let Err(error) = self.folder.replace(origin, &kept) {
            *memory = Memory::Lost;
            tracing::error!(origin, %error, "a checkpoint could not be kept: nothing of this log is cosigned any more");
            return Err(Refused::MemoryLost);
        }
        let Checkpoint { size, root, .. } = checkpoint;
        *memory = Memory::Known(Some(Cosigned { size, root, time, note: kept.into() }));
        drop(memory);
        if known.0 == 0 {
            tracing::warn!(
                origin,
                "this witness had cosigned nothing of this log: what it vouches for begins now. If it should have a memory, \
                 look at --state"
            );
        }
        tracing::info!(origin, old_size = known.0, size = size.0, %root, "cosigned");
        Ok(cosignature.to_string())
    }

    /// The checkpoint that was cosigned last of the origin with this SHA-256 (lower-case hex), with the log's signatures
    /// and the cosignature.
    pub fn checkpoint(&self, hash: &str) -> Option<Arc<str>> {
        let (_, log) = self.logs.iter().find(|(origin, _)| origin_hash(origin) == hash)?;
        match &*log.memory.lock().unwrap_or_else(PoisonError::into_inner) {
            Memory::Known(last) => last.as_ref().map(|last| Arc::clone(&last.note)),
            Memory::Lost => None,
        }
    }
}

impl Log {
    /// At least one of the log's keys signed, and no signature by one of them is bad.
    fn check_signatures(&self, note: &Note) -> Result<(), Refused> {
        let mut signed = false;
        for key in &self.keys {
            signed |=
                note.verified_by(key).map_err(|error| Refused::Signature(error.to_string()))?;
        }
        let unsigned = || Refused::Signature("no key of this log has signed it".to_owned());
        signed.then_some(()).ok_or_else(unsigned)
    }

    /// The note with those signatures alone that were verified.
    fn without_strangers(&self, note: &Note) -> Result<Note, tlog::NoteError> {
        let mut kept = Note::new(note.text())?;
        for signature in note.signatures() {
            let made_it = |key: &VerifyingKey| {
                key.name() == signature.name && key.key_id() == signature.key_id
            };
            if self.keys.iter().any(made_it) {
                kept.add_signature(signature.clone())?;
            }
        }
        Ok(kept)
    }
}

/// The checkpoint of a note's text. Extension lines are allowed, and cosigned, but nothing is said of them.
fn read(text: &str) -> Result<Checkpoint, Refused> {
    let end = text.match_indices('\n').nth(2).map_or(text.len(), |(at, _)| at + 1);
    let (text, extensions) = text.split_at(end);
    if extensions.split_terminator('\n').any(str::is_empty) {
        return Err(malformed("an extension line of the checkpoint is empty"));
    }
    Checkpoint::parse_text(text).map_err(|error| match error {
        CheckpointError::EmptyRoot => Refused::Inconsistent(error.to_string()),
        error => malformed(error),
    })
}

fn check_consistency(
    last: Option<&Cosigned>,
    new: &Checkpoint,
    proof: &[Hash],
) -> Result<(), String> {
    match last.filter(|last| last.size.0 > 0) {
        // Every tree continues the empty one, whose only root was checked when it was read.
        None if proof.is_empty() => Ok(()),
        None => Err("nothing is proved from size 0, so the proof must be empty".to_owned()),
        Some(last) => verify_consistency(last.size, new.size, &last.root, &new.root, proof)
            .map_err(|error| error.to_string()),
    }
}

/// What the folder holds of an origin, if it is what this witness wrote.
fn remembered(
    folder: &StateFolder,
    origin: &str,
    key: &WitnessKey,
) -> Result<Option<Cosigned>, OpenError> {
    let Some(text) = folder.read(origin)? else { return Ok(None) };
    let strange = |reason: String| OpenError::Strange {
        path: folder.path(origin),
        key: key.to_string(),
        reason,
    };
    let note = Note::parse(&text).map_err(|error| strange(error.to_string()))?;
    let time = key.verify(&note).map_err(|error| strange(error.to_string()))?;
    let time = time.ok_or_else(|| strange("it is not cosigned by this key".to_owned()))?;
    let checkpoint = read(note.text()).map_err(|refused| strange(refused.to_string()))?;
    if checkpoint.origin != origin {
        return Err(strange(format!("it is of the log {:?}", checkpoint.origin)));
    }
    let Checkpoint { size, root, .. } = checkpoint;
    Ok(Some(Cosigned { size, root, time, note: text.into() }))
}

#[expect(clippy::needless_pass_by_value, reason = "so that map_err takes it as it is")]
fn malformed(reason: impl ToString) -> Refused {
    Refused::Malformed(reason.to_string())
}

/// Why a checkpoint is not cosigned; each has its HTTP status in the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request or its checkpoint is not well-formed.
    #[error("this is no checkpoint with a consistency proof: {0}")]
    Malformed(String),
    /// The origin is none that this witness knows.
    #[error("this witness knows no log {0:?}")]
    UnknownLog(String),
    /// Not signed by the log, or badly.
    #[error("{0}")]
    Signature(String),
    /// The old size is beyond the checkpoint.
    #[error("the old size {old} is larger than the checkpoint's {size}")]
    OldSize {
        /// As the sender says.
        old: TreeSize,
        /// Of the checkpoint.
        size: TreeSize,
    },
    /// The old size is not that of the checkpoint that was cosigned last.
    #[error("the checkpoint that was cosigned last has {known} entries")]
    Conflict {
        /// That size; 0 when nothing was cosigned.
        known: TreeSize,
    },
    /// The checkpoint does not continue what was cosigned last.
    #[error("the checkpoint does not continue the one that was cosigned last: {0}")]
    Inconsistent(String),
    /// The witness could not write what it must remember.
    #[error("this witness could not write down what it cosigns; its operator must look at its log")]
    MemoryLost,
}

/// Why a witness does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// More than [`MAX_LOGS`].
    #[error("more than {MAX_LOGS} logs")]
    TooManyLogs,
    /// The folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file in the folder is not what this witness wrote.
    #[error(
        "{path} is not a checkpoint that {key} cosigned ({reason}): start the witness with the key and the folder that \
         belong together; never delete the file, or the witness forgets what it vouched for"
    )]
    Strange {
        /// The file.
        path: PathBuf,
        /// The witness's vkey.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}
