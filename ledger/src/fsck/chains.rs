//! Recorders' chains, their seals, and the heads that the store keeps of them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use proto::ChainHead;
use proto::chain::{Position, position};
use proto::entry::Leaf;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::RecorderSeal;
use proto::v1::recorder_conflict::Reason;
use tlog::{LeafIndex, VerifyingKey};

use super::lost::Lost;
use super::{FsckReport, damage, place};
use crate::store::keyspace::{CHAINS, chain_key, chain_value, parse_chain};
use crate::store::records::{Found, Odd, Records};
use crate::store::{RocksStore, StoredChain};

/// What seals are verified with.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    /// Of the log.
    pub(crate) log: &'a VerifyingKey,
    /// Of recorders; one name may have several, as after a rotation.
    pub(crate) recorders: &'a [VerifyingKey],
}

/// Every chain as its entries tell it.
pub(super) struct Chains<'a> {
    keys: Keys<'a>,
    chains: HashMap<(String, Id), StoredChain>,
    conflicts: HashMap<(String, Id), Conflict>,
    /// The recorder of entry 0: the ledger's own.
    own: Option<String>,
    lost: Lost,
}

/// What a RecorderConflict over a fork says of a chain.
struct Conflict {
    index: u64,
    /// By the ledger's own recorder, as far as can be told.
    is_own: bool,
}

/// The event before a seal.
#[derive(Clone, Copy)]
enum Sealed {
    /// It is this one, or there is none.
    Head(Option<ChainHead>),
    /// It is lost, so that only the seal's signature can be verified.
    Lost,
}

impl<'a> Chains<'a> {
    pub(super) fn new(keys: Keys<'a>) -> Self {
        Self {
            keys,
            chains: HashMap::new(),
            conflicts: HashMap::new(),
            own: None,
            lost: Lost::default(),
        }
    }

    /// Of these entries nobody can tell whose chain they belong to.
    pub(super) fn lose(&mut self, entries: Range<u64>) {
        self.lost.add(entries);
    }

    /// Follows a chain by one event.
    pub(super) fn follow(&mut self, index: u64, leaf: &Leaf, report: &mut FsckReport) {
        let Some(recorder) = &leaf.event.recorder else { return };
        let Some(epoch) = Id::from_slice(&recorder.epoch) else { return };
        let place = place::entry(index);
        if index == 0 {
            self.own = Some(recorder.recorder_id.clone());
        }
        let key = (recorder.recorder_id.clone(), epoch);
        let before = self.chains.get(&key);
        let head = before.map(|chain| chain.head);
        let is_next = position(head.as_ref(), recorder) == Position::Next;
        let reached = before.map(|chain| (chain.head, chain.leaf_index.0));
        let is_bridged = !is_next && self.lost.explains(reached, recorder.sequence, index);
        if !is_next && !is_bridged {
            let chain = place::chain(&recorder.recorder_id, epoch);
            let message = match before {
                Some(before) => format!(
                    "does not follow {}, the event before it in the {chain}: one of the two is not what was recorded",
                    place::entry(before.leaf_index.0)
                ),
                None => format!(
                    "is event {} of the {chain}, of which nothing is there before",
                    recorder.sequence
                ),
            };
            report.find("chain_broken", place.clone(), message);
        }
        let mut active_snapshot = before.and_then(|chain| chain.active_snapshot);
        match &leaf.event.kind {
            Some(Kind::RecorderSeal(seal)) => {
                let head = if is_bridged { Sealed::Lost } else { Sealed::Head(head) };
                self.seal(&place, seal, &key, head, report);
            }
            Some(Kind::PolicyActivated(policy)) => {
                active_snapshot = policy.snapshot_digest[..].try_into().ok();
            }
            Some(Kind::RecorderConflict(conflict))
                if conflict.recorder_id != key.0 && conflict.reason() == Reason::Unspecified =>
            {
                let is_own = self.own.as_ref() == Some(&key.0);
                if let Some(epoch) = Id::from_slice(&conflict.epoch) {
                    let about = (conflict.recorder_id.clone(), epoch);
                    self.conflicts.insert(about, Conflict { index, is_own });
                }
            }
            _ => {}
        }
        let head =
            ChainHead { sequence: recorder.sequence, hash: proto::event_hash(&leaf.event_bytes) };
        let chain = StoredChain {
            recorder_id: key.0.clone(),
            epoch,
            head,
            leaf_index: LeafIndex(index),
            active_snapshot,
            suspended: false,
        };
        self.chains.insert(key, chain);
    }

    /// Holds a seal against the event before it, and against the recorder's key if that is at hand.
    fn seal(
        &self,
        place: &str,
        seal: &RecorderSeal,
        (recorder_id, epoch): &(String, Id),
        sealed: Sealed,
        report: &mut FsckReport,
    ) {
        let of_head = match sealed {
            Sealed::Lost => true,
            Sealed::Head(head) => head
                .is_some_and(|head| head.sequence == seal.sequence && head.hash == seal.hash[..]),
        };
        if !of_head {
            return report.find("seal_invalid", place, "its seal is not over the event before it");
        }
        let made_by =
            |key: &&VerifyingKey| key.name() == recorder_id && key.key_id() == seal.key_id[..];
        match self.keys.recorders.iter().find(made_by) {
            None => {
                let key = format!("{recorder_id}+{}", hex::encode(&seal.key_id));
                *report.seals_without_key.entry(key).or_default() += 1;
            }
            Some(key) => {
                if proto::seal::verify(seal, self.keys.log.name(), recorder_id, *epoch, key) {
                    report.seals += 1;
                } else {
                    report.find("seal_invalid", place, "the signature of its seal does not verify");
                }
            }
        }
    }

