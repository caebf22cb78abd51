//! Bringing a backup back into an empty folder: every byte compared, everything checked, before it may be used.

use std::fs;
use std::path::{Path, PathBuf};

use proto::names::is_leaf_name;
use proto::v1::LogContinued;
use tlog::{Checkpoint, CheckpointError, Note, VerifyingKey, open_checkpoint};

use super::depot::{Depot, entries};
use super::known::known;
use super::list;
use super::manifest::Manifest;
use super::{BackupError, restored};
use crate::folder;
use crate::fsck::{FsckReport, fsck};
use crate::known_keys;
use crate::publish::default_file;
use crate::store::RocksStore;
use crate::tree::root_of_first;

/// Folder of the old log within that of the log which continues it.
const PREVIOUS: &str = "previous";

/// What is brought back, and whereto.
#[derive(Debug)]
pub struct Restore<'a> {
    /// Folder of the backups.
    pub from: &'a Path,
    /// Data folder to be; empty, or not there.
    pub to: &'a Path,
    /// Which backup; the newest without it.
    pub backup: Option<u64>,
    /// Key of the log, from a source other than the backup.
    pub log: &'a VerifyingKey,
    /// Keys of recorders, with which seals are verified.
    pub recorders: &'a [VerifyingKey],
    /// Key of a new log that begins in the folder and continues the old one, which is put below it.
    pub new_log: Option<&'a VerifyingKey>,
    /// The newest checkpoint of the log that anybody has kept (the signed note): for a new log to name, and to say how many
    /// entries the copy lacks. It must be consistent with the backup. Without it that of the backup.
    pub newest: Option<&'a str>,
}

/// A backup that was brought back.
#[derive(Debug)]
pub struct Restored {
    /// Its number.
    pub backup: u64,
    /// Where its store and its checkpoint stand now.
    pub data_dir: PathBuf,
    /// The checkpoint that was published when it was made.
    pub checkpoint: Checkpoint,
    /// The checkpoint as a note, with the cosignatures that it had.
    pub note: String,
    /// Bytes of the store.
    pub bytes: u64,
    /// Size of the newest checkpoint that was given, else of the backup's. What is between the entries of the copy and this
    /// is lost.
    pub newest_size: u64,
    /// Number of the newest backup of the folder, and the size of its checkpoint, when that is newer.
    pub newer: Option<(u64, u64)>,
    /// What the check of the copy found. Unless it is good, nothing starts on the folder; one of which only disclosures are
    /// damaged can be looked at (`--read-only`).
    pub report: FsckReport,
}

