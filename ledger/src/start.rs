//! Starting and stopping: what must be true before the first event is taken.

mod read_only;
mod restored;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tlog::{Hash, Policy, SignError, TreeSize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::restored::Vouching;
use crate::backup::{BackupKeys, BackupParts, Backups, MomentLock, forget_restored};
use crate::clock::{StoppedByClock, unix_now_ns};
use crate::config::{Checked, ConfigError, LedgerConfig};
use crate::door::{Doors, Knocks, RootSigner, Subscriptions};
use crate::erase::caution::{Caution, Started};
use crate::erase::{ErasureParts, Erasures, Masker};
use crate::folder;
use crate::health::{Health, Troubles, own_recorder, publisher, supervised, watch_sequencer};
use crate::hold::Holds;
use crate::known_keys::KnownKeys;
use crate::own::{OwnParts, OwnRecorder};
use crate::publish::{CheckpointFile, Cosignatures, PublishError, Published};
use crate::registry::Registry;
use crate::sequencer::{Fatal, Sequencer, Setup};
use crate::store::moment::remove_leftovers;
use crate::store::{RocksStore, Store, StoreError, TreeHead};
use crate::tree::TreeReader;
use crate::witnessing::{Wanted, WitnessRefusal, Witnesses, ask_first, watch_quorum};

/// How often is looked for windows of unknown callers that have ended.
const COUNTS_INTERVAL: Duration = Duration::from_secs(5);
/// How long a stop waits for the witnesses of the last checkpoint.
const LAST_COSIGNATURES: Duration = Duration::from_secs(3);

/// What a person decides at the start, not in the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The wall clock was set by hand and is right now.
    pub confirm_clock_step: bool,
    /// Start even when the quorum of witnesses does not vouch that the published checkpoint is the newest.
    pub without_quorum: bool,
    /// Start on a copy that was restored, though neither a checkpoint file elsewhere nor witnesses vouch that it is the
    /// newest state of its log.
    pub restored_is_newest: bool,
    /// The day, counted from 1970-01-01, that a person says it is (UTC, give or take one), who has looked at the clock and at
    /// `[ledger.retention]`: retention may erase by both. Another day than the clock's confirms nothing.
    pub retention_confirmed: Option<u64>,
    /// Only show what is there, as of the checkpoint beside it: nothing is recorded, published or changed.
    pub read_only: bool,
}

/// Why the ledger does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be used.
    #[error("data_dir {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The checkpoint file cannot be used.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The store is not the log that was published.
    #[error(
        "the store holds {stored} entries, but checkpoint {checkpoint} was published with {published}: the store \
         is older than what others have seen. Bring back the newest store; an older copy may only be looked at \
         (--read-only), or be continued by a new log (`exhibit restore --as-new-log`)"
    )]
    Behind {
        /// Entries in the store.
        stored: u64,
        /// Size of the published checkpoint.
        published: u64,
        /// Its file.
        checkpoint: PathBuf,
    },
    /// Same size, other content.
    #[error(
        "at {size} entries the store has root {found}, but the published checkpoint {checkpoint} says \
         {published}: the store is not the log that was published"
    )]
    Contradicts {
        /// Size of the published checkpoint.
        size: u64,
        /// Root by the store.
        found: Hash,
        /// Root as published.
        published: Hash,
        /// Its file.
        checkpoint: PathBuf,
    },
    /// A log without its checkpoint.
    #[error(
        "the store holds {stored} entries, but {checkpoint} is missing: without it nobody can tell whether the \
         store is older than what others have seen. Bring the file back; if `checkpoint_file` was changed, move the \
         file there"
    )]
    NoCheckpoint {
        /// Entries in the store.
        stored: u64,
        /// The file.
        checkpoint: PathBuf,
    },
    /// The first checkpoint of a new log could not be signed.
    #[error("a new log begins with a signed checkpoint: {0}")]
    Sign(#[source] SignError),
    /// The sequencer could not start.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The witnesses do not vouch for the published checkpoint, or contradict it.
    #[error(transparent)]
    Witness(#[from] WitnessRefusal),
    /// The folder was not restored whole.
    #[error(
        "the restore into {0} was not finished, or the copy is not good: empty the folder, and restore again"
    )]
    RestoreUnfinished(PathBuf),
    /// A restored copy has damaged disclosures.
    #[error(
        "of the copy in {0} some disclosures are not what was stored (`exhibit fsck` names them): it can be looked at with \
         --read-only. To go on recording, bring back another backup"
    )]
    RestoredDamaged(PathBuf),
    /// Nobody vouches for a restored copy.
    #[error(
        "{0} was restored from a backup, and nobody vouches that it is the newest state of the log. Name the \
         checkpoint_file that was kept elsewhere, or witnesses; or look at the copy with --read-only; or begin a new log \
         that continues it (`exhibit restore --as-new-log`). If you know that nothing was published since the backup, \
         start once with --restored-is-newest SIZE"
    )]
    RestoredUnvouched(PathBuf),
    /// A person calls a restored copy the newest, and there is a newer backup.
    #[error(
        "{path} has {size} entries under its checkpoint, and backup {backup} in the list that came back with it has {newer}: this \
         is not the newest state of the log. Bring back the newest backup; or look at the copy with --read-only; or begin a new \
         log that continues it (`exhibit restore --as-new-log`)"
    )]
    RestoredIsOlder {
        /// The data folder.
        path: PathBuf,
        /// Entries under its checkpoint.
        size: u64,
        /// Number of the backup that is known to be newer.
        backup: u64,
        /// Entries under the checkpoint of that.
        newer: u64,
    },
    /// What the log continues cannot be told.
    #[error(
        "what the log in {path} continues cannot be told: {reason}; restore again with --as-new-log"
    )]
    Continues {
        /// The data folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The ledger could not record its own start.
    #[error("the ledger could not record its own start; see its log")]
    OwnStart,
}

