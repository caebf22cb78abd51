//! Legal holds: what may not be erased, whoever asks.
//!
//! The store keeps of each hold its id and the leaf of its HoldPlaced event. What it covers stands in that leaf's SUBJECT
//! disclosure, sealed as every other, and is never erased while the hold is there. A hold that cannot be read keeps
//! everything from being erased, and nothing from being recorded.

use std::collections::{BTreeMap, HashSet};

use proto::decode_entry;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::Slot;
use serde_json::{Value, json};
use tlog::LeafIndex;

use crate::erase::scope::{Conditions, Scope};
use crate::erase::unit::Unit;
use crate::retention::Retention;
use crate::store::{Store, StoreError};

/// Most holds at once.
pub(crate) const MAX_HOLDS: usize = 10_000;

/// All holds that are in force.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    held: BTreeMap<Id, Held>,
    /// Why it is not known what all of them keep.
    damage: Option<String>,
}

/// One hold.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) conditions: Conditions,
    /// Its REASON disclosure: why, who asked, who approved, how much it covered then.
    pub(crate) said: Value,
    /// Unix ns.
    pub(crate) placed_at_ns: u64,
}

impl Held {
    /// All of it, as JSON.
    pub(crate) fn told(&self, id: Id) -> Value {
        let mut told = json!({
            "hold": id.to_string(), "scope": self.conditions.scope(),
            "placed_at_ns": self.placed_at_ns
        });
        for field in ["reason", "asked_by", "approved_by", "covers"] {
            if let Some(said) = self.said.get(field) {
                told[field] = said.clone();
            }
        }
        told
    }
}

impl Holds {
    /// Reads them from the store.
    ///
    /// # Errors
    /// [`StoreError`], but not for damage: see [`damage`](Self::damage).
    pub(crate) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut holds = Self::default();
        let listed = match store.holds() {
            Err(StoreError::Damaged(reason)) => {
                holds.damage = Some(reason);
                Vec::new()
            }
            listed => listed?,
        };
        for (id, index) in listed {
            let why = match held(store, id, index) {
                Ok(Some(held)) => {
                    holds.held.insert(id, held);
                    continue;
                }
                Ok(None) => "its leaf does not say what it covers".to_owned(),
                Err(StoreError::Damaged(reason)) => reason,
                Err(error) => return Err(error),
            };
            holds.damage.get_or_insert(format!("hold {id}: {why}"));
        }
        Ok(holds)
    }

    /// What is wrong with one of them. Nothing may be erased then: nobody can tell what it keeps.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        self.held.contains_key(&id)
    }

    pub(crate) fn find(&self, id: Id) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(crate) fn place(&mut self, id: Id, held: Held) {
        self.held.insert(id, held);
    }

    pub(crate) fn release(&mut self, id: Id) {
        self.held.remove(&id);
    }

    /// Each with its id.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Id, &Held)> {
        self.held.iter().map(|(id, held)| (*id, held))
    }

    /// Whether disclosures must be opened to tell what is held.
    pub(crate) fn need_principals(&self) -> bool {
        self.held.values().any(|held| held.conditions.needs_principal())
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
            let touching = self.held.iter().filter(|(_, hold)| hold.conditions.touch(unit, class));
            found.extend(touching.map(|(id, _)| *id));
        }
        found
    }
}

/// What the HoldPlaced event at a leaf says; `None` when it is none of this id.
fn held(store: &dyn Store, id: Id, index: LeafIndex) -> Result<Option<Held>, StoreError> {
    let entry = store.entries(index, 1, 0)?;
    let Some(leaf) = entry.first().and_then(|entry| decode_entry(entry).ok()) else {
        return Ok(None);
    };
    let is_placed =
        matches!(&leaf.event.kind, Some(Kind::HoldPlaced(hold)) if hold.hold_id == id.0[..]);
    let (openings, _) = store.openings(index, LeafIndex(index.0 + 1), 0)?;
    let disclosed = |slot: Slot| {
        let opening = openings.iter().find(|(_, opening)| opening.slot == i32::from(slot));
        opening.map(|(_, opening)| &opening.content[..]).unwrap_or_default()
    };
    let scope: Option<Scope> = serde_json::from_slice(disclosed(Slot::Subject)).ok();
    let conditions = scope.filter(|_| is_placed).and_then(|scope| scope.check().ok());
    // Who and why is not needed to keep what is held.
    let said = serde_json::from_slice(disclosed(Slot::Reason)).unwrap_or_default();
    let placed_at_ns = leaf.recorded_at_ns;
    Ok(conditions.map(|conditions| Held { conditions, said, placed_at_ns }))
}
