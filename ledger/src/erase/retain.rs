//! Erasing what the configuration keeps no longer.

use std::sync::Arc;

use proto::decode_entry;
use proto::v1::Slot;
use proto::v1::disclosure_erased::Ground;
use serde_json::json;
use tlog::LeafIndex;

use super::order::OrderError;
use super::plan::Plan;
use super::receipt::as_json;
use super::unit::{Gather, Unit};
use super::{Erasures, Work};
use crate::store::{Store, StoreError};

/// A part of what is due.
struct Due {
    plan: Plan,
    /// Nothing more is due now.
    is_last: bool,
}

impl Erasures {
    /// Erases what is due at a time (Unix ns), in parts that each are one commit; how many leaves that were.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(crate) async fn retain(self: &Arc<Self>, now_ns: u64) -> Result<usize, OrderError> {
        let classes: Vec<_> = self.retention.due(now_ns).collect();
        let mut leaves = 0;
        for (class, days, before_ns) in classes {
            loop {
                let mut work = Arc::clone(&self.work).lock_owned().await;
                let (this, name) = (Arc::clone(self), class.to_owned());
                let looking = tokio::task::spawn_blocking(move || {
                    let due = this.due(&mut work, &name, before_ns)?;
                    Ok::<_, StoreError>((work, due))
                });
                let (_work, due) = looking.await.map_err(|_| crate::sequencer::Stopped)??;
                if due.plan.leaves() > 0 {
                    leaves += due.plan.leaves();
                    let reason = json!({
                        "reason": "retention", "class": class, "keep_days": days,
                        "backups": self.backups()?
                    });
                    let subject = json!({ "class": class, "before_ns": before_ns });
                    let contents = vec![
                        (Slot::Reason, as_json(&reason)?),
                        (Slot::Subject, as_json(&subject)?),
                    ];
                    self.erase(due.plan, Ground::Retention, contents).await?;
                    self.purge().await;
                }
                if due.is_last {
                    break;
                }
            }
        }
        Ok(leaves)
    }

    /// The next units of a class that are due; moves on to what may be due after them.
    fn due(&self, work: &mut Work, class: &str, before_ns: u64) -> Result<Due, StoreError> {
        let from = work.due_from.get(class).copied().unwrap_or_default();
        let end = first_at_or_after(&*self.store, before_ns)?;
        if from >= end {
            return Ok(Due { plan: Plan::default(), is_last: true });
        }
        let with_principals = work.holds.need_principals();
        let gather = Gather { store: &*self.store, wanted: None, with_principals };
        let (units, stopped) = gather.units(from..end)?;
        let mut taken = Vec::new();
        // What is not over yet is looked at again from its first leaf on.
        let mut next = stopped;
        for (key, unit) in units {
            if self.retention.class_of(unit.server.as_deref()) != Some(class) {
                continue;
            }
            if !self.is_over(&unit, stopped) {
                next = next.min(unit.leaves.first().map_or(next, |leaf| leaf.index.0));
            } else if work.holds.on([&unit], &self.retention).is_empty() {
                taken.push((key, unit));
            }
        }
        work.due_from.insert(class.to_owned(), next);
        let is_last = stopped == end || (taken.is_empty() && next == from);
        Ok(Due { plan: Plan::new(taken, 0), is_last })
    }

    /// All leaves of the unit are before `end`.
    fn is_over(&self, unit: &Unit, end: u64) -> bool {
        let has_ended = |epoch| {
            let head = self.registry.head_of(&unit.recorder_id, epoch);
            head.is_some_and(|head| head.0 < end)
                && self.registry.has_ended(&unit.recorder_id, epoch)
        };
        unit.exchange.is_none() || unit.epoch.is_some_and(has_ended)
    }
}

/// The first leaf that was recorded at or after a time, or the size of the tree.
fn first_at_or_after(store: &dyn Store, time_ns: u64) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, store.head()?.map_or(0, |head| head.size.0));
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = store.entries(LeafIndex(middle), 1, 0)?;
        let leaf = entry.first().map(decode_entry);
        let Some(Ok(leaf)) = leaf else {
            return Err(StoreError::Damaged(format!("entry {middle} cannot be read")));
        };
        if leaf.recorded_at_ns < time_ns { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
