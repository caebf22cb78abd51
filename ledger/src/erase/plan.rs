//! What an order would erase, and why it may not.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::order::{OrderError, Task};
use super::scope::Conditions;
use super::unit::{Gather, MAX_LEAVES, Unit};
use super::{Erasures, Work, Working};
use crate::vault::KeyId;

/// Units that may be erased, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) units: Vec<(KeyId, Unit)>,
    /// Exchanges that are left out because they are still open.
    pub(super) open: usize,
}

impl Plan {
    pub(super) fn new(mut units: Vec<(KeyId, Unit)>, open: usize) -> Self {
        units.sort_by_key(|(_, unit)| unit.leaves.first().map(|leaf| leaf.index));
        Self { units, open }
    }

    pub(super) fn leaves(&self) -> usize {
        self.units.iter().map(|(_, unit)| unit.leaves.len()).sum()
    }

    pub(super) fn told(&self) -> Value {
        let leaves = || self.units.iter().flat_map(|(_, unit)| &unit.leaves);
        let disclosures: usize = leaves().map(|leaf| leaf.slots.len()).sum();
        json!({
            "keys": self.units.len(), "leaves": leaves().count(), "disclosures": disclosures,
            "open_exchanges": self.open
        })
    }
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

    fn plan_within(&self, work: &Work, conditions: &Conditions) -> Result<Plan, OrderError> {
        self.check_class(conditions)?;
        let end = self.store.head()?.map_or(0, |head| head.size.0);
        let keys = self.candidates(conditions, end)?;
        let with_principals = conditions.needs_principal() || work.holds.need_principals();
        let gather = Gather { store: &*self.store, wanted: Some(&keys), with_principals };
        let (units, stopped) = gather.units(0..end)?;
        if stopped < end {
            return Err(OrderError::TooLarge);
        }
        let is_taken =
            |unit: &Unit| conditions.take(unit, self.retention.class_of(unit.server.as_deref()));
        let (open, taken): (Vec<_>, Vec<_>) = units
            .into_iter()
            .filter(|(_, unit)| is_taken(unit))
            .partition(|(_, unit)| self.is_open(unit));
        if taken.is_empty() {
            return Err(match open.len() {
                0 => OrderError::Nothing,
                open => OrderError::Open(open),
            });
        }
        let plan = Plan::new(taken, open.len());
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

    /// The keys of units of which a leaf is within the scope.
    fn candidates(&self, conditions: &Conditions, end: u64) -> Result<HashSet<KeyId>, OrderError> {
        let with_principals = conditions.needs_principal();
        let gather = Gather { store: &*self.store, wanted: None, with_principals };
        let mut keys = HashSet::new();
        let stopped = gather.each(0..end, &mut |seen| {
            let class = |server: Option<&str>| self.retention.class_of(server);
            if !seen.slots.is_empty() && conditions.point_at(&seen, class) {
                keys.insert(seen.key);
            }
            keys.len() <= MAX_LEAVES
        })?;
        if stopped < end { Err(OrderError::TooLarge) } else { Ok(keys) }
    }

    /// An event may follow under the same key: messages may pass on a stream after the answer, until its epoch ends.
    fn is_open(&self, unit: &Unit) -> bool {
        let has_ended = |epoch| self.registry.has_ended(&unit.recorder_id, epoch);
        unit.exchange.is_some() && !unit.epoch.is_some_and(has_ended)
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
