//! The leaves of an erasure, in the parts in which they are committed.
//!
//! An exchange has one key and any number of leaves. One that is larger than a commit goes in several: its last leaves first,
//! and the key with its first ones. So what a crash leaves of it is its beginning, which opens, and by which the next order,
//! or retention, finds it: who called, and what server. Each leaf that is gone has its event all the same.

use std::collections::HashSet;
use std::sync::Arc;

use super::Erasures;
use super::order::OrderError;
use super::plan::Plan;
use super::unit::{Gather, MAX_LEAVES, Seen};
use crate::store::{Leaves, StoreError};
use crate::vault::KeyId;

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

    /// Reads the store on a thread for blocking work.
    pub(super) async fn look<T: Send + 'static>(
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

    fn wants(&self, seen: &Seen) -> bool {
        !seen.slots.is_empty() && self.wanted.is_some_and(|wanted| wanted.contains(&seen.key))
    }
}
