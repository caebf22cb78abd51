//! The newest checkpoint that was verified, kept in a file: after a restart the log must continue it.
//!
//! The file is replaced at most once a second. A crash between two writes leaves an older checkpoint, which the
//! log must continue as well.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tlog::{Checkpoint, CheckpointError, Note, VerifyingKey, open_checkpoint};
use tokio::sync::watch;

use crate::error::StartError;

/// Shortest time between two writes of the file.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of the log; without a file, until the process ends.
#[derive(Default)]
pub(crate) struct Memory {
    verified: Option<Checkpoint>,
    keeper: Option<watch::Sender<Arc<str>>>,
}

impl Memory {
    /// What an earlier process verified. The file is written from then on, by a task that ends with this memory.
    ///
    /// The log may have changed its key since: then the checkpoint is signed by another key under the log's name. Nobody
    /// here can say whether that was the log's, and nobody needs to: what the log shows under the key that is believed now
    /// must continue it.
    ///
    /// # Errors
    /// [`StartError::CheckpointFile`], [`StartError::CheckpointContent`].
    pub(crate) fn open(file: Option<PathBuf>, log: &VerifyingKey) -> Result<Self, StartError> {
        let Some(file) = file else { return Ok(Self::default()) };
        let failed = |source| StartError::CheckpointFile { path: file.clone(), source };
        let verified = match fs::read_to_string(&file) {
            Ok(note) => Some(read(&note, log).map_err(|source| {
                let (path, log) = (file.clone(), log.name().to_owned());
                StartError::CheckpointContent { path, log, source }
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::metadata(folder(&file)).map_err(failed)?;
                None
            }
            Err(error) => return Err(failed(error)),
        };
        let (keeper, newest) = watch::channel("".into());
        tokio::spawn(keep(file, newest));
        Ok(Self { verified, keeper: Some(keeper) })
    }

    /// The newest checkpoint that was verified.
    pub(crate) fn verified(&self) -> Option<&Checkpoint> {
        self.verified.as_ref()
    }

    /// A checkpoint that continues the one before was verified; `note` is its signed text.
    pub(crate) fn verify(&mut self, checkpoint: Checkpoint, note: &str) {
        if self.verified.as_ref() == Some(&checkpoint) {
            return;
        }
        self.verified = Some(checkpoint);
        if let Some(keeper) = &self.keeper {
            keeper.send_replace(note.into());
        }
    }
}

fn read(note: &str, log: &VerifyingKey) -> Result<Checkpoint, CheckpointError> {
    let verified = open_checkpoint(note, log);
    if !matches!(verified, Err(CheckpointError::NotSigned { .. })) {
        return verified;
    }
    let kept = Checkpoint::parse_text(Note::parse(note)?.text())?;
    if kept.origin != log.name() {
        let (expected, actual) = (log.name().to_owned(), kept.origin);
        return Err(CheckpointError::OtherOrigin { expected, actual });
    }
    let key = log.to_string();
    tracing::warn!(
        key,
        size = kept.size.0,
        "the checkpoint that was kept is signed by another key of the log; the log must \
         continue it under the configured one"
    );
    Ok(kept)
}

/// Writes the newest note, one after the other, until no more can come.
async fn keep(file: PathBuf, mut newest: watch::Receiver<Arc<str>>) {
    let mut is_failing = false;
    while newest.changed().await.is_ok() {
        let note = Arc::clone(&newest.borrow_and_update());
        let path = file.clone();
        let write = tokio::task::spawn_blocking(move || replace(&path, &note));
        match write.await.unwrap_or_else(|aborted| Err(io::Error::other(aborted))) {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                let file = file.display();
                tracing::error!(%file, %error, "the newest verified checkpoint cannot be kept: a restart would not know it");
            }
            Err(_) => {}
        }
        tokio::time::sleep(MIN_INTERVAL).await;
    }
}

/// Replaces the file by one with this text, durably, or leaves it as it was.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let folder = folder(file);
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    // Removed when it is dropped, as by an error, until it is renamed.
    let mut new = new.into_temp_path();
    fs::rename(&new, file)?;
    new.disable_cleanup(true);
    File::open(folder)?.sync_all()
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tlog::{Hash, SigningKey, TreeSize};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("log.example", [seed; 32]).unwrap()
    }

    fn checkpoint(size: u64) -> (Checkpoint, String) {
        let (origin, root) = ("log.example".to_owned(), Hash([3; 32]));
        let checkpoint = Checkpoint { origin, size: TreeSize(size), root };
        let note = checkpoint.sign(&key(1));
        (checkpoint, note)
    }

    #[tokio::test]
    async fn what_was_verified_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoint");
        let log = key(1).verifying_key();
        let mut memory = Memory::open(Some(file.clone()), &log).unwrap();
        assert!(memory.verified().is_none());
        let (first, note) = checkpoint(1);
        memory.verify(first, &note);
        // Of many that come within a second the last is written.
        let started = Instant::now();
        let (last, note) = checkpoint(1_000);
        for size in 2..=1_000 {
            let (checkpoint, note) = checkpoint(size);
            memory.verify(checkpoint, &note);
        }
        drop(memory);
        while fs::read_to_string(&file).ok().as_deref() != Some(&*note) {
            assert!(started.elapsed() < Duration::from_secs(20), "it was not written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let memory = Memory::open(Some(file), &log).unwrap();
        assert_eq!(memory.verified(), Some(&last));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_known_is_no_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoint");
        let open = |file: PathBuf| Memory::open(Some(file), &key(1).verifying_key()).err().unwrap();
        let other = Checkpoint { origin: "other.example".into(), ..checkpoint(1).0 };
        let of_other = SigningKey::from_seed("other.example", [1; 32]).unwrap();
        for unusable in
            [other.sign(&of_other), checkpoint(1).1.replace("log.example\n1", "log.example\n2")]
        {
            fs::write(&file, unusable).unwrap();
            assert!(matches!(open(file.clone()), StartError::CheckpointContent { .. }));
        }
        let nowhere = folder.path().join("absent/checkpoint");
        assert!(matches!(open(nowhere), StartError::CheckpointFile { .. }));
    }

    #[tokio::test]
    async fn what_the_log_signed_with_its_key_of_before_is_still_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoint");
        fs::write(&file, checkpoint(7).1).unwrap();
        let memory = Memory::open(Some(file), &key(2).verifying_key()).unwrap();
        assert_eq!(memory.verified(), Some(&checkpoint(7).0));
    }
}
