//! Making a backup: when it is asked for, and on time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::kind::Kind;
use proto::v1::EvidenceAccessed;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use tlog::Checkpoint;
use tokio::sync::{Mutex, watch};

use super::depot::{self, Depot, entries};
use super::list::{self, BackupMade, backups_made};
use super::manifest::Manifest;
use super::{Backup, BackupConfig, BackupError, same_log};
use crate::clock::unix_now_ns;
use crate::health::Troubles;
use crate::known_keys;
use crate::own::OwnRecorder;
use crate::publish::Published;
use crate::store::{RocksStore, Store};

/// The folder within the data folder in which a moment of the store is kept while it is copied.
const SNAPSHOT: &str = "snapshot";
/// As `/readyz` names them.
const ON_TIME: &str = "backups on time";
/// How long after a backup on time that failed the next one is tried, at most.
const RETRY: Duration = Duration::from_secs(300);

/// Backups of a ledger that runs.
pub(crate) struct Backups {
    pub(crate) store: Arc<RocksStore>,
    pub(crate) data_dir: PathBuf,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) config: BackupConfig,
    running: Arc<Mutex<()>>,
    stop: Arc<AtomicBool>,
}

impl Backups {
    pub(crate) fn new(
        store: Arc<RocksStore>,
        data_dir: PathBuf,
        published: watch::Receiver<Arc<Published>>,
        config: BackupConfig,
    ) -> Self {
        let (running, stop) = (Arc::default(), Arc::default());
        Self { store, data_dir, published, config, running, stop }
    }

    /// Makes one, of everything that was acknowledged before the call. It goes on when the caller goes away.
    ///
    /// # Errors
    /// [`BackupError`].
    pub(crate) async fn make(&self) -> Result<Backup, BackupError> {
        let folder = self.config.folder.clone();
        let Ok(running) = Arc::clone(&self.running).try_lock_owned() else {
            return Err(BackupError::Busy(folder));
        };
        // Before the store's moment, so that the store holds what the checkpoint covers.
        let published = Arc::clone(&self.published.borrow());
        let (store, stop) = (Arc::clone(&self.store), Arc::clone(&self.stop));
        let (data_dir, keep) = (self.data_dir.clone(), self.config.keep);
        let making = move || {
            let _running = running;
            let published = (published.checkpoint.clone(), &*published.note);
            make(&store, &data_dir, published, &folder, keep, &stop)
        };
        let made = tokio::task::spawn_blocking(making).await;
        let made = made.unwrap_or_else(|aborted| {
            Err(BackupError::file(&self.config.folder)(io::Error::other(aborted)))
        });
        let outcome = if made.is_ok() { "made" } else { "failed" };
        metrics::counter!("exhibit_ledger_backups_total", "outcome" => outcome).increment(1);
        made
    }

    /// Cuts off the one that is being made.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Makes one each time the last one is as old as the configuration says; records each, since it is a copy of all
    /// evidence. Ends when nothing can be recorded any more.
    pub(crate) async fn run(self: Arc<Self>, own: OwnRecorder, warnings: Troubles) {
        let Some(minutes) = self.config.every_minutes else { return };
        let every = Duration::from_secs(u64::from(minutes) * 60);
        let mut due_in = every.saturating_sub(self.age_of_last());
        loop {
            tokio::time::sleep(due_in).await;
            let size = self.published.borrow().checkpoint.size.0;
            if own.record(access(size), Vec::new()).await.is_err() {
                return;
            }
            due_in = match self.make().await {
                Ok(made) => {
                    tracing::info!(
                        backup = made.backup,
                        bytes_copied = made.bytes_copied,
                        "a backup was made"
                    );
                    warnings.is_over(ON_TIME);
                    every
                }
                Err(error) => {
                    tracing::error!(%error, "a backup was not made");
                    let last =
                        self.last_made_at_ns().map_or("there is none yet".to_owned(), |at| {
                            let seconds = unix_now_ns().saturating_sub(at) / 1_000_000_000;
                            format!("the last one is {} minutes old", seconds / 60)
                        });
                    warnings.report(ON_TIME, &format!("{error}; {last}"));
                    every.min(RETRY)
                }
            };
        }
    }

    fn age_of_last(&self) -> Duration {
        let last = self.last_made_at_ns().unwrap_or_default();
        Duration::from_nanos(unix_now_ns().saturating_sub(last))
    }

