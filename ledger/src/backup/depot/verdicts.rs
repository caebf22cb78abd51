//! What a read-back said of a backup, kept beside the manifests: it outlives a restart, a restore, and the ledger's own disk.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{BackupError, Depot, parse_name};
use crate::folder;

const NAME: &str = "verdicts.json";

/// What a read-back said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every byte is what was written, and the check found nothing.
    Good,
    /// It is not good; or a file of it was found damaged since, and the store has it no more.
    Bad,
}

/// By the name of the manifest, which holds its digest: no backup has the verdict of another one of its number.
#[derive(Debug, Default)]
pub(in crate::backup) struct Verdicts(BTreeMap<String, Verdict>);

impl Verdicts {
    /// The verdict on the backup of this number.
    pub(in crate::backup) fn of(&self, backup: u64) -> Option<Verdict> {
        self.each().find(|(number, _)| *number == backup).map(|(_, verdict)| verdict)
    }

    /// The newest backup that has one.
    pub(in crate::backup) fn newest(&self) -> Option<(u64, Verdict)> {
        self.each().max_by_key(|(number, _)| *number)
    }

    /// Whether a backup may go that is too old. The newest good one never does; and while the newest verdict is bad, none does.
    pub(super) fn lets_go(&self, backup: u64) -> bool {
        let good = self.each().filter(|(_, verdict)| *verdict == Verdict::Good);
        let newest_good = good.map(|(number, _)| number).max();
        newest_good != Some(backup) && !matches!(self.newest(), Some((_, Verdict::Bad)))
    }

    fn each(&self) -> impl Iterator<Item = (u64, Verdict)> {
        self.0.iter().filter_map(|(name, verdict)| Some((parse_name(name)?.0, *verdict)))
    }
}

impl Depot {
    /// What is known of the backups that are there.
    pub(in crate::backup) fn verdicts(&self) -> Result<Verdicts, BackupError> {
        let path = self.verdicts_path();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Verdicts::default());
            }
            read => read.map_err(BackupError::file(&path))?,
        };
        let mut kept: BTreeMap<String, Verdict> = serde_json::from_slice(&bytes)
            .map_err(io::Error::from)
            .map_err(BackupError::file(&path))?;
        let there: HashSet<_> = self.names()?.into_iter().map(|(_, name)| name).collect();
        kept.retain(|name, _| there.contains(name));
        Ok(Verdicts(kept))
    }

    /// Keeps what was found of these backups. A file of verdicts that cannot be read is begun anew: the newest one is what counts.
    pub(in crate::backup) fn judge(
        &self,
        backups: &[u64],
        verdict: Verdict,
    ) -> Result<(), BackupError> {
        let mut kept = self.verdicts().unwrap_or_default();
        let judged = self.names()?.into_iter().filter(|(number, _)| backups.contains(number));
        kept.0.extend(judged.map(|(_, name)| (name, verdict)));
        let path = self.verdicts_path();
        let bytes = serde_json::to_vec_pretty(&kept.0)
            .map_err(io::Error::from)
            .map_err(BackupError::file(&path))?;
        folder::replace(&path, &bytes).map_err(BackupError::file(&path))
    }

    pub(super) fn verdicts_path(&self) -> PathBuf {
        self.dir.join("backups").join(NAME)
    }
}
