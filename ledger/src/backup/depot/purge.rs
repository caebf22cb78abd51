//! What goes from a folder of backups: the oldest ones, and files that no backup needs.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use super::rot::DAMAGED;
use super::{BackupError, CUT_OFF, DIGEST_LETTERS, Depot, entries, folder};

/// Backups, by the number and name of their manifests.
type Named = Vec<(u64, String)>;

impl Depot {
    /// Removes all backups but the newest `keep`, and those that verdicts keep, and every file that no backup needs; the numbers
    /// of those that are gone. A crash leaves files too many, and never a backup without its files.
    ///
    /// None: a manifest that is kept cannot be read, and so nobody knows what it needs. Then nothing goes, until that one is
    /// among those that do: what is said to be gone is gone with all its bytes.
    pub(in crate::backup) fn purge(&self, keep: u32) -> Result<Option<Vec<u64>>, BackupError> {
        let backups = self.dir.join("backups");
        let (old, kept) = self.split(keep)?;
        let needed = match self.needed(&kept) {
            Ok(needed) => needed,
            Err(error) => {
                tracing::warn!(%error, "nothing of the backups' folder is removed");
                return Ok(None);
            }
        };
        for (_, name) in &old {
            let path = backups.join(name);
            fs::remove_file(&path).map_err(BackupError::file(&path))?;
        }
        folder::sync(&backups).map_err(BackupError::file(&backups))?;
        self.remove_unneeded(&needed)?;
        Ok(Some(old.into_iter().map(|(number, _)| number).collect()))
    }

    /// Whether there may be bytes of a backup that has no manifest: one that was cut off, or is gone but for some files.
    pub(in crate::backup) fn may_hold_strays(&self) -> Result<bool, BackupError> {
        match self.needed(&self.names()?) {
            Ok(needed) => Ok(!self.unneeded(&needed)?.is_empty()),
            // What that one needs, and what nobody does, cannot be told apart.
            Err(_) => Ok(true),
        }
    }

    /// Those that go, and those that stay, by number and name.
    fn split(&self, keep: u32) -> Result<(Named, Named), BackupError> {
        let names = self.names()?;
        let too_many = names.len().saturating_sub(keep as usize);
        let verdicts = self.verdicts();
        if let Err(error) = &verdicts {
            tracing::warn!(%error, "no older backup is removed until one is read back");
        }
        let lets_go = |number| verdicts.as_ref().is_ok_and(|verdicts| verdicts.lets_go(number));
        let (mut old, mut kept) = (Vec::new(), Vec::new());
        for (at, (number, name)) in names.into_iter().enumerate() {
            let part = if at < too_many && lets_go(number) { &mut old } else { &mut kept };
            part.push((number, name));
        }
        Ok((old, kept))
    }

    /// The files that these backups need.
    fn needed(&self, kept: &[(u64, String)]) -> Result<HashSet<String>, BackupError> {
        let mut needed = HashSet::new();
        for (_, name) in kept {
            needed.extend(self.load(name)?.files.into_iter().map(|file| file.sha256));
        }
        Ok(needed)
    }

    fn remove_unneeded(&self, needed: &HashSet<String>) -> Result<(), BackupError> {
        for path in self.unneeded(needed)? {
            fs::remove_file(&path).map_err(BackupError::file(&path))?;
        }
        // Before anybody says that they are gone.
        for part in ["files", "backups"] {
            let part = self.dir.join(part);
            folder::sync(&part).map_err(BackupError::file(&part))?;
        }
        Ok(())
    }

    /// What stands there beside these files and the manifests: bytes of no backup, as far as these are all that are needed.
    fn unneeded(&self, needed: &HashSet<String>) -> Result<Vec<PathBuf>, BackupError> {
        let is_cut = |name: &str| name.starts_with(CUT_OFF);
        // What was put aside holds what the file of its digest held, and goes with it.
        let is_unneeded = |name: &str| {
            let digest = name.strip_suffix(DAMAGED).unwrap_or(name);
            digest.len() == DIGEST_LETTERS && !needed.contains(digest)
        };
        let mut unneeded = Vec::new();
        for (part, holds_files) in [("files", true), ("backups", false)] {
            for path in entries(&self.dir.join(part))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if is_cut(&name) || holds_files && is_unneeded(&name) {
                    unneeded.push(path);
                }
            }
        }
        Ok(unneeded)
    }
}
