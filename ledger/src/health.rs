//! The parts that must all go on, and the one place that knows when one has not.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::log_keys::LogKeys;
use crate::own::OwnRecorder;
use crate::publish::{self, CheckpointFile, Cosignatures, Published};
use crate::sequencer::Sequencer;

/// Where a part that ended reports why.
pub(crate) type Failure = watch::Sender<Option<Arc<str>>>;

/// Whether the ledger can record and publish. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health {
    failure: watch::Receiver<Option<Arc<str>>>,
    troubles: Troubles,
    warnings: Troubles,
}

impl Health {
    pub(crate) fn new(failure: watch::Receiver<Option<Arc<str>>>, troubles: Troubles) -> Self {
        Self { failure, troubles, warnings: Troubles::none() }
    }

    /// The same, which also tells of these, though they keep nothing from being recorded and published.
    pub(crate) fn with_warnings(self, warnings: Troubles) -> Self {
        Self { warnings, ..self }
    }

    /// What a person should look after although the ledger is ready.
    pub(crate) fn warnings(&self) -> Vec<Arc<str>> {
        self.warnings.0.borrow().values().cloned().collect()
    }

    /// Why not, if so: for good, or for now.
    pub(crate) fn readiness(&self) -> Result<(), Arc<str>> {
        let failure = self.failure.borrow().clone();
        failure.or_else(|| self.troubles.first()).map_or(Ok(()), Err)
    }

    /// Returns when it cannot any more, with the reason.
    pub(crate) async fn failed(&self) -> Arc<str> {
        let mut failure = self.failure.clone();
        let reason = failure.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "the ledger ended".into())
    }
}

/// What parts cannot do for now. They try again; nobody has to restart anything. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Troubles(watch::Sender<BTreeMap<&'static str, Arc<str>>>);

impl Troubles {
    /// None.
    pub(crate) fn none() -> Self {
        Self(watch::channel(BTreeMap::new()).0)
    }

    /// Something is not done, and why; said in the log when it is new.
    pub(crate) fn report(&self, what: &'static str, why: &dyn std::fmt::Display) {
        let why: Arc<str> = format!("{what}: {why}").into();
        self.0.send_if_modified(|troubles| {
            let before = troubles.insert(what, Arc::clone(&why));
            if before.is_none() {
                tracing::error!(%why, "not done, until this is over");
            }
            before.is_none_or(|before| before != why)
        });
    }

    /// It was done.
    pub(crate) fn is_over(&self, what: &'static str) {
        self.0.send_if_modified(|troubles| {
            let was_there = troubles.remove(what).is_some();
            if was_there {
                tracing::info!(what, "this is over");
            }
            was_there
        });
    }

    fn first(&self) -> Option<Arc<str>> {
        self.0.borrow().values().next().cloned()
    }
}

/// Reports the end of the sequencer, whether it gave a reason or panicked.
pub(crate) fn watch_sequencer(sequencer: &Sequencer, failure: Failure) -> JoinHandle<()> {
    let mut fatal = sequencer.fatal();
    tokio::spawn(async move {
        let fatal = fatal.wait_for(Option::is_some).await;
        let reason = fatal.ok().and_then(|fatal| fatal.as_ref().map(ToString::to_string));
        fail(&failure, &reason.unwrap_or_else(|| ended("sequencer")));
    })
}

/// Publishes, and reports when that ends.
pub(crate) fn publisher(
    file: CheckpointFile,
    keys: LogKeys,
    sequencer: &Sequencer,
    published: watch::Sender<Arc<Published>>,
    cosignatures: Cosignatures,
    troubles: Troubles,
    failure: Failure,
) -> JoinHandle<()> {
    let heads = sequencer.head();
    supervised("publisher", failure, async move {
        let ran = publish::run(file, keys, heads, published, cosignatures, troubles).await;
        ran.map_err(|error| error.to_string())
    })
}