/// A running ledger.
pub struct Ledger {
    pub(crate) doors: Doors,
    /// Whose quorum the last checkpoint should have, if anybody's.
    policy: Option<Arc<Policy>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Ledger {
    /// Recovers the log in `data_dir`, or begins one, and records the start.
    ///
    /// # Errors
    /// [`StartError`] says what is wrong and what to do. Nothing that was recorded or published is changed then;
    /// a new folder may have got its store and its empty checkpoint, and a log that could not record its whole
    /// start ([`StartError::OwnStart`]) the first events of that.
    pub async fn start(config: LedgerConfig, options: Options) -> Result<Self, StartError> {
        Self::start_masking(config, options, Arc::new(str::to_owned)).await
    }

    /// The same, with what masks the text that people write into orders before it is recorded.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_masking(
        config: LedgerConfig,
        options: Options,
        masker: Masker,
    ) -> Result<Self, StartError> {
        if options.read_only {
            return read_only::start(config).await;
        }
        let mut config = config.check()?;
        let vouching = restored::judge(&config, options)?;
        let files = open_folder(&config.data_dir)?;
        let store: Arc<dyn Store> = files.clone();
        let file = CheckpointFile::at(config.checkpoint_file.clone());
        let stored = store.head()?;
        let step = stopped_by_clock(&config.data_dir, options)?;
        let setup = Setup {
            confirm_clock_step: options.confirm_clock_step,
            stopped_by_clock: Some(StoppedByClock::within(&config.data_dir)),
            max_batch_events: None,
        };
        let (sequencer, tree) = Sequencer::start(Arc::clone(&store), setup)?;
        let continues = restored::continues(&config, stored)?;
        let mut published = reconcile(&config, &file, stored, &tree)?;
        if let Some(witnesses) = &mut config.witnesses {
            let wanted = match vouching {
                Vouching::Witnesses => Wanted::Memory,
                Vouching::Itself if options.without_quorum => Wanted::Nothing,
                Vouching::Itself => Wanted::Quorum,
            };
            let cosigned = ask_first(witnesses, &published, &tree, wanted).await?;
            if let Some(with) = published.cosigned(&cosigned) {
                file.replace(Some(&published), &with)?;
                published = with;
            }
        }
        let started = Started {
            is_new: stored.is_none_or(|head| head.size.0 == 0),
            started_ns: unix_now_ns(),
            confirmed_day: options.retention_confirmed,
        };
        let (published_tx, published) = watch::channel(Arc::new(published));

        // An issuer may be slow, and nothing is to be waited for once the start is recorded.
        config.readers.warm().await;
        let log_keys = config.log_keys;
        let in_folder = |source| StartError::Folder { path: config.data_dir.clone(), source };
        let known_keys = KnownKeys::within(&config.data_dir, log_keys.all(), &config.recorders)
            .map_err(in_folder)?;
        let policy = config.witnesses.as_ref().map(|witnesses| Arc::clone(&witnesses.policy));
        let (policy_of, at) = (policy.clone(), published.clone());
        let caution = Caution::at(&started, &config.data_dir, &config.retention, policy_of, at)
            .map_err(in_folder)?;
        let troubles = Troubles::none();
        let backup_keys =
            BackupKeys { log: log_keys.verifying().clone(), recorders: config.recorders.clone() };
        let registry = Arc::new(
            Registry::new(config.recorders, store.chains()?).with(config.duties, config.limits),
        );
        // Read before anything is recorded: a store that cannot be read is refused as it is.
        let (holds, must_purge) = (Holds::load(&*store), store.must_purge()?);
        let own = OwnRecorder::start(OwnParts {
            key: config.recorder_key,
            log_keys: log_keys.clone(),
            key_changes: known_keys.changes(),
            troubles: troubles.clone(),
            registry: Arc::clone(&registry),
            store: Arc::clone(&store),
            sequencer: sequencer.clone(),
            published: published.clone(),
            confirmed_clock_step: options.confirm_clock_step.then_some(step),
            continues,
        })
        .await
        .map_err(|_| StartError::OwnStart)?;
        let forgotten = StoppedByClock::within(&config.data_dir).forget();
        forgotten
            .and_then(|()| forget_restored(&config.data_dir))
            .and_then(|()| known_keys.told())
            .map_err(in_folder)?;

        let running =
            config.witnesses.map(|witnesses| Witnesses::run(witnesses, &published, &tree));
        let (tasks, cosigned) = running.unzip();
        let cosignatures = Cosignatures { policy: policy.clone(), arriving: cosigned };
        let (failure_tx, failure) = watch::channel(None);
        let warnings = Troubles::none();
        let health = Health::new(failure, troubles.clone()).with_warnings(warnings.clone());
        let publisher = publisher(
            file,
            log_keys.clone(),
            &sequencer,
            published_tx,
            cosignatures,
            troubles,
            failure_tx.clone(),
        );
        let mut tasks = tasks.unwrap_or_default();
        tasks.extend([
            watch_sequencer(&sequencer, failure_tx.clone()),
            publisher,
            own_recorder(own.clone(), failure_tx.clone()),
        ]);
        let moment = MomentLock::default();
        let backups = config.backup.map(|backup| {
            Arc::new(Backups::new(BackupParts {
                store: files,
                data_dir: config.data_dir.clone(),
                published: published.clone(),
                config: backup,
                keys: backup_keys,
                moment: Arc::clone(&moment),
                warnings: warnings.clone(),
            }))
        });
        if let Some(backups) = &backups {
            let running = Arc::clone(backups).run(own.clone());
            tasks.push(supervised("part that makes backups", failure_tx.clone(), ending(running)));
        }
        if let Some(policy) = &policy {
            let watching = watch_quorum(published.clone(), Arc::clone(policy), warnings.clone());
            tasks.push(tokio::spawn(watching));
        }
        // There from the start, so that an alarm on it can tell 0 from no ledger.
        metrics::gauge!("exhibit_ledger_purge_pending").set(f64::from(u8::from(must_purge)));
        let erasures = Erasures::new(ErasureParts {
            store: Arc::clone(&store),
            own: own.clone(),
            registry: Arc::clone(&registry),
            retention: config.retention,
            caution,
            data_dir: config.data_dir,
            moment,
            troubles: warnings,
            masker,
            holds,
        });
        let doors = Doors {
            log: log_keys.verifying().clone(),
            registry,
            sequencer,
            own,
            store,
            tree,
            published,
            readers: config.readers,
            subscriptions: Arc::new(Subscriptions::new(config.limits.subscriptions)),
            audience: config.public_url.into(),
            health,
            knocks: Arc::new(Knocks::default()),
            root_signer: Arc::new(RootSigner::new(Arc::clone(log_keys.signer()))),
            backups,
            erasures: Some(Arc::clone(&erasures)),
            read_only: None,
        };
        let erasing = ending(erasures.run());
        tasks.push(supervised("part that erases and retains", failure_tx, erasing));
        tasks.push(tokio::spawn(record_counted(doors.clone())));
        Ok(Self { doors, policy, tasks })
    }

