//! Erasing what the configuration keeps no longer.
//!
//! Each class is followed from the first leaf on, up to what is old enough. What is not over by then waits apart, with what
//! is known of it, and everything behind it goes on: its later leaves are added as they grow old.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::decode_entry;
use proto::v1::Slot;
use proto::v1::disclosure_erased::Ground;
use serde_json::json;
use tlog::LeafIndex;

use super::ended::Ended;
use super::late::Late;
use super::order::OrderError;
use super::plan::Plan;
use super::receipt::as_json;
use super::unit::{Gather, MAX_LEAVES, Unit, Units};
use super::{Erasures, Work};
use crate::store::{Store, StoreError};
use crate::vault::KeyId;

/// Leaves of units that wait, in a class. When there are more, nothing behind them is erased, and the metric grows.
const MAX_WAITING: usize = 4 * MAX_LEAVES;
/// Leaves looked at ahead before an order gets its turn.
const AHEAD_AT_ONCE: u64 = 200_000;

/// How far retention has come. It stands in memory: after a restart all of it is looked at again.
#[derive(Debug, Default)]
pub(super) struct Progress {
    classes: BTreeMap<String, OfClass>,
    late: Late,
}

#[derive(Debug, Default)]
struct OfClass {
    /// Leaves before this were looked at.
    next: u64,
    /// Units that are not over, as far as they were looked at, and some that are and did not fit.
    waiting: Units,
}

impl Progress {
    /// What is held has changed, and with it what must be known of that which waits: all is looked at again.
    pub(super) fn begin_again(&mut self) {
        self.classes.clear();
        self.late = Late::default();
    }

