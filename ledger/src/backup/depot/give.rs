//! Files of a backup, put where a store is to be.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::rot::is_whole;
use super::{BackupError, Depot, Manifest, StoredFile, Verdict, copy, is_table};

impl Depot {
    /// Puts a file of a backup at `to`, where nothing is yet, durably but for its name.
    pub(in crate::backup) fn give(&self, file: &StoredFile, to: &Path) -> Result<(), BackupError> {
        self.copy_out(file, to, &AtomicBool::new(false))
    }

    /// The same, for as long as it is looked at: a table is there under a second name, where the disk has such.
    pub(in crate::backup) fn lend(
        &self,
        file: &StoredFile,
        to: &Path,
        stop: &AtomicBool,
    ) -> Result<(), BackupError> {
        let path = self.path(file);
        let is_whole = is_table(Path::new(&file.name)) && is_whole(&path, &file.sha256, stop)?;
        if is_whole && fs::hard_link(&path, to).is_ok() {
            return Ok(());
        }
        self.copy_out(file, to, stop)
    }

    fn copy_out(&self, file: &StoredFile, to: &Path, stop: &AtomicBool) -> Result<(), BackupError> {
        let path = self.path(file);
        let damaged = |what: String| BackupError::Damaged {
            path: path.clone(),
            what: format!("{what} ({} of the store)", file.name),
            remedy: self.those_without(&file.sha256),
        };
        let mut from = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged("it is missing".to_owned()));
            }
            opened => opened.map_err(BackupError::file(&path))?,
        };
        let mut written = File::create_new(to).map_err(BackupError::file(to))?;
        let (bytes, sha256) = copy((&mut from, &path), (&mut written, to), stop)?;
        if bytes != file.bytes {
            return Err(damaged(format!("it has {bytes} bytes, not {}", file.bytes)));
        }
        if sha256 != file.sha256 {
            return Err(damaged("its bytes do not have the SHA-256 that its name says".to_owned()));
        }
        written.sync_all().map_err(BackupError::file(to))
    }

    /// What is left when a file is not what was written: the backups that do not need it, the newest first.
    fn those_without(&self, sha256: &str) -> String {
        let manifests = self.manifests().unwrap_or_default();
        let verdicts = self.verdicts().unwrap_or_default();
        let others = manifests.iter().rev();
        let others = others.filter(|other| other.files.iter().all(|file| file.sha256 != sha256));
        let told = |other: &Manifest| match verdicts.of(other.backup) {
            Some(Verdict::Good) => format!("{} (verified)", other.backup),
            Some(Verdict::Bad) => format!("{} (NOT GOOD)", other.backup),
            None => other.backup.to_string(),
        };
        let others: Vec<_> = others.map(told).collect();
        if others.is_empty() {
            return "Every backup that needs it is lost, and all in this folder do: look for a copy of the folder, or another \
                    folder of backups"
                .to_owned();
        }
        let others = others.join(", ");
        format!("Every backup that needs it is lost; these do not: {others} (--backup N)")
    }
}
