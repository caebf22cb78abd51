//! Checkpoints: signed, written to their own file, then shown; cosignatures are added as they come.
//!
//! The file stands outside the store, so that a store brought back from an older copy is noticed: it would lack
//! what the file promised. (Only a file that was not brought back with the store can show that.) A crash before the
//! rename leaves the old checkpoint, which the store still satisfies; a crash after it leaves one that nobody has
//! seen yet, which is as good.

mod pace;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tlog::{Checkpoint, CheckpointError, Note, Policy};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::pace::Pace;
use crate::folder;
use crate::health::Troubles;
use crate::log_keys::LogKeys;
use crate::store::TreeHead;
use crate::witnessing::Cosigned;

/// Cosignatures that are written to the file in one go.
const MAX_AT_ONCE: usize = 64;
/// Keys that did not sign are asked again after so long.
const SIGN_AGAIN: Duration = Duration::from_secs(1);
/// What troubles are reported under.
const CHECKPOINTS: &str = "no checkpoint can be signed, what is recorded stays unpublished";

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note, verbatim.
    pub note: Arc<str>,
}

impl Published {
    /// The same checkpoint with further cosignatures, each in place of an older one by the same key; `None` when there is
    /// none of this checkpoint.
    pub(crate) fn cosigned(&self, cosigned: &[Cosigned]) -> Option<Self> {
        let of_this: Vec<_> =
            cosigned.iter().filter(|one| one.checkpoint == self.checkpoint).collect();
        let old = Note::parse(&self.note).ok().filter(|_| !of_this.is_empty())?;
        let mut note = Note::new(old.text()).ok()?;
        let is_replaced = |name: &str, key_id: [u8; 4]| {
            of_this.iter().any(|one| one.witness.name() == name && one.witness.key_id() == key_id)
        };
        let kept = old.signatures().iter().filter(|old| !is_replaced(&old.name, old.key_id));
        for signature in kept.chain(of_this.iter().map(|one| &one.signature)) {
            // There are at most as many as witnesses in a policy.
            note.add_signature(signature.clone()).ok()?;
        }
        Some(Self { checkpoint: self.checkpoint.clone(), note: note.to_string().into() })
    }

    /// Whether the witnesses that cosigned are the quorum of this policy.
    pub(crate) fn has_quorum(&self, policy: &Policy) -> bool {
        Note::parse(&self.note).is_ok_and(|note| policy.is_cosigned(&note))
    }
}

/// Where cosignatures come from, and which of them are enough; nothing for a log without witnesses.
pub(crate) struct Cosignatures {
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) arriving: Option<mpsc::Receiver<Cosigned>>,
}

impl Cosignatures {
    /// The next ones, all that are there; never any when there is no witness.
    async fn next(&mut self) -> Vec<Cosigned> {
        let mut cosigned = Vec::new();
        if let Some(arriving) = &mut self.arriving {
            arriving.recv_many(&mut cosigned, MAX_AT_ONCE).await;
        }
        if cosigned.is_empty() {
            std::future::pending::<()>().await;
        }
        cosigned
    }

    /// Whether nothing more needs to be awaited for this checkpoint.
    fn are_enough(&self, published: &Published) -> bool {
        self.policy.as_ref().is_none_or(|policy| published.has_quorum(policy))
    }
}

/// Why a checkpoint could not be read or published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file could not be read or written.
    #[error("the checkpoint file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// The file does not hold a checkpoint of this log.
    #[error(
        "the checkpoint file {path} does not hold a checkpoint signed by this log's key: {source}. Bring back the \
         log_key_file that the log was begun with, or the file, if it was damaged. To change the key, name the new one \
         in `next_log_key_file` beside the old, start, and only then leave the old one out. Only a new log that was \
         begun with the wrong key by mistake, and from which nothing was published, may begin again: with an empty \
         data_dir, and without this file"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// Somebody else wrote the file since.
    #[error(
        "the checkpoint file {path} is not the one this process wrote last: another ledger runs with the same \
         key; stop one of them"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
    },
}

/// The checkpoint file of a log.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    path: PathBuf,
}

/// Where the file is when the configuration does not say.
pub(crate) fn default_file(data_dir: &Path) -> PathBuf {
    data_dir.join("checkpoint")
}

impl CheckpointFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// What stands in the file; `None` when there is none.
    ///
    /// # Errors
    /// [`PublishError::File`], [`PublishError::Content`].
    pub(crate) fn read(&self, keys: &LogKeys) -> Result<Option<Published>, PublishError> {
        let note = match fs::read_to_string(&self.path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.file_error(source)),
        };
        let checkpoint = keys
            .open(&note)
            .map_err(|source| PublishError::Content { path: self.path.clone(), source })?;
        Ok(Some(Published { checkpoint, note: note.into() }))
    }

    /// Replaces `old` by `new`, durably.
    ///
    /// # Errors
    /// [`PublishError::Replaced`] when the file does not hold `old`; [`PublishError::File`].
    pub(crate) fn replace(
        &self,
        old: Option<&Published>,
        new: &Published,
    ) -> Result<(), PublishError> {
        let found = match fs::read_to_string(&self.path) {
            Ok(note) => Some(note),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(self.file_error(source)),
        };
        if found.as_deref() != old.map(|published| &*published.note) {
            return Err(PublishError::Replaced { path: self.path.clone() });
        }
        self.write(&new.note).map_err(|source| self.file_error(source))
    }

    fn write(&self, note: &str) -> io::Result<()> {
        folder::replace(&self.path, note.as_bytes())
    }

    fn file_error(&self, source: io::Error) -> PublishError {
        PublishError::File { path: self.path.clone(), source }
    }
}

