//! The sequencer: one thread that gives every event its place.
//!
//! For each batch it
//! 1. collects what is waiting: no timer stands between an idle log and the disk, and while a commit is on its
//!    way the next batch fills by itself;
//! 2. assigns index and time, hashes the leaves, extends the tree, seals the disclosures;
//! 3. commits everything in one synced write. A crash before it returns loses the batch whole, and nobody was
//!    told otherwise; a crash after it keeps the batch whole, and recorders that were not told resend;
//! 4. acknowledges, and shows readers the new tree.
//!
//! A commit that fails is fatal: memory is then ahead of the disk, so the thread ends and the process restarts
//! from what is durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use proto::v1::{Event, Opening};
use proto::{ChainHead, encode_entry, ids::Id};
use tlog::{Hash, LeafIndex, TreeSize, leaf_hash};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::clock::{Clock, ClockStep};
use crate::store::{Batch, SealedDisclosure, Store, StoreError, StoredChain, TreeHead};
use crate::tree::{Tree, TreeReader};
use crate::vault::{self, KeyId};

/// Most events in one commit.
const MAX_BATCH_EVENTS: usize = 4_096;
/// A commit is closed once it holds this many bytes.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// Submissions that may wait.
const QUEUE_SUBMISSIONS: usize = 1_024;
/// Bytes of events and disclosures that may wait or be in a commit, in KiB.
const BUDGET_KIB: usize = 128 << 10;
/// Disclosure keys kept at hand, by exchange.
const MAX_CACHED_KEYS: usize = 8_192;

/// An event that passed every check and follows its chain.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) event: Event,
    pub(crate) event_bytes: Bytes,
    pub(crate) openings: Vec<Opening>,
    pub(crate) recorder_id: Arc<str>,
    pub(crate) epoch: Id,
    pub(crate) head: ChainHead,
    /// The policy snapshot that is active in this epoch after the event.
    pub(crate) active_snapshot: Option<[u8; 32]>,
}

impl Arrival {
    fn size_bytes(&self) -> usize {
        self.event_bytes.len() + self.openings.iter().map(|o| o.content.len() + 64).sum::<usize>()
    }
}

/// Where a durable event stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    pub(crate) leaf_index: LeafIndex,
    pub(crate) recorded_at_ns: u64,
    pub(crate) leaf_hash: Hash,
}

struct Submission {
    arrivals: Vec<Arrival>,
    suspend: Option<StoredChain>,
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
}

/// The sequencer has ended: nothing can be recorded until the ledger restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger has stopped sequencing; see its log, it must be restarted")]
pub(crate) struct Stopped;

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
    pub(crate) fn start(
        store: Arc<dyn Store>,
        confirm_clock_step: bool,
    ) -> Result<(Self, TreeReader), Fatal> {
        let fatal = |error: StoreError| Fatal::Store(Arc::new(error));
        let empty = TreeHead { size: TreeSize(0), root: Hash::empty_root(), recorded_at_ns: 0 };
        let head = store.head().map_err(fatal)?.unwrap_or(empty);
        let tree = Tree::recover(&*store, &head).map_err(fatal)?;
        let clock =
            Clock::continue_after(head.recorded_at_ns, confirm_clock_step).map_err(Fatal::Clock)?;
        let reader = TreeReader::new(Arc::clone(&store), tree.edge());

        let (queue, waiting) = mpsc::channel(QUEUE_SUBMISSIONS);
        let (head_tx, head_rx) = watch::channel(head);
        let (fatal_tx, fatal_rx) = watch::channel(None);
        let worker = Worker {
            store,
            tree,
            clock,
            head,
            keys: HashMap::new(),
            reader: reader.clone(),
            head_tx,
        };
        let run = move || {
            if let Err(fatal) = worker.run(waiting) {
                tracing::error!(error = %fatal, "the sequencer stops");
                fatal_tx.send_replace(Some(fatal));
            }
        };
        thread::Builder::new().name("sequencer".into()).spawn(run).map_err(|error| {
            fatal(StoreError::Engine { path: "a new thread".into(), reason: error.to_string() })
        })?;
        let budget = Arc::new(Semaphore::new(BUDGET_KIB));
        Ok((Self { queue, budget, head: head_rx, fatal: fatal_rx }, reader))
    }

    /// Queues events; waits while the queue or the byte budget is full. The receiver yields their places, in
    /// order, once they are durable; it is closed if they never will be.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn submit(
        &self,
        arrivals: Vec<Arrival>,
        suspend: Option<StoredChain>,
    ) -> Result<oneshot::Receiver<Vec<Committed>>, Stopped> {
        let bytes: usize = arrivals.iter().map(Arrival::size_bytes).sum();
        let kib = (bytes / 1024 + 1).min(BUDGET_KIB);
        let permits = u32::try_from(kib).unwrap_or(u32::MAX);
        let budget =
            Arc::clone(&self.budget).acquire_many_owned(permits).await.map_err(|_| Stopped)?;
        let (reply, receiver) = oneshot::channel();
        let submission = Submission { arrivals, suspend, reply, _budget: budget };
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

    /// Becomes `Some` when the sequencer has ended.
    pub(crate) fn fatal(&self) -> watch::Receiver<Option<Fatal>> {
        self.fatal.clone()
    }
}

