//! A folder of backups.
//!
//! ```text
//! lock                          held while a backup is made, shared while one is restored
//! files/<SHA-256>               the bytes of a file, once, however many backups hold it
//! files/<SHA-256>.damaged       what is no more what was written, put aside; it goes with the last backup that names it
//! backups/<number>.<SHA-256 of this very file>.json
//! backups/verdicts.json         what read-backs said of these; replaced whole
//! read-back/                    there while a backup is read back (`read_back.rs`)
//! ```
//!
//! Else what stands there is never written again. A backup exists once its manifest has its name, after all its files are
//! durable. A crash before that leaves files that no manifest names, and the next backup removes them.

mod give;
mod purge;
mod rot;
#[cfg(test)]
mod tests;
mod verdicts;

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use self::rot::is_whole;
pub use self::verdicts::Verdict;
use super::BackupError;
use super::manifest::{Manifest, StoredFile, parse_name};
use super::read_back::remove_scratch;
use crate::folder;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// First letters of what was not written to its end.
const CUT_OFF: &str = ".tmp";
const DIGEST_LETTERS: usize = 64;
const LOCK: &str = "lock";

pub(super) struct Depot {
    dir: PathBuf,
    _lock: Option<File>,
}

impl Depot {
    /// Opens or creates the folder, for one who makes a backup.
    pub(super) fn open(dir: &Path) -> Result<Self, BackupError> {
        let above = folder::above(dir);
        if !dir.exists() && !above.is_dir() {
            return Err(BackupError::NoFolderAbove(above.to_owned()));
        }
        folder::create(dir).map_err(BackupError::file(dir))?;
        is_own(dir)?;
        folder::keep_private(dir).map_err(BackupError::file(dir))?;
        for part in ["files", "backups"] {
            let part = dir.join(part);
            folder::create(&part).map_err(BackupError::file(&part))?;
        }
        let path = dir.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(BackupError::file(&path))?;
        let depot = Self::locked(dir, &path, lock, File::try_lock)?;
        remove_scratch(&depot.dir)?;
        Ok(depot)
    }

    /// Opens a folder that holds backups, for one who restores.
    pub(super) fn read(dir: &Path) -> Result<Self, BackupError> {
        let path = dir.join(LOCK);
        let lock = File::open(&path).map_err(|_| none(dir))?;
        Self::locked(dir, &path, lock, File::try_lock_shared)
    }

    /// Opens a folder that holds backups, for one who only looks at their manifests: these are never changed, and may be gone
    /// at the next look.
    pub(super) fn look(dir: &Path) -> Result<Self, BackupError> {
        if !is_one(dir) {
            return Err(none(dir));
        }
        let dir = dir.canonicalize().map_err(BackupError::file(dir))?;
        Ok(Self { dir, _lock: None })
    }

