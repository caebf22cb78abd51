//! A query node from its configuration to its end.

mod recording;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use identity::knocks::Knocks;
use identity::tls::listener_mistakes;
use identity::{MachineKey, Verifier};
use keys::Key;
use recorder::{LedgerAddress, Recorder};
use tlog::{Signer, VerifyingKey};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::archive::Archive;
use crate::config::QueryConfig;
use crate::door::access::{Accessed, Visitor};
use crate::door::error::DoorError;
use crate::door::{Doors, Inner};
use crate::engine::running::Engine;
use crate::exported::Exported;
use crate::feed::deliveries::Deliveries;
use crate::feed::places::Places;
use crate::follower::copy::{LocalCopy, OpenError};
use crate::follower::stream::{Following, Source, contradicted};
use crate::masking::Masking;
use crate::rows::RowError;

/// How often what is to be recorded later is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A running query node. Cheap to clone; [`stop`](Query::stop) ends it for all.
#[derive(Clone)]
pub struct Query {
    doors: Doors,
    recorder: Recorder,
    exported: Arc<Exported>,
    running: Arc<Running>,
}

struct Running {
    cancel: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Held as long as the node runs: two writers would ruin the copy.
    lock: Mutex<Option<File>>,
}

/// Why a query node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Every mistake in the configuration, at once.
    #[error("query configuration: {}", problems.join("; "))]
    Config {
        /// One line each: where, what, what to do.
        problems: Vec<String>,
    },
    /// Another process uses the data folder.
    #[error("{path} is in use by another process: give each query node its own data_dir", path = path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// A file or folder cannot be used.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The data folder is no usable copy of this log.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Accesses cannot be recorded, so nothing could be answered. Retryable when the ledger is away.
    #[error("the recorder of accesses did not start: {0}")]
    Recorder(#[from] recorder::StartError),
    /// What callers ask could not be masked before it is recorded.
    #[error("the built-in detectors cannot be used, this build is broken: {0}")]
    Detectors(#[from] controls::SnapshotError),
}

impl StartError {
    /// May the same start succeed later, with the ledger back?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Recorder(recorder::StartError::Record { source, .. }) if source.is_retryable())
    }
}

impl Query {
    /// Starts to follow the log, and to record accesses. The doors answer once a checkpoint is verified.
    ///
    /// After a contradiction it starts again, but answers nothing: see `contradiction.json` in the data folder. So it
    /// does when the log turns out not to continue what this node verified before.
    ///
    /// # Errors
    /// When the configuration or the data folder cannot be used, or the ledger cannot be reached.
    pub async fn start(config: QueryConfig) -> Result<Self, StartError> {
        let parsed = Parsed::of(&config)?;
        let masking = Masking::start()?;
        let lock = lock(&config.data_dir)?;
        let (recorder, kept) = recording::start(&config, &parsed).await?;
        let cancel = CancellationToken::new();
        let mut tasks = Vec::new();
        let following = match kept {
            Some(kept) => {
                tracing::error!(
                    reason = kept.reason,
                    "the log contradicts itself; nothing is served"
                );
                Following::stopped(contradicted(&kept.reason))
            }
            None => {
                let (dir, limits, log) =
                    (config.data_dir.clone(), config.limits.clone(), parsed.log.clone());
                let open = move || LocalCopy::open(&dir, log, &limits);
                let copy =
                    tokio::task::spawn_blocking(open).await.map_err(|_| RowError::Aborted)??;
                let source =
                    Source { ledger: parsed.ledger, audience: parsed.audience, key: parsed.reader };
                let (following, task) = Following::start(source, copy, cancel.clone());
                tasks.push(task);
                following
            }
        };
        let exported = Arc::new(Exported::open(&config.data_dir)?);
        let spill = config.data_dir.join("spill");
        let engine = Engine::start(&config.limits, &spill).map_err(RowError::io(&spill))?;
        let doors = Doors::new(Inner {
            following,
            engine,
            verifier: parsed.verifier,
            journal: Arc::new(recorder.clone()),
            masking,
            public_url: config.public_url,
            deliveries: Deliveries::new(config.limits.feed_access_interval()),
            places: Places::new(config.limits.feed_concurrency),
            knocks: Knocks::default(),
        });
        tasks.push(tokio::spawn(keep_house(doors.clone(), cancel.clone())));
        let running = Running { cancel, tasks: Mutex::new(tasks), lock: Mutex::new(Some(lock)) };
        Ok(Self { doors, recorder, exported, running: Arc::new(running) })
    }

    /// The HTTP doors, to be served as they are or merged with others. Serve them with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, so that callers' addresses are recorded.
    pub fn router(&self) -> axum::Router {
        self.doors.router()
    }

    /// Why callers should ask another node now.
    ///
    /// # Errors
    /// In words.
    pub fn readiness(&self) -> Result<(), String> {
        self.doors.readiness()
    }

    /// Everything that is verified now.
    ///
    /// # Errors
    /// When nothing is verified yet, or following stopped at a contradiction: 503, `not_serving`.
    pub fn archive(&self) -> Result<Archive, DoorError> {
        Ok(self.doors.archive()?.with_exported(self.exported.all()))
    }

    /// The first archive whose checkpoint's note `is_good`, of those that are verified from now on: cosignatures come
    /// after the checkpoint. `None` when there was none within `patience`.
    ///
    /// # Errors
    /// As for [`archive`](Query::archive).
    pub async fn archive_when(
        &self,
        is_good: impl Fn(&str) -> bool,
        patience: Duration,
    ) -> Result<Option<Archive>, DoorError> {
        let mut following = self.doors.following.clone();
        let waiting = async {
            loop {
                let archive = self.archive()?;
                if is_good(archive.checkpoint().1) {
                    return Ok(archive);
                }
                following.changed().await;
            }
        };
        tokio::time::timeout(patience, waiting).await.ok().transpose()
    }