/// Brings a backup back. `progress` is told the number of entries checked, and of all.
///
/// # Errors
/// [`BackupError`]; what was put into the folder until then stays, and no ledger starts on it.
pub fn restore(
    ask: &Restore<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, BackupError> {
    let depot = Depot::read(ask.from)?;
    let manifest = depot.find(ask.backup)?;
    let checkpoint = open(&manifest.checkpoint, ask.log, depot.dir())?;
    let newest = ask.newest.unwrap_or(&manifest.checkpoint);
    let given = Path::new("that was given as the newest");
    let newest_checkpoint = open(newest, ask.log, given)?;
    if newest_checkpoint.size < checkpoint.size {
        let (newest, size) = (newest_checkpoint.size.0, checkpoint.size.0);
        return Err(BackupError::NewestIsOlder { newest, backup: manifest.backup, size });
    }
    let newest_for_leaf = for_leaf(newest)
        .map_err(|source| BackupError::Checkpoint { path: given.to_owned(), source })?;
    if let Some(new_log) = ask.new_log
        && new_log.name() == checkpoint.origin
    {
        return Err(BackupError::SameOrigin(checkpoint.origin));
    }
    let to = claim(ask.to)?;
    let data_dir = match ask.new_log {
        Some(_) => claim(&to.join(PREVIOUS))?,
        None => to.clone(),
    };
    bring_back(&depot, &manifest, &data_dir)?;
    let report = fsck(&data_dir, None, ask.log, ask.recorders, progress)?;
    // The log is whole, whatever became of its disclosures: what contradicts it is told of either.
    if report.is_readable() {
        agree(&data_dir, report.entries, &newest_checkpoint)?;
    }
    if report.is_good() {
        let failed = || BackupError::file(&data_dir);
        restored::finish(&data_dir).map_err(failed())?;
        if ask.new_log.is_some() {
            let (checkpoint, restored_size) = (newest_for_leaf, report.entries);
            let continued = LogContinued { checkpoint, restored_size };
            restored::write_continued(&to, &continued).map_err(failed())?;
            // Nothing of the new log is there that could be older than what was published of it.
            restored::forget_restored(&to).map_err(failed())?;
        }
    }
    if !report.is_good() && report.is_readable() {
        restored::finish_readable(&data_dir).map_err(BackupError::file(&data_dir))?;
    }
    let (backup, bytes) = (manifest.backup, manifest.bytes());
    let last = depot.manifests()?.pop().filter(|last| last.backup > backup);
    let newer = last.map(|last| {
        let size = super::unverified(&last.checkpoint).map_or(0, |newer| newer.size.0);
        (last.backup, size)
    });
    let (note, newest_size) = (manifest.checkpoint, newest_checkpoint.size.0);
    Ok(Restored { backup, data_dir, checkpoint, note, bytes, newest_size, newer, report })
}

/// As far as the copy reaches, the newest checkpoint must be of the same entries.
fn agree(data_dir: &Path, entries: u64, newest: &Checkpoint) -> Result<(), BackupError> {
    if newest.size.0 > entries {
        return Ok(());
    }
    let store = RocksStore::open_read_only(&data_dir.join("store"))?;
    let found = root_of_first(&store, newest.size)?;
    if found == newest.root {
        return Ok(());
    }
    let (found, says) = (found.to_string(), newest.root.to_string());
    Err(BackupError::NewestContradicts { size: newest.size.0, found, says })
}

/// What a copy says of itself that came back and was not started yet: the checkpoint that was published when its backup was
/// made. None of a folder that was not brought back.
///
/// # Errors
/// When the folder or its checkpoint cannot be read.
pub fn restored_checkpoint(data_dir: &Path) -> Result<Option<Checkpoint>, BackupError> {
    let state = restored::folder_state(data_dir).map_err(BackupError::file(data_dir))?;
    if state != restored::FolderState::Restored {
        return Ok(None);
    }
    let file = default_file(data_dir);
    let note = fs::read_to_string(&file).map_err(BackupError::file(&file))?;
    let checkpoint = super::unverified(&note);
    checkpoint.map(Some).map_err(|source| BackupError::Checkpoint { path: file, source })
}

fn open(note: &str, log: &VerifyingKey, from: &Path) -> Result<Checkpoint, BackupError> {
    open_checkpoint(note, log)
        .map_err(|source| BackupError::Checkpoint { path: from.to_owned(), source })
}

/// The note with those signatures alone whose names may stand in a leaf; the log's is one.
fn for_leaf(note: &str) -> Result<String, CheckpointError> {
    let old = Note::parse(note)?;
    let mut kept = Note::new(old.text())?;
    for line in old.signatures().iter().filter(|line| is_leaf_name(&line.name)) {
        kept.add_signature(line.clone())?;
    }
    Ok(kept.to_string())
}

/// Takes an empty folder for a restore.
fn claim(dir: &Path) -> Result<PathBuf, BackupError> {
    if dir.exists() && !entries(dir)?.is_empty() {
        return Err(BackupError::NotEmpty(dir.to_owned()));
    }
    folder::create(dir).map_err(BackupError::file(dir))?;
    folder::keep_private(dir).map_err(BackupError::file(dir))?;
    restored::begin(dir).map_err(BackupError::file(dir))?;
    Ok(dir.to_owned())
}

fn bring_back(depot: &Depot, manifest: &Manifest, data_dir: &Path) -> Result<(), BackupError> {
    let store = data_dir.join("store");
    fs::create_dir(&store).map_err(BackupError::file(&store))?;
    for file in &manifest.files {
        depot.give(file, &store.join(&file.name))?;
    }
    folder::sync(&store).map_err(BackupError::file(&store))?;
    list::write(data_dir, &known(depot, manifest)?).map_err(BackupError::file(data_dir))?;
    if !manifest.keys.is_empty() {
        folder::replace(&data_dir.join(known_keys::FILE), manifest.keys.as_bytes())
            .map_err(BackupError::file(data_dir))?;
    }
    let file = default_file(data_dir);
    folder::replace(&file, manifest.checkpoint.as_bytes()).map_err(BackupError::file(&file))
}
