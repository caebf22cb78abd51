//! What goes from a folder of backups: the oldest ones, and files that no backup needs.

use std::collections::HashSet;
use std::fs;

use super::rot::DAMAGED;
use super::{BackupError, CUT_OFF, DIGEST_LETTERS, Depot, entries, folder};

impl Depot {
    /// Removes all backups but the newest `keep`, and every file that no backup needs; the numbers of those that are
    /// gone. A crash leaves files too many, and never a backup without its files.
    ///
    /// None: a manifest that is kept cannot be read, and so nobody knows what it needs. Then nothing goes, until that one is
    /// among those that do: what is said to be gone is gone with all its bytes.
    pub(in crate::backup) fn purge(&self, keep: u32) -> Result<Option<Vec<u64>>, BackupError> {
        let backups = self.dir.join("backups");
        let names = self.names()?;
        let old = names.len().saturating_sub(keep as usize);
        let (old, kept) = names.split_at(old);
        let Some(needed) = self.needed(kept) else { return Ok(None) };
        for (_, name) in old {
            let path = backups.join(name);
            fs::remove_file(&path).map_err(BackupError::file(&path))?;
        }
        folder::sync(&backups).map_err(BackupError::file(&backups))?;
        self.remove_unneeded(&needed)?;
        Ok(Some(old.iter().map(|(number, _)| *number).collect()))
    }

    /// The files that these backups need.
    fn needed(&self, kept: &[(u64, String)]) -> Option<HashSet<String>> {
        let mut needed = HashSet::new();
        for (_, name) in kept {
            match self.load(name) {
                Ok(manifest) => needed.extend(manifest.files.into_iter().map(|file| file.sha256)),
                Err(error) => {
                    tracing::warn!(%error, "nothing of the backups' folder is removed");
                    return None;
                }
            }
        }
        Some(needed)
    }

    fn remove_unneeded(&self, needed: &HashSet<String>) -> Result<(), BackupError> {
        let is_cut = |name: &str| name.starts_with(CUT_OFF);
        // What was put aside holds what the file of its digest held, and goes with it.
        let is_unneeded = |name: &str| {
            let digest = name.strip_suffix(DAMAGED).unwrap_or(name);
            digest.len() == DIGEST_LETTERS && !needed.contains(digest)
        };
        for (part, holds_files) in [("files", true), ("backups", false)] {
            let part = self.dir.join(part);
            for path in entries(&part)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if is_cut(&name) || holds_files && is_unneeded(&name) {
                    fs::remove_file(&path).map_err(BackupError::file(&path))?;
                }
            }
            // Before anybody says that they are gone.
            folder::sync(&part).map_err(BackupError::file(&part))?;
        }
        Ok(())
    }
}
