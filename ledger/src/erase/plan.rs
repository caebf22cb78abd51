//! What an order would erase, and why it may not.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::ended::Ended;
use super::order::{OrderError, Task};
use super::scope::Conditions;
use super::unit::{Gather, MAX_LEAVES, Unit};
use super::{Erasures, Work, Working};
use crate::vault::KeyId;

/// Units that are gathered to see which of them an order takes: open ones, and such as reach beyond its times, are among them
/// and count for nothing.
const MAX_GATHERED: usize = 4 * MAX_LEAVES;
/// Keys that are counted: 16 bytes each.
const MAX_COUNTED: usize = 1_000_000;

/// Units that may be erased, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) units: Vec<(KeyId, Unit)>,
    /// Exchanges that are left out because they are still open.
    pub(super) open: usize,
    /// No leaf before this, but theirs, is sealed under their keys.
    pub(super) looked_to: u64,
}

impl Plan {
    pub(super) fn new(mut units: Vec<(KeyId, Unit)>, open: usize, looked_to: u64) -> Self {
        units.sort_by_key(|(_, unit)| unit.first);
        Self { units, open, looked_to }
    }

    /// Leaves that disclose something; of a unit of which all is lost, these.
    pub(super) fn leaves(&self) -> usize {
        let left = |unit: &Unit| if unit.leaves == 0 { unit.lost } else { unit.leaves };
        self.units.iter().map(|(_, unit)| left(unit)).sum()
    }

    pub(super) fn told(&self) -> Value {
        let disclosures: usize = self.units.iter().map(|(_, unit)| unit.disclosures).sum();
        json!({
            "keys": self.units.len(), "leaves": self.leaves(), "disclosures": disclosures,
            "open_exchanges": self.open
        })
    }
}

/// What a scope points at.
struct Candidates {
    keys: HashSet<KeyId>,
    /// All of it was looked at.
    is_complete: bool,
    /// Leaves in the scope whose disclosures are erased already.
    erased: usize,
}

impl Erasures {
    /// Plans an erasure on a thread for blocking work, and hands the guard back.
    ///
    /// # Errors
    /// [`OrderError`]: why it may not be.
    pub(super) async fn plan(
        self: &Arc<Self>,
        work: Working,
        task: &Task,
    ) -> Result<(Working, Plan), OrderError> {
        let Task::Erase(conditions) = task else { return Err(OrderError::Nothing) };
        let (this, conditions) = (Arc::clone(self), conditions.clone());
        let planning = tokio::task::spawn_blocking(move || {
            let plan = this.plan_within(&work, &conditions)?;
            Ok((work, plan))
        });
        planning.await.map_err(|_| crate::sequencer::Stopped)?
    }