    fn locked(
        dir: &Path,
        path: &Path,
        lock: File,
        take: impl FnOnce(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, BackupError> {
        match take(&lock) {
            // Others that only read leave room for one that reads.
            Err(TryLockError::WouldBlock) if lock.try_lock_shared().is_ok() => {
                return Err(BackupError::BeingRead(dir.to_owned()));
            }
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(BackupError::file(path)(error)),
            Ok(()) => {}
        }
        let dir = dir.canonicalize().map_err(BackupError::file(dir))?;
        Ok(Self { dir, _lock: Some(lock) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The number of every backup, ascending.
    pub(super) fn numbers(&self) -> Result<Vec<u64>, BackupError> {
        Ok(self.names()?.into_iter().map(|(number, _)| number).collect())
    }

    /// The number of the next backup.
    pub(super) fn next_number(&self) -> Result<u64, BackupError> {
        Ok(self.names()?.last().map_or(0, |(number, _)| *number) + 1)
    }

    /// Every backup that can be read, the oldest first.
    pub(super) fn manifests(&self) -> Result<Vec<Manifest>, BackupError> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|(_, name)| self.load(name).ok()).collect())
    }

    /// The backup of this number, else the newest.
    pub(super) fn find(&self, wanted: Option<u64>) -> Result<Manifest, BackupError> {
        let names = self.names()?;
        let found = match wanted {
            Some(wanted) => names.iter().find(|(number, _)| *number == wanted),
            None => names.last(),
        };
        match found {
            Some((_, name)) => self.load(name),
            None => {
                let there: Vec<_> = names.iter().map(|(number, _)| number.to_string()).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                Err(BackupError::Missing { folder: self.dir.clone(), wanted, there })
            }
        }
    }

    /// Takes a file of a store in, and says how many bytes had to be copied: none of a table that `known`, the backup
    /// before, has.
    pub(super) fn take(
        &self,
        path: &Path,
        known: Option<&Manifest>,
        stop: &AtomicBool,
    ) -> Result<(StoredFile, u64), BackupError> {
        let about = || BackupError::file(path);
        let metadata = fs::metadata(path).map_err(about())?;
        let modified = metadata.modified().map_err(about())?;
        let modified_ns = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let modified_ns = u64::try_from(modified_ns).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_same = |file: &&StoredFile| {
            let same = (&*file.name, file.bytes, file.modified_ns);
            same == (&*name, metadata.len(), modified_ns) && self.has(file)
        };
        if is_table(path)
            && let Some(file) = known.and_then(|known| known.files.iter().find(is_same))
        {
            return Ok((file.clone(), 0));
        }
        let files = self.dir.join("files");
        let mut from = File::open(path).map_err(about())?;
        let mut part = temporary(&files)?;
        let (bytes, sha256) = copy((&mut from, path), (part.as_file_mut(), &files), stop)?;
        let file = StoredFile { name, bytes, sha256, modified_ns };
        if self.has(&file) && is_whole(&self.path(&file), &file.sha256, stop)? {
            return Ok((file, 0));
        }
        part.as_file().sync_all().map_err(BackupError::file(&files))?;
        folder::rename(part, &self.path(&file)).map_err(BackupError::file(&files))?;
        Ok((file, bytes))
    }

    /// Makes a backup of files that were taken.
    pub(super) fn keep(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let files = self.dir.join("files");
        folder::sync(&files).map_err(BackupError::file(&files))?;
        let backups = self.dir.join("backups");
        let failed = || BackupError::file(&backups);
        let encoded = manifest.encode().map_err(std::io::Error::other);
        let (name, bytes) = encoded.map_err(failed())?;
        folder::replace(&backups.join(name), &bytes).map_err(failed())
    }

    fn has(&self, file: &StoredFile) -> bool {
        fs::metadata(self.path(file)).is_ok_and(|found| found.len() == file.bytes)
    }

    fn path(&self, file: &StoredFile) -> PathBuf {
        self.dir.join("files").join(&file.sha256)
    }

    fn load(&self, name: &str) -> Result<Manifest, BackupError> {
        let path = self.dir.join("backups").join(name);
        let bytes = fs::read(&path).map_err(BackupError::file(&path))?;
        Manifest::decode(name, &bytes).map_err(|what| {
            let remedy = "That backup is lost; bring back another one (--backup N)".to_owned();
            BackupError::Damaged { path, what, remedy }
        })
    }

    /// Numbers and names of the manifests, ascending.
    fn names(&self) -> Result<Vec<(u64, String)>, BackupError> {
        let mut names: Vec<_> = entries(&self.dir.join("backups"))?
            .into_iter()
            .filter_map(|path| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some((parse_name(&name)?.0, name))
            })
            .collect();
        names.sort();
        Ok(names)
    }
}

fn none(dir: &Path) -> BackupError {
    BackupError::Missing { folder: dir.to_owned(), wanted: None, there: "none".to_owned() }
}

/// A folder of backups has nothing else in it: one of other files is not taken, nor closed to who needs them.
fn is_own(dir: &Path) -> Result<(), BackupError> {
    // What a first backup makes before its lock is there, and what a disk has of its own.
    const NO_STRANGERS: [&str; 3] = ["files", "backups", "lost+found"];
    if is_one(dir) {
        return Ok(());
    }
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_a_backups_folder = path.join(LOCK).exists();
        if is_a_backups_folder || !NO_STRANGERS.contains(&&*name) {
            let (folder, name) = (dir.to_owned(), name.into_owned());
            return Err(BackupError::Foreign { folder, name });
        }
    }
    Ok(())
}

/// Whether backups were ever put into this folder.
pub(super) fn is_one(dir: &Path) -> bool {
    dir.join(LOCK).exists()
}

fn temporary(folder: &Path) -> Result<NamedTempFile, BackupError> {
    let file = tempfile::Builder::new().prefix(CUT_OFF).tempfile_in(folder);
    file.map_err(BackupError::file(folder))
}

/// Whether it is a table of the store, which never changes. Every other file is small, or grows under its name.
fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sst")
}

/// Everything that stands in a folder.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(BackupError::file(folder))? {
        paths.push(entry.map_err(BackupError::file(folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Copies a file to its end; its length and SHA-256.
fn copy(
    (from, from_path): (&mut File, &Path),
    (to, to_path): (&mut dyn Write, &Path),
    stop: &AtomicBool,
) -> Result<(u64, String), BackupError> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(BackupError::Stopped);
        }
        let read = from.read(&mut chunk).map_err(BackupError::file(from_path))?;
        if read == 0 {
            return Ok((bytes, hex::encode(hash.finalize())));
        }
        hash.update(&chunk[..read]);
        to.write_all(&chunk[..read]).map_err(BackupError::file(to_path))?;
        bytes += read as u64;
    }
}
