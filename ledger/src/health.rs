//! The parts that must all go on, and the one place that knows when one has not.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::own::OwnRecorder;
use crate::publish::{self, CheckpointFile, Published};
use crate::sequencer::Sequencer;

/// Where a part that ended reports why.
pub(crate) type Failure = watch::Sender<Option<Arc<str>>>;

/// Whether the ledger can record and publish. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health(pub(crate) watch::Receiver<Option<Arc<str>>>);

impl Health {
    /// Why not, if so.
    pub(crate) fn readiness(&self) -> Result<(), Arc<str>> {
        self.0.borrow().clone().map_or(Ok(()), Err)
    }

    /// Returns when it cannot any more, with the reason.
    pub(crate) async fn failed(&self) -> Arc<str> {
        let mut failure = self.0.clone();
        let reason = failure.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "the ledger ended".into())
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
    key: Arc<tlog::SigningKey>,
    sequencer: &Sequencer,
    published: watch::Sender<Arc<Published>>,
    failure: Failure,
) -> JoinHandle<()> {
    let heads = sequencer.head();
    supervised("publisher", failure, async move {
        let ran = publish::run(file, key, heads, published).await;
        ran.map_err(|error| error.to_string())
    })
}

/// Seals and marks, and reports when that ends before the ledger is stopped.
pub(crate) fn own_recorder(own: OwnRecorder, log_vkey: String, failure: Failure) -> JoinHandle<()> {
    supervised("ledger's own recorder", failure, async move {
        own.run(log_vkey).await.map_err(|stopped| stopped.to_string())
    })
}

/// Runs a part; its error or panic is the ledger's failure.
fn supervised(
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
    use crate::store::{Batch, Store, StoreError, StoredChain, TreeHead};
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
        fn disclosure_key(&self, _: &[u8; 16]) -> Result<Option<[u8; 32]>, StoreError> {
            Ok(None)
        }
        fn chains(&self) -> Result<Vec<StoredChain>, StoreError> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_sequencer_that_panics_is_a_failure() {
        let (sequencer, _tree) = Sequencer::start(Arc::new(Panics), false).unwrap();
        let (failure, reason) = watch::channel(None);
        let watching = watch_sequencer(&sequencer, failure);
        let committed = sequencer.submit(Vec::new(), None).await.unwrap();
        assert!(committed.await.is_err());
        watching.await.unwrap();
        assert!(Health(reason).readiness().unwrap_err().contains("sequencer"));
    }

    #[tokio::test]
    async fn a_part_that_panics_is_a_failure() {
        let (failure, reason) = watch::channel(None);
        let health = Health(reason);
        assert!(health.readiness().is_ok());
        let part = async { panic!("a defect") };
        supervised("publisher", failure.clone(), part).await.unwrap();
        assert!(health.failed().await.contains("publisher"));
        fail(&failure, "another reason");
        assert!(health.readiness().unwrap_err().contains("publisher"));
    }
}
