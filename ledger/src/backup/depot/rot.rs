//! Bytes of earlier backups that are not any more what was written: disks forget. A later backup shares files with earlier
//! ones, so it looks at some of them again, and takes none for granted that is damaged.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::{BackupError, DIGEST_LETTERS, Depot, Manifest, copy, entries};

/// Of the files that are there a backup reads one in so many again, each time others.
pub(super) const TURNS: u64 = 8;
/// Last letters of a file that is not what was written. It is put aside, and a backup that needs it is lost, unless the store
/// still has it.
pub(super) const DAMAGED: &str = ".damaged";

impl Depot {
    /// Reads the files whose turn it is, and puts aside those that are not what was written, or cannot be read: nothing that
    /// is taken in afterwards is taken for one of them. Their digests.
    pub(in crate::backup) fn look_again(
        &self,
        backup: u64,
        stop: &AtomicBool,
    ) -> Result<Vec<String>, BackupError> {
        let mut damaged = Vec::new();
        for path in entries(&self.dir.join("files"))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if turn(&name) == Some(backup % TURNS) && !is_whole(&path, &name, stop)? {
                let aside = path.with_file_name(format!("{name}{DAMAGED}"));
                fs::rename(&path, &aside).map_err(BackupError::file(&path))?;
                let file = aside.display();
                tracing::error!(%file, "a file of the backups is damaged, and was put aside");
                damaged.push(name);
            }
        }
        Ok(damaged)
    }

    /// Of these digests those of which the folder has the bytes again, and the backups that need one of the others.
    pub(in crate::backup) fn mended(
        &self,
        damaged: &[String],
    ) -> Result<(u64, Vec<u64>), BackupError> {
        let files = self.dir.join("files");
        let (mended, gone): (Vec<_>, Vec<_>) =
            damaged.iter().partition(|name| files.join(name).exists());
        let needs = |manifest: &Manifest| {
            manifest.files.iter().any(|file| gone.iter().any(|name| **name == file.sha256))
        };
        let lost =
            self.manifests()?.iter().filter(|manifest| needs(manifest)).map(|m| m.backup).collect();
        Ok((mended.len() as u64, lost))
    }
}

/// At which backups, of [`TURNS`], a file is read again; none of what is no whole file.
fn turn(name: &str) -> Option<u64> {
    let is_digest = name.len() == DIGEST_LETTERS;
    let first = name.get(..2).filter(|_| is_digest)?;
    u64::from_str_radix(first, 16).ok().map(|first| first % TURNS)
}

/// Whether a file has the SHA-256 that it should. One that cannot be read has not.
pub(super) fn is_whole(path: &Path, sha256: &str, stop: &AtomicBool) -> Result<bool, BackupError> {
    let Ok(mut file) = File::open(path) else { return Ok(false) };
    match copy((&mut file, path), (&mut std::io::sink(), path), stop) {
        Ok((_, found)) => Ok(found == sha256),
        Err(BackupError::File { .. }) => Ok(false),
        Err(stopped) => Err(stopped),
    }
}