struct Worker {
    store: Arc<dyn Store>,
    tree: Tree,
    clock: Clock,
    head: TreeHead,
    keys: HashMap<KeyId, [u8; 32]>,
    reader: TreeReader,
    head_tx: watch::Sender<TreeHead>,
}

impl Worker {
    fn run(mut self, mut waiting: mpsc::Receiver<Submission>) -> Result<(), Fatal> {
        while let Some(first) = waiting.blocking_recv() {
            let submissions = collect(first, &mut waiting);
            self.commit(submissions)?;
        }
        Ok(())
    }

    fn commit(&mut self, submissions: Vec<Submission>) -> Result<(), Fatal> {
        let fatal = |error: StoreError| Fatal::Store(Arc::new(error));
        let mut batch = Batch {
            entries: Vec::new(),
            disclosures: Vec::new(),
            keys: Vec::new(),
            tiles: Vec::new(),
            chains: Vec::new(),
            head: self.head,
        };
        let mut chains: HashMap<(Id, Arc<str>), StoredChain> = HashMap::new();
        let mut places = Vec::with_capacity(submissions.len());
        let mut recorded_at_ns = self.clock.batch_time().map_err(Fatal::Clock)?;
        for submission in &submissions {
            let mut committed = Vec::with_capacity(submission.arrivals.len());
            for arrival in &submission.arrivals {
                let place = self.place(arrival, recorded_at_ns, &mut batch).map_err(fatal)?;
                recorded_at_ns += 1;
                let chain = StoredChain {
                    recorder_id: arrival.recorder_id.to_string(),
                    epoch: arrival.epoch,
                    head: arrival.head,
                    leaf_index: place.leaf_index,
                    active_snapshot: arrival.active_snapshot,
                    suspended: false,
                };
                chains.insert((arrival.epoch, Arc::clone(&arrival.recorder_id)), chain);
                committed.push(place);
            }
            places.push(committed);
            if let Some(chain) = &submission.suspend {
                chains.insert((chain.epoch, chain.recorder_id.as_str().into()), chain.clone());
            }
        }
        batch.chains = chains.into_values().collect();
        batch.head.root = self.tree.root();

        let expected = self.head.size;
        self.store.append(expected, &batch).map_err(fatal)?;

        self.clock.used(batch.head.recorded_at_ns);
        self.head = batch.head;
        self.reader.advance(self.tree.edge());
        self.head_tx.send_replace(self.head);
        metrics::counter!("exhibit_ledger_events_total").increment(batch.entries.len() as u64);
        metrics::counter!("exhibit_ledger_commits_total").increment(1);
        for (submission, committed) in submissions.into_iter().zip(places) {
            // A recorder that went away meanwhile learns its head when it comes back.
            let _gone = submission.reply.send(committed);
        }
        Ok(())
    }

    /// Gives one event its index, leaf and sealed disclosures within `batch`.
    fn place(
        &mut self,
        arrival: &Arrival,
        recorded_at_ns: u64,
        batch: &mut Batch,
    ) -> Result<Committed, StoreError> {
        let leaf_index = LeafIndex(batch.head.size.0);
        let entry = encode_entry(recorded_at_ns, &arrival.event_bytes);
        let leaf_hash = leaf_hash(&entry);
        self.tree.append(leaf_hash, &mut batch.tiles);
        batch.entries.push(entry);
        batch.head.size = TreeSize(leaf_index.0 + 1);
        batch.head.recorded_at_ns = recorded_at_ns;
        if !arrival.openings.is_empty() {
            let id = vault::key_id(&arrival.event);
            let key = self.disclosure_key(id, batch)?;
            for opening in &arrival.openings {
                let sealed = vault::seal(&id, &key, arrival.head.sequence, opening)?;
                batch.disclosures.push(SealedDisclosure { leaf_index, slot: opening.slot, sealed });
            }
        }
        Ok(Committed { leaf_index, recorded_at_ns, leaf_hash })
    }

    fn disclosure_key(&mut self, id: KeyId, batch: &mut Batch) -> Result<[u8; 32], StoreError> {
        if let Some(key) = self.keys.get(&id) {
            return Ok(*key);
        }
        let key = match self.store.disclosure_key(&id)? {
            Some(key) => key,
            None => {
                let key = vault::fresh_key()?;
                batch.keys.push((id, key));
                key
            }
        };
        if self.keys.len() >= MAX_CACHED_KEYS {
            // Keys of this batch are not in the store yet, so they stay.
            self.keys = batch.keys.iter().copied().collect();
        }
        self.keys.insert(id, key);
        Ok(key)
    }
}

/// Everything that waits, up to the bounds of one commit.
fn collect(first: Submission, waiting: &mut mpsc::Receiver<Submission>) -> Vec<Submission> {
    let measure = |submission: &Submission| {
        let bytes: usize = submission.arrivals.iter().map(Arrival::size_bytes).sum();
        (submission.arrivals.len(), bytes)
    };
    let (mut events, mut bytes) = measure(&first);
    let mut submissions = vec![first];
    while events < MAX_BATCH_EVENTS && bytes < MAX_BATCH_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        let (more_events, more_bytes) = measure(&next);
        events += more_events;
        bytes += more_bytes;
        submissions.push(next);
    }
    submissions
}
