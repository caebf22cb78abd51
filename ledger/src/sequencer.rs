//! The sequencer: one thread that gives every event its place.
//!
//! For each batch it
//! 1. collects what is waiting: no timer stands between an idle log and the disk, and while a commit is on its
//!    way the next batch fills by itself;
//! 2. assigns index and time, hashes the leaves, extends the tree;
//! 3. commits everything in one synced write. A crash before it returns loses the batch whole, and nobody was
//!    told otherwise; a crash after it keeps the batch whole, and recorders that were not told resend;
//! 4. acknowledges, and shows readers the new tree.
//!
//! A commit that fails is fatal: memory is then ahead of the disk, so the thread ends and the process restarts
//! from what is durable.

mod since;
mod worker;

use std::sync::Arc;

use bytes::Bytes;
use proto::{ChainHead, ids::Id};
use tlog::{Hash, LeafIndex, TreeSize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use self::worker::Worker;
use crate::clock::{Clock, ClockBehind, ClockStep, StoppedByClock};
use crate::store::{Store, StoreError, StoredChain, TreeHead};
use crate::tree::{Tree, TreeReader};
use crate::vault::Sealed;

/// Most events in one commit.
const MAX_BATCH_EVENTS: usize = 4_096;
/// Submissions that may wait.
const QUEUE_SUBMISSIONS: usize = 1_024;
/// Bytes of events and disclosures that may wait or be in a commit, in KiB.
const BUDGET_KIB: usize = 128 << 10;

/// An event that passed every check and follows its chain, its disclosures sealed.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) event_bytes: Bytes,
    pub(crate) sealed: Sealed,
    pub(crate) recorder_id: Arc<str>,
    pub(crate) epoch: Id,
    pub(crate) head: ChainHead,
    /// The policy snapshot that is active in this epoch after the event.
    pub(crate) active_snapshot: Option<[u8; 32]>,
}

impl Arrival {
    /// Bytes that it holds until it is durable, about.
    pub(crate) fn size_bytes(&self) -> usize {
        let sealed = self.sealed.disclosures.iter().map(|(_, sealed)| sealed.len() + 64);
        self.event_bytes.len() + sealed.sum::<usize>()
    }
}

/// Where a durable event stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) leaf_index: LeafIndex,
    pub(crate) recorded_at_ns: u64,
    pub(crate) leaf_hash: Hash,
}

/// What becomes durable with the events of a submission, at once or not at all.
#[derive(Debug, Default)]
pub(crate) struct Rider {
    /// A recorder that forked its chain.
    pub(crate) suspend: Option<StoredChain>,
    /// Disclosures that go, and keys.
    pub(crate) erased: Vec<(LeafIndex, i32)>,
    pub(crate) destroyed: Vec<[u8; 16]>,
    /// No leaf before this is sealed under one of these keys, but those that go. What is found behind it is kept.
    pub(crate) looked_to: u64,
    /// A legal hold that the last of the events places, or releases.
    pub(crate) hold: Option<(Id, HoldChange)>,
}

/// What becomes of a legal hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldChange {
    Placed,
    Released,
}

struct Submission {
    /// Of one chain, in order.
    arrivals: Vec<Arrival>,
    rider: Rider,
    reply: oneshot::Sender<Vec<Committed>>,
    _budget: OwnedSemaphorePermit,
}

/// Why the sequencer ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fatal {
    /// The store failed.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// The wall clock jumped.
    #[error(transparent)]
    Clock(ClockStep),
    /// It stands before the newest entry at the start.
    #[error(transparent)]
    ClockBehind(ClockBehind),
}

/// The sequencer has ended: nothing can be recorded until the ledger restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger has stopped sequencing; see its log, it must be restarted")]
pub(crate) struct Stopped;

/// How a sequencer is started.
#[derive(Default)]
pub(crate) struct Setup {
    /// The wall clock was set by hand and is right now.
    pub(crate) confirm_clock_step: bool,
    /// Where a step of the clock is remembered that stops it.
    pub(crate) stopped_by_clock: Option<StoppedByClock>,
    /// Another bound of events in one commit, as benchmarks set it.
    pub(crate) max_batch_events: Option<usize>,
}

