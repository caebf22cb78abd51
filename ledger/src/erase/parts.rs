//! The leaves of an erasure, in the parts in which they are committed.
//!
//! An exchange has one key and any number of leaves. One that is larger than a commit goes in several: its last leaves first,
//! and the key with its first ones. So what a crash leaves of it is its beginning, which opens, and by which the next order,
//! or retention, finds it: who called, and what server. Each leaf that is gone has its event all the same.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tlog::{Hash, LeafIndex};

use super::Erasures;
use super::order::OrderError;
use super::plan::Plan;
use super::unit::{Gather, MAX_LEAVES, Seen};
use crate::store::{Leaves, StoreError};
use crate::vault::KeyId;

/// Entries read at once, and about how many bytes of them.
const ENTRIES_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 4 << 20;

/// A leaf, and the slots in which it still discloses something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disclosing {
    pub(super) index: LeafIndex,
    pub(super) hash: Hash,
    pub(super) event_id: Bytes,
    pub(super) slots: Vec<i32>,
}

/// Keys that are to be destroyed.
pub(super) type Keys = Arc<HashSet<KeyId>>;

impl Erasures {
    /// Ranges of leaves, each of which one commit takes, in the order of the log.
    pub(super) async fn parts(
        self: &Arc<Self>,
        plan: &Plan,
        keys: &Keys,
    ) -> Result<Vec<Leaves>, OrderError> {
        let first = plan.units.iter().map(|(_, unit)| unit.first).min().unwrap_or_default();
        let last = plan.units.iter().map(|(_, unit)| unit.last).max().unwrap_or_default();
        if plan.leaves() <= MAX_LEAVES {
            return Ok(std::iter::once(first..last + 1).collect());
        }
        self.look(keys, move |gather| gather.parts(first..last + 1, MAX_LEAVES)).await
    }

    /// The leaves of one part.
    pub(super) async fn disclosing(
        self: &Arc<Self>,
        part: Leaves,
        keys: &Keys,
    ) -> Result<Vec<Disclosing>, OrderError> {
        self.look(keys, move |gather| gather.disclosing(part)).await
    }

    /// Up to which leaf nothing came under these keys since it was looked at up to `from`: most often the newest one.
    pub(super) async fn quiet_up_to(
        self: &Arc<Self>,
        from: u64,
        keys: &Keys,
    ) -> Result<u64, OrderError> {
        self.look(keys, move |gather| gather.quiet_up_to(from)).await
    }

    /// Reads the store on a thread for blocking work.
    async fn look<T: Send + 'static>(
        self: &Arc<Self>,
        keys: &Keys,
        look: impl FnOnce(Gather<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, OrderError> {
        let (this, keys) = (Arc::clone(self), Arc::clone(keys));
        let looking = tokio::task::spawn_blocking(move || {
            let store = &*this.store;
            look(Gather { store, wanted: Some(&keys), with_principals: false })
        });
        Ok(looking.await.map_err(|_| crate::sequencer::Stopped)??)
    }
}

impl Gather<'_> {
    /// The range, cut so that in no part more than `most` of the wanted leaves disclose something.
    fn parts(&self, leaves: Leaves, most: usize) -> Result<Vec<Leaves>, StoreError> {
        let (mut start, end) = (leaves.start, leaves.end);
        let (mut parts, mut disclosing) = (Vec::new(), 0);
        self.each(leaves, &mut |seen| {
            if self.wants(&seen) {
                if disclosing == most {
                    parts.push(start..seen.index.0);
                    (start, disclosing) = (seen.index.0, 0);
                }
                disclosing += 1;
            }
            true
        })?;
        parts.push(start..end);
        Ok(parts)
    }

    /// What is not there any more, and was not erased, goes with the rest of its exchange: it is lost, and the event that
    /// names it is what a package needs to say so.
    fn disclosing(&self, leaves: Leaves) -> Result<Vec<Disclosing>, StoreError> {
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        self.each(leaves, &mut |seen| {
            if self.wanted.is_some_and(|wanted| wanted.contains(&seen.key)) {
                let Seen { index, hash, leaf, slots, .. } = seen;
                let committed = leaf.event.disclosures.iter().map(|one| one.slot).collect();
                let event_id = leaf.event.event_id;
                // The slots of a leaf go together.
                let of = if slots.is_empty() { &mut absent } else { &mut found };
                of.push(Disclosing { index, hash, event_id, slots: committed });
            }
            true
        })?;
        absent.retain(|leaf: &Disclosing| !leaf.slots.is_empty());
        if let Some(first) = absent.first() {
            let erased = self.erased_since(first.index.0)?;
            let is_lost = |leaf: &Disclosing| {
                leaf.slots.iter().all(|slot| !erased.took(leaf.index.0, &leaf.hash, *slot))
            };
            found.extend(absent.into_iter().filter(is_lost));
            found.sort_by_key(|leaf| leaf.index);
        }
        Ok(found)
    }

    /// What the log says was erased, from one leaf on. It is seldom asked: when something is lost, or an erasure of a large
    /// exchange was broken off.
    fn erased_since(&self, from: u64) -> Result<proto::erasure::Erasures, StoreError> {
        let size = self.store.head()?.map_or(0, |head| head.size.0);
        let (mut next, mut erased) = (from, proto::erasure::Erasures::default());
        while next < size {
            let entries = self.store.entries(LeafIndex(next), ENTRIES_AT_ONCE, BYTES_AT_ONCE)?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")));
            }
            for entry in entries {
                let leaf = proto::decode_entry(&entry)
                    .map_err(|error| StoreError::Damaged(format!("entry {next}: {error}")))?;
                erased.add(next, leaf.event.kind.as_ref());
                next += 1;
            }
        }
        Ok(erased)
    }

    fn quiet_up_to(&self, from: u64) -> Result<u64, StoreError> {
        let end = self.store.head()?.map_or(0, |head| head.size.0);
        let mut first = None;
        self.store.disclosed(from..end.max(from), &mut |index, _, sealed| {
            let is_of = |id: &KeyId| self.wanted.is_some_and(|wanted| wanted.contains(id));
            if first.is_none() && sealed.first_chunk().is_some_and(is_of) {
                first = Some(index.0);
            }
        })?;
        Ok(first.unwrap_or(end.max(from)))
    }

    fn wants(&self, seen: &Seen) -> bool {
        !seen.slots.is_empty() && self.wanted.is_some_and(|wanted| wanted.contains(&seen.key))
    }
}
