//! Making a backup: when it is asked for, and on time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::kind::Kind;
use proto::v1::EvidenceAccessed;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use tokio::sync::{Mutex, watch};

use super::depot::{Depot, Verdict};
use super::list::backups_made;
use super::making::{Making, make};
use super::moment::MomentLock;
use super::read_back::{BackupKeys, ReadBack};
use super::{Backup, BackupConfig, BackupError};
use crate::clock::unix_now_ns;
use crate::health::Troubles;
use crate::own::OwnRecorder;
use crate::publish::Published;
use crate::store::RocksStore;

/// As `/readyz` names them.
const ON_TIME: &str = "backups on time";
const NOT_GOOD: &str = "the last backup that was read back is not good";
/// How long after a backup on time that failed the next one is tried, at most.
const RETRY: Duration = Duration::from_secs(300);

/// Backups of a ledger that runs.
pub(crate) struct Backups {
    pub(crate) store: Arc<RocksStore>,
    pub(crate) data_dir: PathBuf,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) config: BackupConfig,
    /// Which keys a backup is checked with that is read back.
    keys: Arc<BackupKeys>,
    pub(crate) moment: MomentLock,
    warnings: Troubles,
    running: Arc<Mutex<()>>,
    stop: Arc<AtomicBool>,
}

/// What [`Backups`] needs.
pub(crate) struct BackupParts {
    pub(crate) store: Arc<RocksStore>,
    pub(crate) data_dir: PathBuf,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) config: BackupConfig,
    pub(crate) keys: BackupKeys,
    /// Erasures have the same.
    pub(crate) moment: MomentLock,
    pub(crate) warnings: Troubles,
}

impl Backups {
    pub(crate) fn new(parts: BackupParts) -> Self {
        let BackupParts { store, data_dir, published, config, keys, moment, warnings } = parts;
        let (keys, running, stop) = (Arc::new(keys), Arc::default(), Arc::default());
        Self { store, data_dir, published, config, keys, moment, warnings, running, stop }
    }

    /// Makes one, of everything that was acknowledged before the call. It goes on when the caller goes away.
    ///
    /// # Errors
    /// [`BackupError`].
    pub(crate) async fn make(&self, read_back: ReadBack) -> Result<Backup, BackupError> {
        let folder = self.config.folder.clone();
        let Ok(running) = Arc::clone(&self.running).try_lock_owned() else {
            return Err(BackupError::Busy(folder));
        };
        // Before the store's moment, so that the store holds what the checkpoint covers.
        let published = Arc::clone(&self.published.borrow());
        let (store, stop) = (Arc::clone(&self.store), Arc::clone(&self.stop));
        let (keys, moment) = (Arc::clone(&self.keys), Arc::clone(&self.moment));
        let (data_dir, keep) = (self.data_dir.clone(), self.config.keep);
        let working = move || {
            let _running = running;
            let making = Making {
                store: &store,
                data_dir: &data_dir,
                checkpoint: published.checkpoint.clone(),
                note: &published.note,
                folder: &folder,
                keep,
                read_back: Some((read_back, &keys)),
                stop: &stop,
            };
            make(&making, || moment.blocking_lock_owned())
        };
        let made = tokio::task::spawn_blocking(working).await;
        let made = made.unwrap_or_else(|aborted| {
            Err(BackupError::file(&self.config.folder)(io::Error::other(aborted)))
        });
        let outcome = if made.is_ok() { "made" } else { "failed" };
        metrics::counter!("exhibit_ledger_backups_total", "outcome" => outcome).increment(1);
        match &made {
            Ok(made) if made.verified => self.warnings.is_over(NOT_GOOD),
            Err(error) if error.is_of_a_backup() => self.warnings.report(NOT_GOOD, error),
            _ => {}
        }
        made
    }

