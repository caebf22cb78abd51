//! Starting and stopping: what must be true before the first event is taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tlog::{Hash, TreeSize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Checked, ConfigError, LedgerConfig};
use crate::door::{Doors, Knocks};
use crate::folder;
use crate::health::{Health, own_recorder, publisher, watch_sequencer};
use crate::own::{OwnParts, OwnRecorder};
use crate::publish::{self, CheckpointFile, PublishError, Published};
use crate::registry::Registry;
use crate::sequencer::{Fatal, Sequencer};
use crate::store::{RocksStore, Store, StoreError, TreeHead};
use crate::tree::TreeReader;

/// How often is looked for windows of unknown callers that have ended.
const COUNTS_INTERVAL: Duration = Duration::from_secs(5);

/// What a person decides at the start, not in the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The wall clock was set by hand and is right now.
    pub confirm_clock_step: bool,
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
         is older than what others have seen. Bring back the newest store; a restored older copy may only become \
         a new log"
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
    /// The sequencer could not start.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The ledger could not record its own start.
    #[error("the ledger could not record its own start; see its log")]
    OwnStart,
}

/// A running ledger.
pub struct Ledger {
    pub(crate) doors: Doors,
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
        let config = config.check()?;
        let store = open_folder(&config.data_dir)?;
        let file = CheckpointFile::at(config.checkpoint_file.clone());
        let stored = store.head()?;
        let (sequencer, tree) = Sequencer::start(Arc::clone(&store), options.confirm_clock_step)?;
        let published = reconcile(&config, &file, stored, &tree)?;
        let (published_tx, published) = watch::channel(Arc::new(published));

        // An issuer may be slow, and nothing is to be waited for once the start is recorded.
        config.readers.warm().await;
        let log_key = Arc::new(config.log_key);
        let registry = Arc::new(Registry::new(config.recorders, store.chains()?));
        let own = OwnRecorder::start(OwnParts {
            key: Arc::new(config.recorder_key),
            log_key: Arc::clone(&log_key),
            registry: Arc::clone(&registry),
            sequencer: sequencer.clone(),
            published: published.clone(),
            confirmed_clock_step: options.confirm_clock_step,
        })
        .await
        .map_err(|_| StartError::OwnStart)?;

        let (failure_tx, failure) = watch::channel(None);
        let health = Health(failure);
        let mut tasks = vec![
            watch_sequencer(&sequencer, failure_tx.clone()),
            publisher(file, Arc::clone(&log_key), &sequencer, published_tx, failure_tx.clone()),
            own_recorder(own.clone(), log_key.verifying_key().to_string(), failure_tx),
        ];
        let doors = Doors {
            log: log_key.verifying_key(),
            registry,
            sequencer,
            own,
            store,
            tree,
            published,
            readers: config.readers,
            audience: config.public_url.into(),
            health,
            knocks: Arc::new(Knocks::default()),
        };
        tasks.push(tokio::spawn(record_counted(doors.clone())));
        Ok(Self { doors, tasks })
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
        }
        for task in &self.tasks {
            task.abort();
        }
    }
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

fn open_folder(data_dir: &Path) -> Result<Arc<dyn Store>, StartError> {
    let failed = |source| StartError::Folder { path: data_dir.to_owned(), source };
    folder::create(data_dir).map_err(failed)?;
    let store = RocksStore::open(&data_dir.join("store"))?;
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
    let Some(published) = file.read(&config.log_key)? else {
        if stored > 0 {
            return Err(StartError::NoCheckpoint { stored, checkpoint });
        }
        // Before the first entry, so that a store with entries always has a checkpoint beside it.
        let empty = TreeHead { size: TreeSize(0), root: Hash::empty_root(), recorded_at_ns: 0 };
        let first = publish::sign(&empty, &config.log_key);
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
