//! Making one backup: written down, copied, named, read back if that is wanted; then what is too old goes.
//!
//! What a crash leaves, behind each step: a line in the list of a backup that is not there (one too many, never one too few);
//! that and files which nothing names; a backup, with its line. Files that nothing names are removed by the next backup into
//! the folder, before it copies any; it takes the same number, and so the same line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tlog::Checkpoint;

use super::depot::{self, Depot, Verdict, entries};
use super::list::{self, BackupMade, backups_made};
use super::manifest::Manifest;
use super::moment::Snapshot;
use super::read_back::{BackupKeys, ReadBack};
use super::{Backup, BackupError, same_log};
use crate::clock::unix_now_ns;
use crate::folder;
use crate::known_keys;
use crate::store::{RocksStore, Store};

/// What a backup is made of, and whereto.
pub(super) struct Making<'a> {
    pub(super) store: &'a RocksStore,
    pub(super) data_dir: &'a Path,
    /// Published before the moment of the store, so that this holds what it covers; and its note.
    pub(super) checkpoint: Checkpoint,
    pub(super) note: &'a str,
    pub(super) folder: &'a Path,
    /// How many backups stay in the folder.
    pub(super) keep: u32,
    /// When it is read back, and with which keys it is checked.
    pub(super) read_back: Option<(ReadBack, &'a BackupKeys)>,
    pub(super) stop: &'a AtomicBool,
}

/// Makes a backup of an open store. Nobody erases while what `alone` gives is held.
pub(super) fn make<G>(
    making: &Making<'_>,
    alone: impl FnOnce() -> G,
) -> Result<Backup, BackupError> {
    let Making { store, data_dir, checkpoint, folder, .. } = making;
    is_apart(folder, data_dir)?;
    is_mounted(data_dir, folder)?;
    let depot = Depot::open(folder)?;
    same_log::check(&depot, *store, checkpoint)?;
    // Before the store's moment: what it names is in the log then.
    let keys = fs::read_to_string(data_dir.join(known_keys::FILE)).unwrap_or_default();
    let known = depot.manifests()?.pop();
    let backup = depot.next_number()?;
    let unfinished = BackupMade {
        folder: depot.dir().to_owned(),
        backup,
        made_at_ns: unix_now_ns(),
        size: checkpoint.size.0,
        unfinished: true,
    };
    let snapshot = {
        let _alone = alone();
        let snapshot = Snapshot::take(store, data_dir)?;
        // An erasure whose purge is not done when the moment was taken: the purge waits for the moment to go.
        if store.must_purge()? {
            return Err(BackupError::Purging);
        }
        list::add(data_dir, unfinished.clone()).map_err(BackupError::file(data_dir))?;
        snapshot
    };
    // What was cut off before, while the line says that something may be unfinished, and before its room is needed.
    let copied = depot
        .purge(u32::MAX)
        .and_then(|_| copy(making, &depot, &snapshot, (unfinished, keys), known.as_ref()));
    drop(snapshot);
    let copied = match copied {
        Ok(copied) => copied,
        Err(error) => {
            give_up(data_dir, &depot, backup);
            return Err(error);
        }
    };
    list::add(data_dir, copied.made.clone()).map_err(BackupError::file(data_dir))?;
    finish(making, &depot, copied)
}

/// Files of a moment, and what was found damaged of earlier ones.
struct Copied {
    made: BackupMade,
    manifest: Manifest,
    bytes_copied: u64,
    damaged: Vec<String>,
}

/// Up to the backup's name: from then on it is there.
fn copy(
    making: &Making<'_>,
    depot: &Depot,
    snapshot: &Snapshot,
    (unfinished, keys): (BackupMade, String),
    known: Option<&Manifest>,
) -> Result<Copied, BackupError> {
    let damaged = depot.look_again(unfinished.backup, making.stop)?;
    let (mut files, mut bytes_copied) = (Vec::new(), 0);
    for path in entries(&snapshot.dir)? {
        let (file, copied) = depot.take(&path, known, making.stop)?;
        files.push(file);
        bytes_copied += copied;
    }
    let made = BackupMade { made_at_ns: unix_now_ns(), unfinished: false, ..unfinished };
    // The list is lost with the data folder, and what is erased after a restore is in these, too.
    let backups = list::text_with(making.data_dir, made.clone())
        .map_err(BackupError::file(making.data_dir))?;
    let (checkpoint, note) = (&making.checkpoint, making.note);
    let manifest = Manifest::new(made.backup, made.made_at_ns, checkpoint, note, keys, files)
        .with_backups(backups);
    depot.keep(&manifest)?;
    Ok(Copied { made, manifest, bytes_copied, damaged })
}

