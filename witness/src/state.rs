//! What a witness remembers: one file an origin, the checkpoint that it cosigned last.
//!
//! A file is replaced whole, by rename, and durable before the cosignature leaves: file synced, renamed, folder synced. A
//! crash before the rename leaves the old checkpoint, whose successor nobody got; a crash after it leaves a new one that
//! perhaps nobody got, which the log asks for again. Two processes on one folder could each remember half: it is locked.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Beside the files of the origins; locked by the process that uses the folder.
const LOCK: &str = "lock";
/// Begins the name of a file that is being written.
const UNFINISHED: &str = "unfinished-";
/// No file is longer: a request's checkpoint and one cosignature.
const MAX_FILE_BYTES: u64 = 2 * crate::MAX_REQUEST_BYTES as u64;

/// The folder, held by this process alone.
#[derive(Debug)]
pub(crate) struct StateFolder {
    dir: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

impl StateFolder {
    /// Opens the folder; it is created when it does not exist.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn open(dir: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::File { path: dir.to_owned(), source };
        if !dir.is_dir() {
            fs::create_dir(dir).map_err(failed)?;
            sync(above(dir)).map_err(failed)?;
        }
        let path = dir.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|source| StateError::File { path, source })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        remove_unfinished(dir).map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// The checkpoint that was kept of an origin, as it was given to [`replace`](Self::replace).
    ///
    /// # Errors
    /// [`StateError::File`].
    pub(crate) fn read(&self, origin: &str) -> Result<Option<String>, StateError> {
        let path = self.path(origin);
        let failed = |source| StateError::File { path: path.clone(), source };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
            Ok(found) if found.len() > MAX_FILE_BYTES => {
                return Err(failed(io::Error::other("it is longer than any that was written")));
            }
            Ok(_) => {}
        }
        fs::read_to_string(&path).map(Some).map_err(failed)
    }

    /// Keeps this checkpoint of an origin in place of the one before; durable when this returns.
    ///
    /// # Errors
    /// [`StateError::File`]: then either of the two may be there.
    pub(crate) fn replace(&self, origin: &str, note: &str) -> Result<(), StateError> {
        let path = self.path(origin);
        self.write(&path, note).map_err(|source| StateError::File { path, source })
    }

    /// Where an origin's checkpoint is kept.
    pub(crate) fn path(&self, origin: &str) -> PathBuf {
        self.dir.join(origin_hash(origin))
    }

    fn write(&self, path: &Path, note: &str) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.dir)?;
        file.write_all(note.as_bytes())?;
        file.as_file().sync_all()?;
        // Removed when it is dropped, as by an error, until it is renamed.
        let mut temporary = file.into_temp_path();
        fs::rename(&temporary, path)?;
        temporary.disable_cleanup(true);
        sync(&self.dir)
    }
}

/// SHA-256 of an origin in lower-case hex: its name in URLs, by the specification, and in the folder.
pub(crate) fn origin_hash(origin: &str) -> String {
    hex::encode(Sha256::digest(origin))
}

/// What a process that was killed left.
fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn above(dir: &Path) -> &Path {
    match dir.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Why a witness's memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or the folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// Another process uses the folder.
    #[error("{dir} is in use by another witness: two with one memory could cosign two histories")]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
}