    /// Compares every stored head, byte for byte.
    pub(super) fn finish(self, store: &RocksStore, report: &mut FsckReport) {
        let Self { mut chains, conflicts, lost, .. } = self;
        for ((recorder_id, epoch), conflict) in &conflicts {
            let key = (recorder_id.clone(), *epoch);
            if conflict.is_own && !chains.contains_key(&key) {
                chains.insert(key, forked_at_once(recorder_id, *epoch));
            }
        }
        let expected: BTreeMap<Vec<u8>, StoredChain> =
            chains.into_values().map(|chain| (chain_key(&chain), chain)).collect();
        let mut stored = Records::of(store, CHAINS);
        for (key, mut chain) in expected {
            report.chains += 1;
            let place = place::chain(&chain.recorder_id, chain.epoch);
            let conflict = conflicts.get(&(chain.recorder_id.clone(), chain.epoch));
            let mut on_surplus = |odd: Odd<'_>| surplus(store, &odd, (&conflicts, &lost), report);
            let found = stored.take(&key, &mut on_surplus);
            let value = match found {
                Found::Record(value) => value,
                Found::Missing => {
                    let last = place::entry(chain.leaf_index.0);
                    report.find("chain_missing", place, format!("its head, {last}, is not stored"));
                    continue;
                }
                Found::Unreadable(reason) => {
                    report.find("chain_unreadable", place, format!("cannot be read: {reason}"));
                    continue;
                }
            };
            let suspended = StoredChain { suspended: true, ..chain.clone() };
            // A conflict that somebody else than the ledger's first recorder tells of explains a suspension, but
            // does not demand one: the ledger may have a recorder of another name since.
            let by_other = conflict.is_some_and(|conflict| !conflict.is_own);
            if conflict.is_some_and(|conflict| conflict.is_own)
                || by_other && *value == *chain_value(&suspended)
            {
                chain = suspended;
            }
            if lost.is_any() {
                // What lost entries said of it nobody knows but the stored head.
                chain = completed(chain, parse_chain(&key, &value).ok(), &lost);
            }
            if *value != *chain_value(&chain) {
                let message = difference(&key, &value, &chain, conflict);
                report.find("chain_mismatch", place, message);
            }
        }
        stored.rest(&mut |odd| surplus(store, &odd, (&conflicts, &lost), report));
        report.bytes += stored.bytes;
    }
}

/// A chain as its entries tell it, with that of the stored head which only a lost entry can have said.
fn completed(chain: StoredChain, found: Option<StoredChain>, lost: &Lost) -> StoredChain {
    let Some(found) = found else { return chain };
    let is_later = lost.has(found.leaf_index.0) && found.head.sequence > chain.head.sequence;
    let (head, leaf_index) =
        if is_later { (found.head, found.leaf_index) } else { (chain.head, chain.leaf_index) };
    let (active_snapshot, suspended) = (found.active_snapshot, found.suspended);
    StoredChain { head, leaf_index, active_snapshot, suspended, ..chain }
}

/// How the ledger stores a chain whose very first event was refused as a fork.
fn forked_at_once(recorder_id: &str, epoch: Id) -> StoredChain {
    StoredChain {
        recorder_id: recorder_id.to_owned(),
        epoch,
        head: ChainHead { sequence: 0, hash: [0; 32] },
        leaf_index: LeafIndex(0),
        active_snapshot: None,
        suspended: true,
    }
}

/// Which part of a stored head is another.
fn difference(
    key: &[u8],
    value: &[u8],
    expected: &StoredChain,
    conflict: Option<&Conflict>,
) -> String {
    let last = place::entry(expected.leaf_index.0);
    let Ok(found) = parse_chain(key, value) else {
        return format!("its stored head, of {} bytes, has not the form of one", value.len());
    };
    if found.head.sequence != expected.head.sequence {
        return format!("its stored sequence is not that of {last}, its last event");
    }
    if found.head.hash != expected.head.hash {
        return format!("its stored hash is not that of {last}, its last event");
    }
    if found.leaf_index != expected.leaf_index {
        return format!("its last event is {last}, not {}", place::entry(found.leaf_index.0));
    }
    if found.active_snapshot != expected.active_snapshot {
        return "its stored snapshot is not the one that was activated last".to_owned();
    }
    match conflict {
        Some(conflict) => format!(
            "its stored head does not say that it is suspended, but {} records its fork",
            place::entry(conflict.index)
        ),
        None => {
            "its stored head says that it is suspended, and no RecorderConflict does".to_owned()
        }
    }
}

fn surplus(
    store: &RocksStore,
    odd: &Odd<'_>,
    (conflicts, lost): (&HashMap<(String, Id), Conflict>, &Lost),
    report: &mut FsckReport,
) {
    let Odd::Surplus(key) = odd else { return damage(CHAINS, odd, report) };
    let by_conflict = conflicts
        .keys()
        .any(|(recorder_id, epoch)| chain_key(&forked_at_once(recorder_id, *epoch)) == *key);
    // All of its events, or the conflict that tells of it, may be lost.
    let by_loss = lost.is_any()
        && store
            .record(CHAINS, key)
            .ok()
            .flatten()
            .and_then(|value| parse_chain(key, &value).ok())
            .is_some_and(|chain| chain.suspended || lost.has(chain.leaf_index.0));
    if !by_conflict && !by_loss {
        let message = "should not be there: no entry belongs to this chain";
        report.find("chain_surplus", place::record(CHAINS, key), message);
    }
}