/// What was copied of a backup that is none goes again, and then its line.
fn give_up(data_dir: &Path, depot: &Depot, backup: u64) {
    let is_one = depot.numbers().map(|numbers| numbers.contains(&backup));
    // Its name may be there although that could not be made durable.
    if !matches!(is_one, Ok(false)) {
        return;
    }
    match depot.purge(u32::MAX) {
        Ok(Some(_)) => {
            if let Err(error) = list::cross_out(data_dir, depot.dir(), |number| number == backup) {
                tracing::error!(%error, backup, "a backup that was not made stays in the list");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, backup, "files of a backup that was not made stay"),
    }
}

/// Reads it back, if that is wanted; only then what is too old goes, as far as verdicts let it.
fn finish(making: &Making<'_>, depot: &Depot, copied: Copied) -> Result<Backup, BackupError> {
    let Copied { manifest, bytes_copied, damaged, .. } = copied;
    let (mended, mut lost) = depot.mended(&damaged)?;
    if !lost.is_empty() {
        let folder = depot.dir().display();
        tracing::error!(%folder, ?lost, "a file of these backups is damaged, and the store has it no more: they are lost");
        if let Err(error) = depot.judge(&lost, Verdict::Bad) {
            tracing::error!(%error, "that backups are lost cannot be written down beside them");
        }
    }
    let verified = match read_back(making, depot, &manifest) {
        Err(error) if error.is_of_a_backup() => return Err(error),
        // One that could not be read back is one of which nobody knows, as are those of which nobody asked.
        said => said,
    };
    let purged = depot.purge(making.keep)?;
    if purged.is_some() {
        // Also those whose files an earlier purge removed before it was killed.
        let there = depot.numbers()?;
        list::cross_out(making.data_dir, depot.dir(), |number| !there.contains(&number))
            .map_err(BackupError::file(making.data_dir))?;
    }
    let (verified, purged) = (verified?, purged.unwrap_or_default());
    lost.retain(|lost| !purged.contains(lost));
    let not_good = match depot.verdicts().unwrap_or_default().newest() {
        Some((backup, Verdict::Bad)) => Some(backup),
        _ => None,
    };
    Ok(Backup {
        backup: manifest.backup,
        folder: depot.dir().to_owned(),
        checkpoint: making.checkpoint.clone(),
        files: manifest.files.len() as u64,
        bytes: manifest.bytes(),
        bytes_copied,
        purged,
        mended,
        lost,
        verified,
        not_good,
    })
}

/// Reads it back, if that is due, and keeps what that says; whether it was.
fn read_back(making: &Making<'_>, depot: &Depot, manifest: &Manifest) -> Result<bool, BackupError> {
    let newest = depot.verdicts().map(|verdicts| verdicts.newest());
    let last = newest.as_ref().ok().and_then(|newest| newest.map(|(backup, _)| backup));
    // A store that has shown damage, or of which the last copy was bad, is copied as it is; and what is not known may be that.
    let is_suspect =
        making.store.has_shown_damage() || !matches!(newest, Ok(None | Some((_, Verdict::Good))));
    let is_due = |when: ReadBack| is_suspect || when.is_due(manifest.backup, last);
    let Some((_, keys)) = making.read_back.filter(|(when, _)| is_due(*when)) else {
        return Ok(false);
    };
    let said = depot.read_back(manifest, keys, making.stop);
    let verdict = match &said {
        Ok(()) => Verdict::Good,
        Err(error) if error.is_of_a_backup() => Verdict::Bad,
        Err(other) => return Err(not_read_back(depot, manifest, other)),
    };
    let kept = depot.judge(&[manifest.backup], verdict);
    if let (Err(error), Verdict::Bad) = (&kept, verdict) {
        tracing::error!(%error, "that a backup is not good cannot be written down beside it");
    }
    said?;
    kept.map(|()| true).map_err(|unkept| not_read_back(depot, manifest, &unkept))
}

/// There is a backup, and no verdict on it.
fn not_read_back(depot: &Depot, manifest: &Manifest, why: &BackupError) -> BackupError {
    let why = match why {
        BackupError::Stopped => "the ledger stops".to_owned(),
        other => other.to_string(),
    };
    let (folder, backup) = (depot.dir().to_owned(), manifest.backup);
    BackupError::NotReadBack { folder, backup, why }
}

/// A backup in the data folder would be lost with it.
fn is_apart(folder: &Path, data_dir: &Path) -> Result<(), BackupError> {
    if !lies_within(folder, data_dir) {
        return Ok(());
    }
    let (folder, data_dir) = (folder.to_owned(), data_dir.to_owned());
    Err(BackupError::Within { folder, data_dir })
}

/// Whether a folder is another one, or lies in it, by whichever names they go.
pub(super) fn lies_within(folder: &Path, other: &Path) -> bool {
    real(folder).starts_with(real(other))
}

/// A folder by its true name, one that is still to be made included.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| {
        let above = folder::above(path).canonicalize();
        above.map_or_else(
            |_| path.to_owned(),
            |above| above.join(path.file_name().unwrap_or_default()),
        )
    })
}