    /// Every door of the ledger: gRPC, tiles, health.
    pub fn router(&self) -> Router {
        self.doors.clone().router()
    }

    /// Returns when the ledger cannot go on, with the reason. It must then be restarted.
    pub async fn failed(&self) -> Arc<str> {
        self.doors.health.failed().await
    }

    /// Why the ledger cannot record now, if so; what `/readyz` answers.
    ///
    /// # Errors
    /// The reason.
    pub fn readiness(&self) -> Result<(), String> {
        self.doors.health.readiness().map_err(|reason| reason.to_string())
    }

    /// Records the stop, takes nothing more, and waits until the stop is published.
    pub async fn stop(self) {
        if let Some(backups) = &self.doors.backups {
            backups.stop();
        }
        let recorded = match self.doors.record_counted(true).await {
            Ok(()) => self.doors.own.stop().await,
            Err(stopped) => Err(stopped),
        };
        self.doors.sequencer.close();
        if recorded.is_ok() {
            let size = self.doors.sequencer.head().borrow().size;
            let mut published = self.doors.published.clone();
            let all = published.wait_for(|published| published.checkpoint.size >= size);
            if tokio::time::timeout(Duration::from_secs(5), all).await.is_err() {
                tracing::warn!("the last checkpoint was not published before the stop");
            }
            if let Some(policy) = &self.policy {
                let cosigned = published.wait_for(|published| published.has_quorum(policy));
                if tokio::time::timeout(LAST_COSIGNATURES, cosigned).await.is_err() {
                    tracing::warn!("the last checkpoint was not cosigned before the stop");
                }
            }
        }
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A part that ends by itself only when nothing can be recorded any more, which others report.
async fn ending(part: impl Future<Output = ()>) -> Result<(), String> {
    part.await;
    Ok(())
}

/// Records what was counted of unknown callers as its windows end, until the sequencer does.
async fn record_counted(doors: Doors) {
    let mut due = tokio::time::interval(COUNTS_INTERVAL);
    loop {
        due.tick().await;
        if doors.record_counted(false).await.is_err() {
            return;
        }
    }
}

/// The step of the clock that stopped the ledger before, in nanoseconds; 0 when none did.
///
/// # Errors
/// [`Fatal::Clock`] when one did, and nobody confirms.
fn stopped_by_clock(data_dir: &Path, options: Options) -> Result<i64, StartError> {
    let step = StoppedByClock::within(data_dir)
        .step()
        .map_err(|source| StartError::Folder { path: data_dir.to_owned(), source })?;
    match step {
        Some(step) if !options.confirm_clock_step => Err(Fatal::Clock(step).into()),
        step => Ok(step.map_or(0, |step| step.step_ns)),
    }
}

fn open_folder(data_dir: &Path) -> Result<Arc<RocksStore>, StartError> {
    let failed = |source| StartError::Folder { path: data_dir.to_owned(), source };
    folder::create(data_dir).map_err(failed)?;
    folder::keep_private(data_dir).map_err(failed)?;
    let store = RocksStore::open(&data_dir.join("store"))?;
    remove_leftovers(data_dir).map_err(failed)?;
    folder::sync(data_dir).map_err(failed)?;
    Ok(Arc::new(store))
}

/// The published checkpoint that this start continues; signs the first one of a new log.
fn reconcile(
    config: &Checked,
    file: &CheckpointFile,
    stored: Option<TreeHead>,
    tree: &TreeReader,
) -> Result<Published, StartError> {
    let stored = stored.map_or(0, |head| head.size.0);
    let checkpoint = config.checkpoint_file.clone();
    let Some(published) = file.read(&config.log_keys)? else {
        if stored > 0 {
            return Err(StartError::NoCheckpoint { stored, checkpoint });
        }
        // Before the first entry, so that a store with entries always has a checkpoint beside it. Whoever keeps the key may
        // take a moment; nobody else is served yet.
        let empty = TreeHead { size: TreeSize(0), root: Hash::empty_root(), recorded_at_ns: 0 };
        let first = config.log_keys.sign(&empty).map_err(StartError::Sign)?;
        file.replace(None, &first)?;
        return Ok(first);
    };
    let size = published.checkpoint.size;
    if stored < size.0 {
        return Err(StartError::Behind { stored, published: size.0, checkpoint });
    }
    let found = tree.root_at(size)?;
    if found != published.checkpoint.root {
        let published = published.checkpoint.root;
        return Err(StartError::Contradicts { size: size.0, found, published, checkpoint });
    }
    Ok(published)
}
