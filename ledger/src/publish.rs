//! Checkpoints: signed, written to their own file, then shown.
//!
//! The file stands outside the store, so that a store brought back from an older copy is noticed: it would lack
//! what the file promised. (Only a file that was not brought back with the store can show that.) A crash before the
//! rename leaves the old checkpoint, which the store still satisfies; a crash after it leaves one that nobody has
//! seen yet, which is as good.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tlog::{Checkpoint, CheckpointError, SigningKey, open_checkpoint};
use tokio::sync::watch;

use crate::folder;
use crate::store::TreeHead;

/// Shortest time between two checkpoints under load. An idle log publishes at once.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// A published checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note, verbatim.
    pub note: Arc<str>,
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
         log_key_file that the log was begun with, or the file, if it was damaged. Only a new log that was begun with \
         the wrong key by mistake, and from which nothing was published, may begin again: with an empty data_dir, and \
         without this file"
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
    pub(crate) fn read(&self, key: &SigningKey) -> Result<Option<Published>, PublishError> {
        let note = match fs::read_to_string(&self.path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.file_error(source)),
        };
        let checkpoint = open_checkpoint(&note, &key.verifying_key())
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
        let folder = folder::above(&self.path);
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(note.as_bytes())?;
        file.as_file().sync_all()?;
        // Removed when it is dropped, as by an error, until it is renamed.
        let mut temporary = file.into_temp_path();
        fs::rename(&temporary, &self.path)?;
        temporary.disable_cleanup(true);
        folder::sync(folder)
    }

    fn file_error(&self, source: io::Error) -> PublishError {
        PublishError::File { path: self.path.clone(), source }
    }
}

/// Signs `head` as a checkpoint.
pub(crate) fn sign(head: &TreeHead, key: &SigningKey) -> Published {
    let checkpoint = Checkpoint { origin: key.name().to_owned(), size: head.size, root: head.root };
    let note = checkpoint.sign(key).into();
    Published { checkpoint, note }
}

/// Publishes every head it sees, the newest first; ends when the sequencer does.
///
/// # Errors
/// [`PublishError`]: publishing has stopped, and so must the ledger.
pub(crate) async fn run(
    file: CheckpointFile,
    key: Arc<SigningKey>,
    mut heads: watch::Receiver<TreeHead>,
    published: watch::Sender<Arc<Published>>,
) -> Result<(), PublishError> {
    let file = Arc::new(file);
    loop {
        let head = *heads.borrow_and_update();
        let old = Arc::clone(&published.borrow());
        if head.size > old.checkpoint.size {
            let (file, key) = (Arc::clone(&file), Arc::clone(&key));
            let write = move || {
                let new = sign(&head, &key);
                file.replace(Some(&old), &new).map(|()| new)
            };
            let new = tokio::task::spawn_blocking(write)
                .await
                .expect("the closure does not panic, and nobody aborts it")?;
            published.send_replace(Arc::new(new));
            tokio::time::sleep(MIN_INTERVAL).await;
        }
        if heads.changed().await.is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Hash, TreeSize};

    #[test]
    fn replaces_only_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let file = CheckpointFile::at(folder.path().join("checkpoint"));
        let head = |size| TreeHead { size: TreeSize(size), root: Hash([1; 32]), recorded_at_ns: 1 };
        let (first, second) = (sign(&head(1), &key), sign(&head(2), &key));
        assert_eq!(file.read(&key).unwrap(), None);
        file.replace(None, &first).unwrap();
        assert!(matches!(file.replace(None, &second), Err(PublishError::Replaced { .. })));
        file.replace(Some(&first), &second).unwrap();
        assert_eq!(file.read(&key).unwrap(), Some(second));
        let other = SigningKey::from_seed("log.example", [2; 32]).unwrap();
        assert!(matches!(file.read(&other), Err(PublishError::Content { .. })));
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
}