/// Seals and marks, and reports when that ends before the ledger is stopped.
pub(crate) fn own_recorder(own: OwnRecorder, failure: Failure) -> JoinHandle<()> {
    supervised("ledger's own recorder", failure, async move {
        own.run().await.map_err(|stopped| stopped.to_string())
    })
}

/// Runs a part; its error or panic is the ledger's failure.
pub(crate) fn supervised(
    what: &'static str,
    failure: Failure,
    part: impl Future<Output = Result<(), String>> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        // Dropped with this task, and the part with it.
        let mut parts = JoinSet::new();
        parts.spawn(part);
        match parts.join_next().await {
            Some(Ok(Ok(()))) | None => {}
            Some(Ok(Err(reason))) => fail(&failure, &reason),
            Some(Err(_)) => fail(&failure, &ended(what)),
        }
    })
}

/// The first reason is the one to tell: others follow from it.
fn fail(failure: &Failure, reason: &str) {
    tracing::error!(reason, "the ledger cannot go on");
    failure.send_if_modified(|failure| {
        let is_first = failure.is_none();
        if is_first {
            *failure = Some(reason.into());
        }
        is_first
    });
}

fn ended(what: &str) -> String {
    format!("the {what} ended without a reason, which is a defect; see the log, then start again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequencer::Setup;
    use crate::store::{Batch, Store, StoreError, StoredChain, StoredKey, TreeHead};
    use bytes::Bytes;
    use proto::v1::Opening;
    use tlog::{LeafIndex, TreeSize};

    /// A store that panics at the first commit.
    struct Panics;

    impl Store for Panics {
        fn head(&self) -> Result<Option<TreeHead>, StoreError> {
            Ok(None)
        }
        fn append(&self, _: TreeSize, _: &Batch) -> Result<(), StoreError> {
            panic!("a defect")
        }
        fn entries(&self, _: LeafIndex, _: usize, _: usize) -> Result<Vec<Bytes>, StoreError> {
            Ok(Vec::new())
        }
        fn openings(
            &self,
            _: LeafIndex,
            end: LeafIndex,
            _: usize,
        ) -> Result<(Vec<(LeafIndex, Opening)>, LeafIndex), StoreError> {
            Ok((Vec::new(), end))
        }
        fn tile(&self, _: u8, _: u64) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }
        fn disclosure_key(&self, _: &[u8; 16]) -> Result<StoredKey, StoreError> {
            Ok(StoredKey::Unknown)
        }
        fn chains(&self) -> Result<Vec<StoredChain>, StoreError> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_sequencer_that_panics_is_a_failure() {
        let (sequencer, _tree) = Sequencer::start(Arc::new(Panics), Setup::default()).unwrap();
        let (failure, reason) = watch::channel(None);
        let watching = watch_sequencer(&sequencer, failure);
        let committed = sequencer.submit(Vec::new(), None).await.unwrap();
        assert!(committed.await.is_err());
        watching.await.unwrap();
        let health = Health::new(reason, Troubles::none());
        assert!(health.readiness().unwrap_err().contains("sequencer"));
    }

    #[tokio::test]
    async fn a_part_that_panics_is_a_failure() {
        let (failure, reason) = watch::channel(None);
        let troubles = Troubles::none();
        let health = Health::new(reason, troubles.clone());
        assert!(health.readiness().is_ok());
        troubles.report("seals", &"the key is away");
        assert_eq!(&*health.readiness().unwrap_err(), "seals: the key is away");
        troubles.is_over("seals");
        assert!(health.readiness().is_ok());
        let warnings = Troubles::none();
        let health = health.with_warnings(warnings.clone());
        warnings.report("backups", &"the disk is full");
        assert!(health.readiness().is_ok(), "a warning stops nothing");
        assert_eq!(&*health.warnings()[0], "backups: the disk is full");
        let part = async { panic!("a defect") };
        supervised("publisher", failure.clone(), part).await.unwrap();
        assert!(health.failed().await.contains("publisher"));
        fail(&failure, "another reason");
        assert!(health.readiness().unwrap_err().contains("publisher"));
    }
}
