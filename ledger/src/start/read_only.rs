//! A ledger that only shows an older copy of its log: tiles, entries and the checkpoint that was published with it.
//!
//! Nothing of the folder is changed, and nothing is signed but the root of that checkpoint (for COSE receipts). Since
//! an access cannot be recorded here, entries are shown to followers alone.

use std::path::Path;
use std::sync::Arc;

use tlog::Checkpoint;
use tokio::sync::watch;

use super::{Ledger, StartError};
use crate::backup::{FolderState, folder_state};
use crate::config::LedgerConfig;
use crate::door::{Doors, Knocks, RootSigner, Subscriptions};
use crate::health::{Health, Troubles};
use crate::own::{OwnParts, OwnRecorder};
use crate::publish::{CheckpointFile, default_file};
use crate::registry::Registry;
use crate::sequencer::{Sequencer, Setup};
use crate::store::{RocksStore, Store};

pub(super) async fn start(config: LedgerConfig) -> Result<Ledger, StartError> {
    let config = config.check()?;
    let path = || config.data_dir.clone();
    let state = folder_state(&config.data_dir)
        .map_err(|source| StartError::Folder { path: path(), source })?;
    if state == FolderState::Unfinished {
        return Err(StartError::RestoreUnfinished(path()));
    }
    let store: Arc<dyn Store> =
        Arc::new(RocksStore::open_read_only(&config.data_dir.join("store"))?);
    // Nobody submits anything; the clock does not matter.
    let setup = Setup { confirm_clock_step: true, ..Setup::default() };
    let (sequencer, tree) = Sequencer::start(Arc::clone(&store), setup)?;
    sequencer.close();

    // The one that came with the copy: the one elsewhere may be of a larger tree.
    let beside = default_file(&config.data_dir);
    let file = if beside.exists() { beside } else { config.checkpoint_file.clone() };
    let stored = store.head()?.map_or(0, |head| head.size.0);
    let published = CheckpointFile::at(file.clone()).read(&config.log_keys)?;
    let Some(published) = published else {
        return Err(StartError::NoCheckpoint { stored, checkpoint: file });
    };
    let size = published.checkpoint.size;
    if stored < size.0 {
        return Err(StartError::Behind { stored, published: size.0, checkpoint: file });
    }
    let found = tree.root_at(size)?;
    if found != published.checkpoint.root {
        let published = published.checkpoint.root;
        return Err(StartError::Contradicts { size: size.0, found, published, checkpoint: file });
    }
    let reason = reason(&published.checkpoint, &config.data_dir);
    tracing::warn!(%reason, "the ledger is read-only");
    let (published_tx, published) = watch::channel(Arc::new(published));

    let log_keys = config.log_keys;
    let registry = Arc::new(Registry::new(config.recorders, store.chains()?));
    let own = OwnRecorder::silent(&OwnParts {
        key: config.recorder_key,
        log_keys: log_keys.clone(),
        key_changes: Vec::new(),
        troubles: Troubles::none(),
        registry: Arc::clone(&registry),
        store: Arc::clone(&store),
        sequencer: sequencer.clone(),
        published: published.clone(),
        confirmed_clock_step: None,
        continues: None,
    })
    .map_err(|_| StartError::OwnStart)?;
    config.readers.warm().await;
    let (failure_tx, failure) = watch::channel(None);
    // Nothing fails any more; those who wait for a failure, or for a new checkpoint, wait until the stop.
    let quiet = tokio::spawn(async move {
        let _senders = (published_tx, failure_tx);
        std::future::pending::<()>().await;
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
        health: Health::new(failure, Troubles::none()),
        knocks: Arc::new(Knocks::default()),
        root_signer: Arc::new(RootSigner::new(Arc::clone(log_keys.signer()))),
        backups: None,
        erasures: None,
        read_only: Some(reason.into()),
    };
    Ok(Ledger { doors, policy: None, tasks: vec![quiet] })
}

fn reason(checkpoint: &Checkpoint, data_dir: &Path) -> String {
    format!(
        "this ledger only shows the first {} entries of the log {}, a copy in {}; nothing can be recorded",
        checkpoint.size,
        checkpoint.origin,
        data_dir.display()
    )
}