/// Hands events to the sequencer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sequencer {
    queue: mpsc::Sender<Submission>,
    budget: Arc<Semaphore>,
    head: watch::Receiver<TreeHead>,
    fatal: watch::Receiver<Option<Fatal>>,
}

impl Sequencer {
    /// Recovers the tree from the store and starts the thread. It ends, after committing what waits, when the
    /// last `Sequencer` is dropped.
    ///
    /// # Errors
    /// [`Fatal`] when the store is damaged or the clock stands before the newest entry.
    pub(crate) fn start(store: Arc<dyn Store>, setup: Setup) -> Result<(Self, TreeReader), Fatal> {
        let fatal = |error: StoreError| Fatal::Store(Arc::new(error));
        let empty = TreeHead { size: TreeSize(0), root: Hash::empty_root(), recorded_at_ns: 0 };
        let head = store.head().map_err(fatal)?.unwrap_or(empty);
        let tree = Tree::recover(&*store, &head).map_err(fatal)?;
        let clock = Clock::continue_after(head.recorded_at_ns, setup.confirm_clock_step)
            .map_err(Fatal::ClockBehind)?;
        let clock = match setup.stopped_by_clock {
            Some(stopped) => clock.remembering(stopped),
            None => clock,
        };
        let reader = TreeReader::new(Arc::clone(&store), tree.edge());

        let (queue, waiting) = mpsc::channel(QUEUE_SUBMISSIONS);
        let (head_tx, head_rx) = watch::channel(head);
        let (fatal_tx, fatal_rx) = watch::channel(None);
        let bound = setup.max_batch_events.unwrap_or(MAX_BATCH_EVENTS);
        let worker = Worker::new(store, tree, clock, head, reader.clone(), head_tx, bound);
        let run = move || {
            if let Err(fatal) = worker.run(waiting) {
                tracing::error!(error = %fatal, "the sequencer stops");
                fatal_tx.send_replace(Some(fatal));
            }
        };
        // A thread that the runtime waits for at its end: RocksDB must be closed before the process exits.
        tokio::task::spawn_blocking(run);
        let budget = Arc::new(Semaphore::new(BUDGET_KIB));
        Ok((Self { queue, budget, head: head_rx, fatal: fatal_rx }, reader))
    }

    /// Queues events of one chain; waits while the queue or the byte budget is full. The receiver yields their places, in
    /// order, once they are durable; it is closed if they never will be.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn submit(
        &self,
        arrivals: Vec<Arrival>,
        suspend: Option<StoredChain>,
    ) -> Result<oneshot::Receiver<Vec<Committed>>, Stopped> {
        self.submit_with(arrivals, Rider { suspend, ..Rider::default() }).await
    }

    /// The same, with more that becomes durable with them.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn submit_with(
        &self,
        arrivals: Vec<Arrival>,
        rider: Rider,
    ) -> Result<oneshot::Receiver<Vec<Committed>>, Stopped> {
        let bytes: usize = arrivals.iter().map(Arrival::size_bytes).sum();
        let kib = (bytes / 1024 + 1).min(BUDGET_KIB);
        let permits = u32::try_from(kib).unwrap_or(u32::MAX);
        let budget =
            Arc::clone(&self.budget).acquire_many_owned(permits).await.map_err(|_| Stopped)?;
        let (reply, receiver) = oneshot::channel();
        let submission = Submission { arrivals, rider, reply, _budget: budget };
        self.queue.send(submission).await.map_err(|_| Stopped)?;
        Ok(receiver)
    }

    /// Takes nothing more; what waits is still committed.
    pub(crate) fn close(&self) {
        self.budget.close();
    }

    /// The durable tree, as it grows.
    pub(crate) fn head(&self) -> watch::Receiver<TreeHead> {
        self.head.clone()
    }

    /// Becomes `Some` when the sequencer has ended with an error; closed when it has ended otherwise, as by a
    /// panic.
    pub(crate) fn fatal(&self) -> watch::Receiver<Option<Fatal>> {
        self.fatal.clone()
    }
}
