//! The sequencer's thread: one commit after another.

use std::collections::HashMap;
use std::sync::Arc;

use proto::{encode_entry, ids::Id};
use tlog::{LeafIndex, TreeSize, leaf_hash};
use tokio::sync::{mpsc, watch};

use super::{Arrival, Committed, Fatal, Submission};
use crate::clock::Clock;
use crate::store::{Batch, SealedDisclosure, Store, StoreError, StoredChain, TreeHead};
use crate::tree::{Tree, TreeReader};
use crate::vault::{self, KeyId};

/// Most events in one commit.
const MAX_BATCH_EVENTS: usize = 4_096;
/// A commit is closed once it holds this many bytes.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// Disclosure keys kept at hand, by exchange.
const MAX_CACHED_KEYS: usize = 8_192;

/// What the thread holds.
pub(super) struct Worker {
    store: Arc<dyn Store>,
    tree: Tree,
    clock: Clock,
    head: TreeHead,
    keys: HashMap<KeyId, [u8; 32]>,
    reader: TreeReader,
    head_tx: watch::Sender<TreeHead>,
}

impl Worker {
    pub(super) fn new(
        store: Arc<dyn Store>,
        tree: Tree,
        clock: Clock,
        head: TreeHead,
        reader: TreeReader,
        head_tx: watch::Sender<TreeHead>,
    ) -> Self {
        Self { store, tree, clock, head, keys: HashMap::new(), reader, head_tx }
    }

    /// Commits what comes until nobody is left who could submit.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Submission>) -> Result<(), Fatal> {
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
