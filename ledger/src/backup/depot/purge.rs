//! What goes from a folder of backups: the oldest ones, and files that no backup needs.

use std::collections::HashSet;
use std::fs;

use super::{BackupError, CUT_OFF, DIGEST_LETTERS, Depot, entries, folder};

impl Depot {
    /// Removes all backups but the newest `keep`, and every file that no backup needs; the numbers of those that are
    /// gone. A crash leaves files too many, and never a backup without its files.
    pub(in crate::backup) fn purge(&self, keep: u32) -> Result<Vec<u64>, BackupError> {
        let backups = self.dir.join("backups");
        let names = self.names()?;
        let old = names.len().saturating_sub(keep as usize);
        let (old, kept) = names.split_at(old);
        for (_, name) in old {
            let path = backups.join(name);
            fs::remove_file(&path).map_err(BackupError::file(&path))?;
        }
        folder::sync(&backups).map_err(BackupError::file(&backups))?;
        self.remove_unneeded(kept)?;
        Ok(old.iter().map(|(number, _)| *number).collect())
    }

    fn remove_unneeded(&self, kept: &[(u64, String)]) -> Result<(), BackupError> {
        let mut needed = HashSet::new();
        for (_, name) in kept {
            match self.load(name) {
                Ok(manifest) => needed.extend(manifest.files.into_iter().map(|file| file.sha256)),
                Err(error) => {
                    // What it needs is not known.
                    tracing::warn!(%error, "no file of the backups' folder is removed");
                    return Ok(());
                }
            }
        }
        let is_cut = |name: &str| name.starts_with(CUT_OFF);
        let is_file = |name: &str| name.len() == DIGEST_LETTERS && !needed.contains(name);
        for (part, holds_files) in [("files", true), ("backups", false)] {
            for path in entries(&self.dir.join(part))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if is_cut(&name) || holds_files && is_file(&name) {
                    fs::remove_file(&path).map_err(BackupError::file(&path))?;
                }
            }
        }
        Ok(())
    }
}