    fn last_made_at_ns(&self) -> Option<u64> {
        let made = backups_made(&self.data_dir).unwrap_or_default();
        let folder = self.config.folder.canonicalize().unwrap_or_default();
        made.iter().filter(|made| made.folder == folder).map(|made| made.made_at_ns).max()
    }
}

/// That the ledger copied its entries and their disclosures, up to this size at least, by itself.
fn access(size: u64) -> Kind {
    Kind::EvidenceAccessed(EvidenceAccessed {
        door: Door::Backup.into(),
        result: Outcome::Allowed.into(),
        checkpoint_size: size,
        end_index: size,
        ..EvidenceAccessed::default()
    })
}

/// Makes a backup of an open store. The checkpoint was published before the call.
pub(super) fn make(
    store: &RocksStore,
    data_dir: &Path,
    (checkpoint, note): (Checkpoint, &str),
    folder: &Path,
    keep: u32,
    stop: &AtomicBool,
) -> Result<Backup, BackupError> {
    is_mounted(data_dir, folder)?;
    let depot = Depot::open(folder)?;
    same_log::check(&depot, store, &checkpoint)?;
    // Before the store's moment: what it names is in the log then.
    let keys = fs::read_to_string(data_dir.join(known_keys::FILE)).unwrap_or_default();
    let snapshot = Snapshot::take(store, data_dir)?;
    // An erasure whose purge is not done when the moment was taken: the purge waits for the moment to go.
    if store.must_purge()? {
        return Err(BackupError::Purging);
    }
    let known = depot.manifests()?.pop();
    let backup = depot.next_number()?;
    let damaged = depot.look_again(backup, stop)?;
    let (mut files, mut bytes_copied) = (Vec::new(), 0);
    for path in entries(&snapshot.dir)? {
        let (file, copied) = depot.take(&path, known.as_ref(), stop)?;
        files.push(file);
        bytes_copied += copied;
    }
    let manifest = Manifest::new(backup, unix_now_ns(), &checkpoint, note, keys, files);
    let (folder, made_at_ns) = (depot.dir().to_owned(), manifest.made_at_ns);
    let made = BackupMade { folder, backup, made_at_ns, size: checkpoint.size.0 };
    let written_down = || list::add(data_dir, made).map_err(BackupError::file(data_dir));
    depot.keep(&manifest, written_down)?;
    drop(snapshot);
    let purged = depot.purge(keep)?;
    list::cross_out(data_dir, depot.dir(), &purged).map_err(BackupError::file(data_dir))?;
    let (mended, lost) = depot.mended(&damaged)?;
    if !lost.is_empty() {
        let folder = depot.dir().display();
        tracing::error!(%folder, ?lost, "a file of these backups is damaged, and the store has it no more: they are lost");
    }
    Ok(Backup {
        backup,
        folder: depot.dir().to_owned(),
        checkpoint,
        files: manifest.files.len() as u64,
        bytes: manifest.bytes(),
        bytes_copied,
        purged,
        mended,
        lost,
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

/// A moment of the store, in hard links; removed when it is dropped.
struct Snapshot {
    dir: PathBuf,
    data_dir: PathBuf,
}

impl Snapshot {
    fn take(store: &RocksStore, data_dir: &Path) -> Result<Self, BackupError> {
        let data_dir = data_dir.canonicalize().map_err(BackupError::file(data_dir))?;
        remove_leftovers(&data_dir).map_err(BackupError::file(&data_dir))?;
        let snapshot = Self { dir: data_dir.join(SNAPSHOT), data_dir };
        store.snapshot(&snapshot.dir)?;
        Ok(snapshot)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Err(error) = remove_leftovers(&self.data_dir) {
            let dir = self.dir.display();
            tracing::error!(%error, %dir, "the moment of the store that was copied cannot be removed");
        }
    }
}

/// Whether a moment of the store stands in the data folder: other names of files that may be gone from the store.
pub(crate) fn holds_moment(data_dir: &Path) -> bool {
    moments(data_dir).iter().any(|moment| moment.exists())
}

/// Where a moment of the store stands; the second name is the engine's, until it is whole.
fn moments(data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join(SNAPSHOT), data_dir.join(format!("{SNAPSHOT}.tmp"))]
}

/// Removes what a backup that was cut off left in the data folder: links that would keep tables, and what was erased
/// from them, on the disk.
///
/// # Errors
/// The operating system's.
pub(crate) fn remove_leftovers(data_dir: &Path) -> io::Result<()> {
    for moment in moments(data_dir) {
        match fs::remove_dir_all(moment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
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
}