    /// These keys are destroyed.
    pub(super) fn forget<'k>(&mut self, keys: impl IntoIterator<Item = &'k KeyId>) {
        for key in keys {
            for class in self.classes.values_mut() {
                class.waiting.remove(key);
            }
        }
    }
}

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
        if !classes.is_empty() {
            self.look_ahead().await?;
        }
        let mut leaves = 0;
        for (class, days, before_ns) in classes {
            loop {
                let backups = self.backups()?;
                let mut work = Arc::clone(&self.work).lock_owned().await;
                let (this, name) = (Arc::clone(self), class.to_owned());
                let looking = tokio::task::spawn_blocking(move || {
                    let due = this.due(&mut work, &name, before_ns);
                    if due.is_err() {
                        // What was waiting may be lost.
                        work.progress.begin_again();
                    }
                    Ok::<_, StoreError>((work, due?))
                });
                let (_work, due) = looking.await.map_err(|_| crate::sequencer::Stopped)??;
                if due.plan.leaves() > 0 {
                    leaves += due.plan.leaves();
                    let reason = json!({
                        "reason": "retention", "class": class, "keep_days": days,
                        "backups": backups
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

    /// Looks for what came late up to the newest leaf, in steps between which orders get their turn.
    async fn look_ahead(self: &Arc<Self>) -> Result<(), OrderError> {
        loop {
            let mut work = Arc::clone(&self.work).lock_owned().await;
            let this = Arc::clone(self);
            let looking = tokio::task::spawn_blocking(move || {
                work.progress.late.look(&*this.store, AHEAD_AT_ONCE)
            });
            if looking.await.map_err(|_| crate::sequencer::Stopped)?? {
                return Ok(());
            }
        }
    }

    /// The next units of a class that are due; moves on to what may be due after them.
    fn due(&self, work: &mut Work, class: &str, before_ns: u64) -> Result<Due, StoreError> {
        let Work { holds, progress } = work;
        let Progress { classes, late } = progress;
        late.look(&*self.store, u64::MAX)?;
        let end = first_at_or_after(&*self.store, before_ns)?;
        let of_class = classes.entry(class.to_owned()).or_default();
        let waiting = std::mem::take(&mut of_class.waiting);
        let has_room = waiting.values().map(|unit| unit.leaves.len()).sum::<usize>() < MAX_WAITING;
        let with_principals = holds.need_principals();
        let gather = Gather { store: &*self.store, wanted: None, with_principals };
        let until = if has_room { end.max(of_class.next) } else { of_class.next };
        let (units, stopped) = gather.more(waiting, of_class.next..until, MAX_LEAVES)?;
        let mut ended = Ended::of(self);
        let mut over = Vec::new();
        for (key, unit) in units {
            let is_of_class = self.retention.class_of(unit.server.as_deref()) == Some(class);
            if !is_of_class && unit.server.is_some() {
                continue;
            }
            if !self.is_over((&key, &unit), stopped, late, &mut ended)? {
                of_class.waiting.insert(key, unit);
            } else if is_of_class && holds.on([&unit], &self.retention).is_empty() {
                over.push((key, unit));
            }
        }
        let (taken, left) = fitting(over, MAX_LEAVES);
        let is_all = left.is_empty();
        of_class.waiting.extend(left);
        of_class.next = stopped;
        tell(class, before_ns, &of_class.waiting);
        // A class that was not looked at yet asks from the first leaf on.
        let next = |class: &str| classes.get(class).map_or(0, |of_class| of_class.next);
        let behind = self.retention.due(0).map(|(class, ..)| next(class)).min();
        let behind = behind.unwrap_or_default();
        late.forget_before(behind);
        let is_last = is_all && (stopped >= end || (!has_room && taken.is_empty()));
        Ok(Due { plan: Plan::new(taken, 0), is_last })
    }

    /// All leaves of the unit are before `end`.
    fn is_over(
        &self,
        (key, unit): (&KeyId, &Unit),
        end: u64,
        late: &Late,
        ended: &mut Ended<'_>,
    ) -> Result<bool, StoreError> {
        if unit.is_closed && !late.reaches(key, end) {
            return Ok(true);
        }
        let Some(epoch) = unit.epoch else { return Ok(false) };
        let head = self.registry.head_of(&unit.recorder_id, epoch);
        Ok(head.is_some_and(|head| head.0 < end) && ended.has(unit)?)
    }
}

/// Units, the oldest first, that fit into one commit, at least one; and the rest.
fn fitting(mut units: Vec<(KeyId, Unit)>, most: usize) -> (Vec<(KeyId, Unit)>, Units) {
    units.sort_by_key(|(_, unit)| unit.leaves.first().map(|leaf| leaf.index));
    let mut leaves = 0;
    let fit = units.iter().take_while(|(_, unit)| {
        leaves += unit.leaves.len();
        leaves <= most
    });
    let fit = fit.count().max(1).min(units.len());
    let rest = units.split_off(fit);
    (units, rest.into_iter().collect())
}

/// How long the oldest leaf of a class is overdue that waits for the end of its exchange.
fn tell(class: &str, before_ns: u64, waiting: &Units) {
    let oldest = waiting.values().map(|unit| unit.oldest_ns).min();
    let overdue_ns = oldest.map_or(0, |oldest| before_ns.saturating_sub(oldest));
    metrics::gauge!("exhibit_ledger_retention_overdue_seconds", "class" => class.to_owned())
        .set(std::time::Duration::from_nanos(overdue_ns).as_secs_f64());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erase::unit::Disclosing;
    use tlog::Hash;

    fn unit(from: u64, leaves: u64) -> (KeyId, Unit) {
        let leaf = |index| Disclosing {
            index: LeafIndex(index),
            hash: Hash([0; 32]),
            event_id: bytes::Bytes::new(),
            slots: vec![2],
        };
        let leaves = (from..from + leaves).map(leaf).collect();
        ([u8::try_from(from).unwrap(); 16], Unit { leaves, ..Unit::default() })
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_commit() {
        let first =
            |units: &[(KeyId, Unit)]| units.iter().map(|(key, _)| key[0]).collect::<Vec<_>>();
        let (taken, rest) = fitting(vec![unit(20, 3), unit(0, 2), unit(10, 4)], 6);
        assert_eq!((first(&taken), rest.len()), (vec![0, 10], 1));
        // One that is larger than all goes alone: it has one key.
        let (taken, rest) = fitting(vec![unit(20, 3), unit(0, 9)], 6);
        assert_eq!((first(&taken), rest.len()), (vec![0], 1));
        assert!(fitting(Vec::new(), 6).0.is_empty());
    }
}