/// Publishes every head it sees, the newest first, and adds cosignatures to the published one; ends when the sequencer
/// does. While a key does not sign, nothing new is published, and it is asked again and again.
///
/// # Errors
/// [`PublishError`]: publishing has stopped, and so must the ledger.
pub(crate) async fn run(
    file: CheckpointFile,
    keys: LogKeys,
    mut heads: watch::Receiver<TreeHead>,
    published: watch::Sender<Arc<Published>>,
    mut cosignatures: Cosignatures,
    troubles: Troubles,
) -> Result<(), PublishError> {
    let file = Arc::new(file);
    let mut current = Arc::clone(&published.borrow());
    let mut has_quorum = cosignatures.are_enough(&current);
    let mut pace = Pace::default();
    let mut sign_again_at = None;
    loop {
        let is_newer = heads.borrow_and_update().size > current.checkpoint.size;
        let due = sign_again_at.max(pace.due(has_quorum));
        let next = tokio::select! {
            () = sleep_until(due), if is_newer => Some(Next::Head(*heads.borrow_and_update())),
            cosigned = cosignatures.next() => current.cosigned(&cosigned).map(Next::Cosigned),
            changed = heads.changed(), if !is_newer => match changed {
                Ok(()) => None,
                Err(_) => return Ok(()),
            },
        };
        let new = match next {
            None => continue,
            Some(Next::Cosigned(new)) => new,
            Some(Next::Head(head)) => match keys.sign_elsewhere(head).await {
                Ok(new) => {
                    troubles.is_over(CHECKPOINTS);
                    sign_again_at = None;
                    pace.published(Instant::now(), has_quorum);
                    new
                }
                Err(error) => {
                    troubles.report(CHECKPOINTS, &error);
                    sign_again_at = Some(Instant::now() + SIGN_AGAIN);
                    continue;
                }
            },
        };
        let (file, old) = (Arc::clone(&file), Arc::clone(&current));
        let write = move || file.replace(Some(&old), &new).map(|()| new);
        let new = tokio::task::spawn_blocking(write)
            .await
            .expect("the closure does not panic, and nobody aborts it")?;
        current = Arc::new(new);
        has_quorum = cosignatures.are_enough(&current);
        published.send_replace(Arc::clone(&current));
    }
}

/// What is to be published next.
enum Next {
    /// A larger tree, to be signed.
    Head(TreeHead),
    /// The same checkpoint with more cosignatures.
    Cosigned(Published),
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Hash, SigningKey, TreeSize, open_checkpoint};

    fn keys(seed: u8) -> LogKeys {
        SigningKey::from_seed("log.example", [seed; 32]).unwrap().into()
    }

    #[test]
    fn replaces_only_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let keys_of_log = keys(1);
        let file = CheckpointFile::at(folder.path().join("checkpoint"));
        let head = |size| TreeHead { size: TreeSize(size), root: Hash([1; 32]), recorded_at_ns: 1 };
        let [first, second] = [1, 2].map(|size| keys_of_log.sign(&head(size)).unwrap());
        assert_eq!(file.read(&keys_of_log).unwrap(), None);
        file.replace(None, &first).unwrap();
        assert!(matches!(file.replace(None, &second), Err(PublishError::Replaced { .. })));
        file.replace(Some(&first), &second).unwrap();
        assert_eq!(file.read(&keys_of_log).unwrap(), Some(second));
        assert!(matches!(file.read(&keys(2)), Err(PublishError::Content { .. })));
    }

    #[test]
    fn what_cannot_be_renamed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::at(folder.path().join("checkpoint"));
        // A folder of that name, with something in it, cannot be replaced by a file.
        fs::create_dir_all(folder.path().join("checkpoint/in the way")).unwrap();
        assert!(file.write("note").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn cosignatures_are_added_once_each() {
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let witness = tlog::WitnessSigningKey::from_seed("witness.example", [2; 32]).unwrap();
        let head = |size| TreeHead { size: TreeSize(size), root: Hash([1; 32]), recorded_at_ns: 1 };
        let keys = LogKeys::from(key.clone());
        let published = keys.sign(&head(7)).unwrap();
        let cosigned = |published: &Published, time| Cosigned {
            checkpoint: published.checkpoint.clone(),
            witness: witness.witness_key(),
            signature: witness.sign(&published.checkpoint.text(), time).unwrap(),
        };
        let policy = format!("witness w {}\nquorum w\n", witness.witness_key());
        let policy = Policy::parse(&policy).unwrap();
        assert!(!published.has_quorum(&policy));
        assert_eq!(published.cosigned(&[cosigned(&keys.sign(&head(6)).unwrap(), 1)]), None);
        let once = published.cosigned(&[cosigned(&published, 1)]).unwrap();
        let twice = once.cosigned(&[cosigned(&once, 2)]).unwrap();
        for (note, time) in [(&once, 1), (&twice, 2)] {
            assert!(note.has_quorum(&policy));
            assert_eq!(open_checkpoint(&note.note, &key.verifying_key()).unwrap(), note.checkpoint);
            let parsed = Note::parse(&note.note).unwrap();
            assert_eq!(parsed.signatures().len(), 2);
            assert_eq!(witness.witness_key().verify(&parsed), Ok(Some(time)));
        }
    }
}
