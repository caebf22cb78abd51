//! The sequencer's thread: one commit after another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proto::{encode_entry, ids::Id};
use tlog::{LeafIndex, TreeSize, leaf_hash};
use tokio::sync::{mpsc, watch};

use super::since::keep_what_came_since;
use super::{Arrival, Committed, Fatal, HoldChange, Submission};
use crate::clock::Clock;
use crate::store::{
    Batch, Changes, SealedDisclosure, Store, StoreError, StoredChain, StoredKey, TreeHead,
};
use crate::tree::{Tree, TreeReader};
use crate::vault::{self, KeyId};

/// A commit is closed once it holds this many bytes.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// What the thread holds.
pub(super) struct Worker {
    store: Arc<dyn Store>,
    tree: Tree,
    clock: Clock,
    head: TreeHead,
    reader: TreeReader,
    head_tx: watch::Sender<TreeHead>,
    max_batch_events: usize,
}

impl Worker {
    pub(super) fn new(
        store: Arc<dyn Store>,
        tree: Tree,
        clock: Clock,
        head: TreeHead,
        reader: TreeReader,
        head_tx: watch::Sender<TreeHead>,
        max_batch_events: usize,
    ) -> Self {
        Self { store, tree, clock, head, reader, head_tx, max_batch_events }
    }

    /// Commits what comes until nobody is left who could submit.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Submission>) -> Result<(), Fatal> {
        while let Some(first) = waiting.blocking_recv() {
            let submissions = collect(first, &mut waiting, self.max_batch_events);
            self.commit(submissions)?;
        }
        Ok(())
    }

    fn commit(&mut self, mut submissions: Vec<Submission>) -> Result<(), Fatal> {
        let fatal = |error: StoreError| Fatal::Store(Arc::new(error));
        let events = submissions.iter().map(|submission| submission.arrivals.len()).sum();
        let mut batch = Batch {
            entries: Vec::with_capacity(events),
            disclosures: Vec::with_capacity(events),
            keys: Vec::new(),
            tiles: Vec::new(),
            chains: Vec::new(),
            head: self.head,
            changes: Changes::default(),
        };
        let mut chains: HashMap<(Id, Arc<str>), StoredChain> = HashMap::new();
        let mut places = Vec::with_capacity(submissions.len());
        let mut recorded_at_ns = self.clock.batch_time().map_err(Fatal::Clock)?;
        self.seal_anew(&mut submissions).map_err(fatal)?;
        for submission in &mut submissions {
            let mut committed = Vec::with_capacity(submission.arrivals.len());
            for arrival in &mut submission.arrivals {
                committed.push(self.place(arrival, recorded_at_ns, &mut batch));
                recorded_at_ns += 1;
            }
            if let (Some(arrival), Some(place)) = (submission.arrivals.last(), committed.last()) {
                let key = (arrival.epoch, Arc::clone(&arrival.recorder_id));
                chains.insert(key, chain_at(arrival, place.leaf_index));
            }
            let rider = std::mem::take(&mut submission.rider);
            keep_what_came_since(&*self.store, &rider, self.head.size, &mut batch)
                .map_err(fatal)?;
            if let Some(chain) = rider.suspend {
                chains.insert((chain.epoch, chain.recorder_id.as_str().into()), chain);
            }
            batch.changes.erased.extend(rider.erased);
            batch.changes.destroyed.extend(rider.destroyed);
            if let (Some((id, change)), Some(place)) = (rider.hold, committed.last()) {
                let placed = (change == HoldChange::Placed).then_some(place.leaf_index);
                batch.changes.holds.push((id, placed));
            }
            places.push(committed);
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

    /// Seals anew what was sealed with a key that was destroyed before it came here, or is by this commit. No other
    /// thread destroys keys, so none of the rest is.
    fn seal_anew(&self, submissions: &mut [Submission]) -> Result<(), StoreError> {
        let destroyed = submissions.iter().flat_map(|submission| &submission.rider.destroyed);
        let destroyed: HashSet<KeyId> = destroyed.copied().collect();
        let destructions = self.store.destructions();
        for arrival in submissions.iter_mut().flat_map(|submission| &mut submission.arrivals) {
            let Some(id) = arrival.sealed.may_be_destroyed(destructions, &destroyed) else {
                continue;
            };
            let is_gone = || match self.store.disclosure_key(&id) {
                // Nobody can tell.
                Err(StoreError::Damaged(_)) => Ok(true),
                key => key.map(|key| key == StoredKey::Destroyed),
            };
            if destroyed.contains(&id) || is_gone()? {
                let (epoch, sequence) = (&arrival.epoch.0, arrival.head.sequence);
                let own = vault::own_key_id_at(epoch, &arrival.recorder_id, sequence);
                arrival.sealed.seal_anew(own)?;
            }
        }
        Ok(())
    }

    /// Gives one event its index and leaf within `batch`, and puts its disclosures there.
    fn place(
        &mut self,
        arrival: &mut Arrival,
        recorded_at_ns: u64,
        batch: &mut Batch,
    ) -> Committed {
        let leaf_index = LeafIndex(batch.head.size.0);
        let entry = encode_entry(recorded_at_ns, &arrival.event_bytes);
        let leaf_hash = leaf_hash(&entry);
        self.tree.append(leaf_hash, &mut batch.tiles);
        batch.entries.push(entry);
        batch.head.size = TreeSize(leaf_index.0 + 1);
        batch.head.recorded_at_ns = recorded_at_ns;
        for (slot, sealed) in std::mem::take(&mut arrival.sealed.disclosures) {
            batch.disclosures.push(SealedDisclosure { leaf_index, slot, sealed });
        }
        // The arrival keeps its hold on the key until the commit is done: see `Sealer`.
        batch.keys.extend(arrival.sealed.new_key().map(|key| (key.id, key.secret)));
        Committed { leaf_index, recorded_at_ns, leaf_hash }
    }
}

/// The chain of a stored event.
fn chain_at(arrival: &Arrival, leaf_index: LeafIndex) -> StoredChain {
    StoredChain {
        recorder_id: arrival.recorder_id.to_string(),
        epoch: arrival.epoch,
        head: arrival.head,
        leaf_index,
        active_snapshot: arrival.active_snapshot,
        suspended: false,
    }
}

/// Everything that waits, up to the bounds of one commit.
fn collect(
    first: Submission,
    waiting: &mut mpsc::Receiver<Submission>,
    max_events: usize,
) -> Vec<Submission> {
    let measure = |submission: &Submission| {
        let bytes: usize = submission.arrivals.iter().map(Arrival::size_bytes).sum();
        (submission.arrivals.len(), bytes)
    };
    let (mut events, mut bytes) = measure(&first);
    let mut submissions = vec![first];
    while events < max_events && bytes < MAX_BATCH_BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        let (more_events, more_bytes) = measure(&next);
        events += more_events;
        bytes += more_bytes;
        submissions.push(next);
    }
    submissions
}
