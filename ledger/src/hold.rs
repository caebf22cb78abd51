//! Legal holds: what may not be erased, whoever asks.
//!
//! The store keeps of each hold its id and the leaf of its HoldPlaced event. What it covers stands in that leaf's SUBJECT
//! disclosure, sealed as every other, and is never erased while the hold is there.

use std::collections::{BTreeMap, HashSet};

use proto::decode_entry;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::Slot;
use tlog::LeafIndex;

use crate::erase::scope::{Conditions, Scope};
use crate::erase::unit::Unit;
use crate::retention::Retention;
use crate::store::{Store, StoreError};

/// Most holds at once.
pub(crate) const MAX_HOLDS: usize = 10_000;

/// All holds that are in force.
#[derive(Debug, Default)]
pub(crate) struct Holds(BTreeMap<Id, Conditions>);

impl Holds {
    /// Reads them from the store.
    ///
    /// # Errors
    /// [`StoreError`]; a hold that cannot be read is damage, for nothing may be erased against it.
    pub(crate) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut holds = BTreeMap::new();
        for (id, index) in store.holds()? {
            let conditions = conditions(store, id, index)?;
            let damaged = || StoreError::Damaged(format!("hold {id} does not say what it covers"));
            holds.insert(id, conditions.ok_or_else(damaged)?);
        }
        Ok(Self(holds))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        self.0.contains_key(&id)
    }

    pub(crate) fn place(&mut self, id: Id, conditions: Conditions) {
        self.0.insert(id, conditions);
    }

    pub(crate) fn release(&mut self, id: Id) {
        self.0.remove(&id);
    }

    /// Id and scope of each.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Id, &Scope)> {
        self.0.iter().map(|(id, conditions)| (*id, conditions.scope()))
    }

    /// Whether disclosures must be opened to tell what is held.
    pub(crate) fn need_principals(&self) -> bool {
        self.0.values().any(Conditions::needs_principal)
    }

    /// The holds that keep any of the units.
    pub(crate) fn on<'u>(
        &self,
        units: impl IntoIterator<Item = &'u Unit>,
        retention: &Retention,
    ) -> HashSet<Id> {
        let mut found = HashSet::new();
        for unit in units {
            let class = retention.class_of(unit.server.as_deref());
            let touching = self.0.iter().filter(|(_, hold)| hold.touch(unit, class));
            found.extend(touching.map(|(id, _)| *id));
        }
        found
    }
}

/// What the HoldPlaced event at a leaf covers; `None` when it is none of this id.
fn conditions(
    store: &dyn Store,
    id: Id,
    index: LeafIndex,
) -> Result<Option<Conditions>, StoreError> {
    let entry = store.entries(index, 1, 0)?;
    let Some(leaf) = entry.first().and_then(|entry| decode_entry(entry).ok()) else {
        return Ok(None);
    };
    let is_placed =
        matches!(&leaf.event.kind, Some(Kind::HoldPlaced(hold)) if hold.hold_id == id.0[..]);
    let (openings, _) = store.openings(index, LeafIndex(index.0 + 1), 0)?;
    let subject = openings.iter().find(|(_, opening)| opening.slot == Slot::Subject as i32);
    let scope = subject.and_then(|(_, opening)| serde_json::from_slice(&opening.content).ok());
    Ok(scope.filter(|_| is_placed).and_then(|scope: Scope| scope.check().ok()))
}