/// A folder that should hold backups and does not is one whose disk is away: a backup would go to the disk below it.
fn is_mounted(data_dir: &Path, folder: &Path) -> Result<(), BackupError> {
    let made = backups_made(data_dir).map_err(BackupError::file(data_dir))?;
    let canonical = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let known =
        made.iter().filter(|made| made.folder == canonical || made.folder == folder).count();
    if known == 0 || depot::is_one(folder) {
        return Ok(());
    }
    Err(BackupError::Unmounted { folder: folder.to_owned(), known, list: list::path(data_dir) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_should_hold_backups_and_holds_none_is_not_written_to() {
        let scratch = tempfile::tempdir().unwrap();
        let data_dir = scratch.path();
        let folder = data_dir.join("backups-elsewhere");
        is_mounted(data_dir, &folder).unwrap();
        drop(Depot::open(&folder).unwrap());
        let made = BackupMade {
            folder: folder.canonicalize().unwrap(),
            backup: 1,
            made_at_ns: 5,
            size: 7,
            unfinished: false,
        };
        list::add(data_dir, made).unwrap();
        is_mounted(data_dir, &folder).unwrap();
        // An empty mount point, and one that is gone.
        fs::remove_dir_all(&folder).unwrap();
        let missing = is_mounted(data_dir, &folder);
        assert!(matches!(missing, Err(BackupError::Unmounted { known: 1, .. })), "{missing:?}");
        fs::create_dir(&folder).unwrap();
        let empty = is_mounted(data_dir, &folder).unwrap_err();
        assert!(empty.to_string().contains("is its disk mounted?"), "{empty}");
        // Others are none of its business.
        is_mounted(data_dir, &data_dir.join("another")).unwrap();
    }

    /// Break it: compare the paths by their letters in `lies_within`.
    #[test]
    fn a_folder_within_the_data_folder_is_found_by_whichever_name() {
        let scratch = tempfile::tempdir().unwrap();
        let data_dir = scratch.path().join("data");
        for folder in [&data_dir, &scratch.path().join("x")] {
            fs::create_dir(folder).unwrap();
        }
        std::os::unix::fs::symlink(&data_dir, scratch.path().join("link")).unwrap();
        for within in ["data", "data/backups", "x/../data/backups", "link/backups", "link"] {
            let folder = scratch.path().join(within);
            let refused = is_apart(&folder, &data_dir).unwrap_err();
            assert_eq!(refused.code(), "backup_within_data", "{within}");
        }
        for apart in ["data-2", "x", "x/backups", "not/there", ""] {
            let folder = scratch.path().join(apart);
            assert!(is_apart(&folder, &data_dir).is_ok(), "{apart}");
        }
    }
}