    /// Cuts off the one that is being made.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Makes one each time the last one is as old as the configuration says; records each, since it is a copy of all
    /// evidence. Ends when nothing can be recorded any more.
    pub(crate) async fn run(self: Arc<Self>, own: OwnRecorder) {
        self.tell_verdict().await;
        let Some(minutes) = self.config.every_minutes else { return };
        let every = Duration::from_secs(u64::from(minutes) * 60);
        let mut due_in = every.saturating_sub(self.age_of_last());
        let read_back = ReadBack::OneIn(self.config.verify_every);
        loop {
            tokio::time::sleep(due_in).await;
            let size = self.published.borrow().checkpoint.size.0;
            if own.record(access(size), Vec::new()).await.is_err() {
                return;
            }
            let made = self.make(read_back).await;
            self.tell_on_time(&made);
            due_in = next_in(every, &made);
        }
    }

    fn tell_on_time(&self, made: &Result<Backup, BackupError>) {
        match made {
            Ok(made) => {
                tracing::info!(
                    backup = made.backup,
                    bytes_copied = made.bytes_copied,
                    verified = made.verified,
                    "a backup was made"
                );
                self.warnings.is_over(ON_TIME);
            }
            Err(error) if error.is_of_a_backup() => {
                // Until one is good each is read back, and none goes that is older.
                tracing::error!(%error, "a backup is not good");
                self.warnings.is_over(ON_TIME);
            }
            Err(error) if error.was_made() => self.warnings.report(ON_TIME, error),
            Err(error) => {
                tracing::error!(%error, "a backup was not made");
                let last = self.last_made_at_ns().map_or("there is none yet".to_owned(), |at| {
                    let seconds = unix_now_ns().saturating_sub(at) / 1_000_000_000;
                    format!("the last one is {} minutes old", seconds / 60)
                });
                self.warnings.report(ON_TIME, &format!("{error}; {last}"));
            }
        }
    }

    /// That the last read-back was bad outlives a restart.
    async fn tell_verdict(&self) {
        let folder = self.config.folder.clone();
        let look = move || Depot::look(&folder).and_then(|depot| depot.verdicts());
        let Ok(Ok(verdicts)) = tokio::task::spawn_blocking(look).await else { return };
        if let Some((backup, Verdict::Bad)) = verdicts.newest() {
            let folder = self.config.folder.display();
            let why = format!(
                "backup {backup} in {folder}: no older one goes, and each further one is read back, until one is good. Most \
                 likely the ledger's own store is damaged: stop the ledger and run `exhibit fsck`"
            );
            self.warnings.report(NOT_GOOD, &why);
        }
    }

    fn age_of_last(&self) -> Duration {
        let last = self.last_made_at_ns().unwrap_or_default();
        Duration::from_nanos(unix_now_ns().saturating_sub(last))
    }

    fn last_made_at_ns(&self) -> Option<u64> {
        let made = backups_made(&self.data_dir).unwrap_or_default();
        let folder = self.config.folder.canonicalize().unwrap_or_default();
        let here = made.iter().filter(|made| made.folder == folder && !made.unfinished);
        here.map(|made| made.made_at_ns).max()
    }
}

/// When the next one is due. Only one that was not made at all is tried again before its time: a whole one more would need room
/// and hours, and tell nothing else.
fn next_in(every: Duration, made: &Result<Backup, BackupError>) -> Duration {
    match made {
        Err(error) if !error.was_made() => every.min(RETRY),
        _ => every,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: leave `NotReadBack` out of `was_made`.
    #[test]
    fn only_a_backup_that_was_not_made_is_tried_again_at_once() {
        let every = Duration::from_secs(3_600);
        let (folder, backup) = (PathBuf::from("backups"), 3);
        let findings = "one".to_owned();
        let not_good = BackupError::NotGood { folder: folder.clone(), backup, findings };
        let why = "no space left on device".to_owned();
        let not_read_back = BackupError::NotReadBack { folder: folder.clone(), backup, why };
        for made in [not_good, not_read_back] {
            assert_eq!(next_in(every, &Err(made)), every);
        }
        for not_made in [BackupError::Purging, BackupError::Busy(folder)] {
            assert_eq!(next_in(every, &Err(not_made)), RETRY);
        }
    }
}
