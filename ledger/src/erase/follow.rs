//! How far retention has followed each class, and what of it is due.
//!
//! Each class is followed from the first leaf on, up to what is old enough. What is not over by then waits apart, by what is
//! known of it, and everything behind it goes on: its later leaves are added as they grow old.

use std::collections::{BTreeMap, HashSet};

use super::ended::Ended;
use super::late::Late;
use super::plan::Plan;
use super::times::first_at_or_after;
use super::unit::{Gather, MAX_LEAVES, Unit, Units};
use super::{Erasures, Work};
use crate::store::{Leaves, Store, StoreError};
use crate::vault::KeyId;

/// Units of a class that wait, some hundred bytes each. While there are more, only their ends are looked for.
const MAX_WAITING: usize = 200_000;

/// How far retention has come. It stands in memory: after a restart all of it is looked at again.
#[derive(Debug)]
pub(super) struct Progress {
    classes: BTreeMap<String, OfClass>,
    late: Late,
    /// Units of a class that may wait.
    room: usize,
}

impl Default for Progress {
    fn default() -> Self {
        Self { classes: BTreeMap::new(), late: Late::default(), room: MAX_WAITING }
    }
}

#[derive(Debug, Default)]
struct OfClass {
    /// Leaves before this were looked at.
    next: u64,
    /// Units that are not over, as far as they were looked at, and some that are and did not fit.
    waiting: Units,
}

/// A part of what is due.
pub(super) struct Due {
    pub(super) plan: Plan,
    /// Nothing more is due now.
    pub(super) is_last: bool,
    /// So many units wait for the end of their exchange that nothing behind them is looked at.
    pub(super) is_full: bool,
    /// How long the oldest leaf is overdue that waits.
    pub(super) overdue_ns: u64,
}

impl Progress {
    /// What is held has changed, and with it what must be known of that which waits; or something went wrong: all is looked at
    /// again, what came late as well, for of that only as much is known as was still needed.
    pub(super) fn begin_again(&mut self) {
        *self = Self { room: self.room, ..Self::default() };
    }

    /// These keys are destroyed.
    pub(super) fn forget<'k>(&mut self, keys: impl IntoIterator<Item = &'k KeyId>) {
        for key in keys {
            for class in self.classes.values_mut() {
                class.waiting.remove(key);
            }
        }
    }

    /// Looks for what came late in the next leaves, `most` of them at most; whether that was all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn look_ahead(&mut self, store: &dyn Store, most: u64) -> Result<bool, StoreError> {
        self.late.look(store, most)
    }

    /// Up to where every one of these classes was followed.
    fn followed<'c>(&self, classes: impl Iterator<Item = &'c str>) -> u64 {
        let next = |class: &str| self.classes.get(class).map_or(0, |of_class| of_class.next);
        classes.map(next).min().unwrap_or_default()
    }
}

