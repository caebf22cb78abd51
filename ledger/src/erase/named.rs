//! The leaves that an erasure names: what is still disclosed under its keys, and what was lost of that.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use proto::kind::Kind;
use tlog::{Hash, LeafIndex};

use super::Erasures;
use super::order::OrderError;
use super::parts::Keys;
use super::unit::{Gather, Seen};
use crate::store::{Leaves, StoreError};

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

impl Erasures {
    /// The leaves of one part.
    pub(super) async fn disclosing(
        self: &Arc<Self>,
        part: Leaves,
        keys: &Keys,
    ) -> Result<Vec<Disclosing>, OrderError> {
        self.look(keys, move |gather| gather.disclosing(part)).await
    }
}

impl Gather<'_> {
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
        if !absent.is_empty() {
            let erased = self.erased_of(&absent)?;
            let is_lost = |leaf: &Disclosing| {
                leaf.slots.iter().all(|slot| !erased.took(leaf.index.0, &leaf.hash, *slot))
            };
            found.extend(absent.into_iter().filter(is_lost));
            found.sort_by_key(|leaf| leaf.index);
        }
        Ok(found)
    }

    /// What the log says was erased of some leaves, and of no others, so that it takes no more room than they do. It is
    /// seldom asked: when something is lost, or an erasure of a large exchange was broken off.
    fn erased_of(&self, leaves: &[Disclosing]) -> Result<proto::erasure::Erasures, StoreError> {
        let asked: HashSet<u64> = leaves.iter().map(|leaf| leaf.index.0).collect();
        let size = self.store.head()?.map_or(0, |head| head.size.0);
        let mut next = leaves.first().map_or(size, |first| first.index.0);
        let mut erased = proto::erasure::Erasures::default();
        while next < size {
            let entries = self.store.entries(LeafIndex(next), ENTRIES_AT_ONCE, BYTES_AT_ONCE)?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")));
            }
            for entry in entries {
                let leaf = proto::decode_entry(&entry)
                    .map_err(|error| StoreError::Damaged(format!("entry {next}: {error}")))?;
                if let Some(Kind::DisclosureErased(erasure)) = &leaf.event.kind
                    && asked.contains(&erasure.leaf_index)
                {
                    erased.add(next, leaf.event.kind.as_ref());
                }
                next += 1;
            }
        }
        Ok(erased)
    }
}