    /// Keeps the checkpoint of an archive that was exported, so that later archives know it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep_exported(&self, archive: &Archive) -> Result<(), RowError> {
        let (exported, mark) = (Arc::clone(&self.exported), archive.mark());
        let keeping = tokio::task::spawn_blocking(move || exported.keep(mark));
        keeping.await.map_err(|_| RowError::Aborted)?
    }

    /// Cancelled once the node is told to stop: what is at work for it should then end.
    pub fn stopping(&self) -> CancellationToken {
        self.running.cancel.child_token()
    }

    /// What records accesses.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Knows the caller of a route that is mounted beside these doors, exactly as they do.
    ///
    /// # Errors
    /// 401 when the token is not good (recorded), 503 when that could not be recorded.
    pub async fn admit(&self, request: &http::request::Parts) -> Result<Visitor, DoorError> {
        self.doors.admit(request).await
    }

    /// Records an access; only then may it be answered. What was asked is masked first.
    ///
    /// # Errors
    /// 503 when it could not be recorded.
    pub async fn record_access(
        &self,
        visitor: &Visitor,
        accessed: Accessed,
    ) -> Result<(), DoorError> {
        Ok(self.doors.record(visitor, accessed).await?)
    }

    /// The answer to a visitor that none of `roles` fits: 403.
    pub fn forbid(&self, visitor: &Visitor, roles: &[proto::Role]) -> DoorError {
        self.doors.forbid(visitor, roles, None)
    }

    /// Stops following, records what was delivered or counted and not yet recorded, and stops the recorder.
    pub async fn stop(&self) {
        self.running.cancel.cancel();
        let tasks = std::mem::take(
            // Nothing panics while the lock is held.
            &mut *self.running.tasks.lock().unwrap_or_else(PoisonError::into_inner),
        );
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the query node was aborted");
            }
        }
        self.doors.deliveries.flush(self.doors.journal.as_ref(), true).await;
        self.doors.record_knocks(self.doors.knocks.end()).await;
        self.recorder.stop(true).await;
        self.running.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Warms the issuers' keys, then records deliveries that are due, and knocks that were counted.
async fn keep_house(doors: Doors, cancel: CancellationToken) {
    if cancel.run_until_cancelled(doors.verifier.warm()).await.is_none() {
        return;
    }
    let mut due = tokio::time::interval((doors.deliveries.interval() / 5).min(LOOK));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A record that is begun is not broken off.
    while cancel.run_until_cancelled(due.tick()).await.is_some() {
        doors.deliveries.flush(doors.journal.as_ref(), false).await;
        doors.record_knocks(doors.knocks.ended(Instant::now())).await;
    }
}

impl QueryConfig {
    /// Every mistake that the node would refuse to start with, one line each. Reads the files that are named.
    pub fn mistakes(&self) -> Vec<String> {
        match Parsed::of(self) {
            Err(StartError::Config { problems }) => problems,
            _ => Vec::new(),
        }
    }
}

struct Parsed {
    log: VerifyingKey,
    ledger: LedgerAddress,
    audience: String,
    reader: MachineKey,
    recorder_key: Arc<dyn Signer>,
    verifier: Verifier,
}

impl Parsed {
    fn of(config: &QueryConfig) -> Result<Self, StartError> {
        let mut problems = config.problems();
        let log = VerifyingKey::parse(&config.log_vkey)
            .map_err(|error| problems.push(format!("log_vkey: {error}")));
        problems.extend(listener_mistakes(config.listen, config.tls.as_ref(), config.plaintext));
        let ledger =
            LedgerAddress::new(&config.ledger, config.ledger_tls.as_ref(), config.ledger_plaintext)
                .map_err(|found| {
                    problems.extend(found.iter().map(|what| format!("ledger: {what}")));
                });
        if identity::protected_resource_metadata_url(&config.public_url).is_none() {
            problems.push(format!("public_url `{}` is not an http(s) URL", config.public_url));
        }
        let verifier =
            Verifier::new(config.identity.clone()).map_err(|error| problems.extend(error.problems));
        let recorder_key = keys::read(&config.recorder_key_file)
            .map_err(|error| problems.push(format!("recorder_key_file: {error}")))
            .ok();
        let reader = match (&config.reader_key_file, &recorder_key) {
            (Some(path), _) => keys::read_key(path)
                .map_err(|error| problems.push(format!("reader_key_file: {error}")))
                .ok(),
            (None, Some(Key::Held(key))) => Some(key.clone()),
            (None, Some(Key::Agent(_))) => {
                problems.push(
                    "reader_key_file is left out, and the recorder's key is in an ssh-agent, which makes no tokens: name \
                     a key file of its own"
                        .to_owned(),
                );
                None
            }
            (None, None) => None,
        };
        let reader = reader.map(|key| MachineKey::new(key.name(), &key.seed()));
        match (log, ledger, verifier, recorder_key, reader) {
            (Ok(log), Ok(ledger), Ok(verifier), Some(recorder_key), Some(reader))
                if problems.is_empty() =>
            {
                let audience =
                    config.ledger_audience.clone().unwrap_or_else(|| config.ledger.clone());
                let recorder_key = recorder_key.into_signer();
                Ok(Self { log, ledger, audience, reader, recorder_key, verifier })
            }
            _ => Err(StartError::Config { problems }),
        }
    }
}

/// Makes the data folder, for this user alone, and locks it.
fn lock(dir: &Path) -> Result<File, StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(RowError::io(dir))?;
    let path = dir.join("lock");
    let file = File::create(&path).map_err(RowError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(RowError::io(path)(error).into()),
    }
}