impl Erasures {
    /// The next units of a class that are due; moves on to what may be due after them.
    pub(super) fn due(
        &self,
        work: &mut Work,
        class: &str,
        before_ns: u64,
    ) -> Result<Due, StoreError> {
        let Work { holds, progress, .. } = work;
        let Progress { classes, late, room } = &mut *progress;
        late.look(&*self.store, u64::MAX)?;
        let of_class = classes.entry(class.to_owned()).or_default();
        let end = first_at_or_after(&*self.store, before_ns)?.max(of_class.next);
        let known = std::mem::take(&mut of_class.waiting);
        let is_full = known.len() >= *room;
        let gather =
            Gather { store: &*self.store, wanted: None, with_principals: holds.need_principals() };
        let mut ahead = Units::new();
        let (units, stopped) = if is_full {
            ahead = later(&gather, &known, of_class.next..end)?;
            (known, of_class.next)
        } else {
            gather.more(known, of_class.next..end, MAX_LEAVES)?
        };
        let seen_to = if is_full { end } else { stopped };
        let mut ended = Ended::of(self);
        let (mut over, mut as_followed) = (Vec::new(), Units::new());
        for (key, unit) in units {
            let whole = ahead.remove(&key).map(|later| unit.clone().joined(later));
            let judged = whole.as_ref().unwrap_or(&unit);
            let is_of_class = self.retention.class_of(judged.server.as_deref()) == Some(class);
            if !is_of_class && judged.server.is_some() {
                continue;
            }
            if !self.is_over((&key, judged), seen_to, late, &mut ended)? {
                of_class.waiting.insert(key, unit);
            } else if is_of_class && holds.on([judged], &self.retention).is_empty() {
                over.push(match whole {
                    None => (key, unit),
                    Some(whole) => {
                        as_followed.insert(key, unit);
                        (key, whole)
                    }
                });
            }
        }
        let (taken, left) = fitting(over, MAX_LEAVES);
        let is_all = left.is_empty();
        // Without what stands ahead of where the class was followed to: that is read again.
        let followed = |(key, unit): (KeyId, Unit)| (key, as_followed.remove(&key).unwrap_or(unit));
        of_class.waiting.extend(left.into_iter().map(followed));
        of_class.next = stopped;
        let oldest_ns = of_class.waiting.values().map(|unit| unit.oldest_ns).min();
        let overdue_ns = oldest_ns.map_or(0, |oldest| before_ns.saturating_sub(oldest));
        let looked_to = late.looked_to();
        // Of every class that is ever erased, also those that were not followed yet.
        let followed = progress.followed(self.retention.due(0).map(|(name, ..)| name));
        progress.late.forget_before(followed);
        let is_stuck = is_full && taken.is_empty();
        let is_last = is_all && (stopped >= end || is_stuck);
        Ok(Due { plan: Plan::new(taken, 0, looked_to), is_last, is_full: is_stuck, overdue_ns })
    }

    /// Of the unit every leaf before `end` is known.
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

#[cfg(test)]
impl Erasures {
    /// Another bound of the units that wait.
    pub(crate) async fn with_room(&self, room: usize) {
        self.work.lock().await.progress.room = room;
    }
}

/// What stands in a range of units that are known already. For others there is no room.
fn later(gather: &Gather<'_>, known: &Units, leaves: Leaves) -> Result<Units, StoreError> {
    let wanted: HashSet<KeyId> = known.keys().copied().collect();
    let Gather { store, with_principals, .. } = *gather;
    let mut found = Units::new();
    let ahead = Gather { store, wanted: Some(&wanted), with_principals };
    ahead.each(leaves, &mut |seen| {
        if wanted.contains(&seen.key) {
            found.entry(seen.key).or_default().add(seen);
        }
        true
    })?;
    Ok(found)
}

/// Units, the oldest first, that fit into one commit, at least one; and the rest.
fn fitting(mut units: Vec<(KeyId, Unit)>, most: usize) -> (Vec<(KeyId, Unit)>, Units) {
    units.sort_by_key(|(_, unit)| unit.first);
    let mut leaves = 0;
    let fit = units.iter().take_while(|(_, unit)| {
        leaves += unit.leaves;
        leaves <= most
    });
    let fit = fit.count().max(1).min(units.len());
    let rest = units.split_off(fit);
    (units, rest.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(first: u64, leaves: usize) -> (KeyId, Unit) {
        ([u8::try_from(first).unwrap(); 16], Unit { first, leaves, ..Unit::default() })
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

    /// Break it: let `followed` look at those classes alone that were followed already.
    #[test]
    fn a_class_that_was_not_followed_yet_holds_back_what_may_be_forgotten() {
        let mut progress = Progress::default();
        progress.classes.insert("a".to_owned(), OfClass { next: 9, ..OfClass::default() });
        assert_eq!(progress.followed(["a"].into_iter()), 9);
        assert_eq!(progress.followed(["a", "b"].into_iter()), 0);
        progress.begin_again();
        assert_eq!(progress.followed(["a"].into_iter()), 0);
    }
}