    /// How many exchanges, and events outside of any, a hold would keep of what is there now; at most
    /// [`MAX_COUNTED`] are counted. None when the store cannot be read: a hold is placed all the same.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(super) async fn covered(
        self: &Arc<Self>,
        conditions: &Conditions,
    ) -> Result<Option<usize>, OrderError> {
        let (this, conditions) = (Arc::clone(self), conditions.clone());
        let counting = tokio::task::spawn_blocking(move || {
            let end = this.store.head()?.map_or(0, |head| head.size.0);
            Ok::<_, OrderError>(this.candidates(&conditions, end, MAX_COUNTED)?.keys.len())
        });
        match counting.await.map_err(|_| crate::sequencer::Stopped)? {
            Err(OrderError::Store(error)) => {
                tracing::error!(%error, "what a hold covers could not be counted");
                Ok(None)
            }
            counted => counted.map(Some),
        }
    }

    fn plan_within(&self, work: &Work, conditions: &Conditions) -> Result<Plan, OrderError> {
        self.check_class(conditions)?;
        work.check_holds()?;
        let end = self.store.head()?.map_or(0, |head| head.size.0);
        let candidates = self.candidates(conditions, end, MAX_GATHERED)?;
        if !candidates.is_complete {
            return Err(OrderError::TooLarge { before_ns: None });
        }
        let with_principals = conditions.needs_principal() || work.holds.need_principals();
        let wanted = Some(&candidates.keys);
        let gather = Gather { store: &*self.store, wanted, with_principals };
        let units = gather.units(0..end)?;
        let mut ended = Ended::of(self);
        let (mut taken, mut open) = (Vec::new(), 0);
        for (key, unit) in units {
            if !conditions.take(&unit, self.retention.class_of(unit.server.as_deref())) {
                continue;
            }
            if unit.is_closed || ended.has(&unit)? {
                taken.push((key, unit));
            } else {
                open += 1;
            }
        }
        if taken.is_empty() {
            return Err(match (open, candidates.erased) {
                (0, 0) => OrderError::Nothing,
                (0, erased) => OrderError::AlreadyErased(erased),
                (open, _) => OrderError::Open(open),
            });
        }
        let plan = Plan::new(taken, open, end);
        check_size(&plan, MAX_LEAVES)?;
        for (_, unit) in &plan.units {
            let class = self.retention.class_of(unit.server.as_deref());
            if let Some(class) = class.filter(|class| self.retention.forbids_erasure(class)) {
                return Err(OrderError::ClassForbids(class.to_owned()));
            }
        }
        let holds = work.holds.on(plan.units.iter().map(|(_, unit)| unit), &self.retention);
        if holds.is_empty() {
            return Ok(plan);
        }
        let mut holds: Vec<_> = holds.iter().map(ToString::to_string).collect();
        holds.sort();
        Err(OrderError::Held(holds))
    }

    /// The keys of units of which a leaf is within the scope, about `most` at most.
    fn candidates(
        &self,
        conditions: &Conditions,
        end: u64,
        most: usize,
    ) -> Result<Candidates, OrderError> {
        let with_principals = conditions.needs_principal();
        let gather = Gather { store: &*self.store, wanted: None, with_principals };
        let (mut keys, mut erased) = (HashSet::new(), 0);
        let stopped = gather.each(0..end, &mut |seen| {
            let class = |server: Option<&str>| self.retention.class_of(server);
            if !seen.leaf.event.disclosures.is_empty() && conditions.point_at(&seen, class) {
                if seen.slots.is_empty() && !seen.is_lost {
                    erased += 1;
                } else {
                    keys.insert(seen.key);
                }
            }
            keys.len() <= most
        })?;
        Ok(Candidates { keys, is_complete: stopped >= end, erased })
    }

    /// # Errors
    /// [`OrderError::Unusable`] when the scope names a class that is none.
    pub(super) fn check_class(&self, conditions: &Conditions) -> Result<(), OrderError> {
        let Some(class) = &conditions.scope().class else { return Ok(()) };
        if self.retention.has(class) {
            return Ok(());
        }
        let message = match self.retention.names() {
            names if names.is_empty() => "the ledger's configuration has no retention class".into(),
            names => format!("there is no class {class:?}; there are {names}"),
        };
        Err(OrderError::Unusable(message))
    }
}

/// An erasure is one commit, but of one exchange; what is larger is told how much of it fits.
fn check_size(plan: &Plan, most: usize) -> Result<(), OrderError> {
    // One exchange has one key, however large it is.
    if plan.leaves() <= most || plan.units.len() == 1 {
        return Ok(());
    }
    let mut units: Vec<_> = plan.units.iter().map(|(_, unit)| unit).collect();
    units.sort_by_key(|unit| unit.newest_ns);
    let mut leaves = 0;
    let fitting = units.iter().take_while(|unit| {
        leaves += unit.leaves;
        leaves <= most
    });
    let before_ns = fitting.last().map(|unit| unit.newest_ns + 1);
    Err(OrderError::TooLarge { before_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(newest_ns: u64, leaves: usize) -> (KeyId, Unit) {
        ([0; 16], Unit { newest_ns, leaves, ..Unit::default() })
    }

    #[test]
    fn what_is_too_large_is_told_how_much_of_it_fits() {
        let plan = Plan::new(vec![unit(30, 4), unit(10, 3), unit(20, 2)], 0, 0);
        assert!(check_size(&plan, 9).is_ok());
        let before = |most| match check_size(&plan, most) {
            Err(OrderError::TooLarge { before_ns }) => before_ns,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [before(8), before(5), before(4), before(2)],
            [Some(21), Some(21), Some(11), None]
        );
        // One exchange has one key: however large it is, it goes alone.
        assert!(check_size(&Plan::new(vec![unit(30, 400)], 0, 0), 9).is_ok());
    }
}
