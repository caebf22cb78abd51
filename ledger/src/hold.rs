//! Legal holds: what may not be erased, whoever asks.
//!
//! The store keeps of each hold its id and the leaf of its HoldPlaced event. What it covers stands in that leaf's SUBJECT
//! disclosure, sealed as every other, and is never erased. A hold that cannot be read keeps everything from being erased, and
//! nothing from being recorded; it is listed, and two people release it as any other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proto::decode_entry;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::Slot;
use serde_json::{Value, json};
use tlog::LeafIndex;

use crate::erase::scope::{Conditions, Scope};
use crate::erase::unit::Unit;
use crate::health::Troubles;
use crate::retention::Retention;
use crate::store::{Store, StoreError};

/// Most holds at once.
pub(crate) const MAX_HOLDS: usize = 10_000;

/// As `/readyz` names it.
const DAMAGED: &str = "legal holds";

/// All holds that are in force.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    held: BTreeMap<Id, Held>,
    /// Those of which nobody can tell what they keep, and why.
    damaged: BTreeMap<Id, String>,
    /// Why nobody can tell which there are.
    unlisted: Option<String>,
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
    /// Reads them from the store. What cannot be read, for whatever reason, is [`damage`](Self::damage).
    pub(crate) fn load(store: &dyn Store) -> Self {
        let mut holds = Self::default();
        let listed = store.holds().unwrap_or_else(|error| {
            tracing::error!(%error, "the list of legal holds cannot be read");
            holds.unlisted = Some("their list cannot be read, the ledger's log says why".into());
            Vec::new()
        });
        for (id, index) in listed {
            match read(store, id, index) {
                Ok(held) => _ = holds.held.insert(id, held),
                Err(why) => _ = holds.damaged.insert(id, why),
            }
        }
        holds
    }

    /// What is wrong with one of them, if anything. Nothing may be erased then: nobody can tell what it keeps.
    pub(crate) fn damage(&self) -> Option<String> {
        let damaged = || {
            let (id, why) = self.damaged.first_key_value()?;
            let others = match self.damaged.len() {
                1 => String::new(),
                all => format!(", and {} more", all - 1),
            };
            Some(format!("hold {id}: {why}{others}"))
        };
        self.unlisted.clone().or_else(damaged)
    }

    /// Warns as long as one cannot be read.
    pub(crate) fn tell(&self, troubles: &Troubles) {
        let Some(why) = self.damage() else { return troubles.is_over(DAMAGED) };
        let why = format!(
            "{why}. Nothing is erased while one that cannot be read is in force: `exhibit hold list` shows it, and what to do \
             stands in docs/ledger.md, \"A hold that cannot be read\""
        );
        troubles.report(DAMAGED, &why);
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len() + self.damaged.len()
    }

    pub(crate) fn contains(&self, id: Id) -> bool {
        self.held.contains_key(&id) || self.damaged.contains_key(&id)
    }

    /// All of one, as JSON; of one that cannot be read its id, and why.
    pub(crate) fn told(&self, id: Id) -> Option<Value> {
        let damaged = |why: &String| json!({ "hold": id.to_string(), "damaged": why });
        let held = self.held.get(&id).map(|held| held.told(id));
        held.or_else(|| self.damaged.get(&id).map(damaged))
    }

    /// The same of each.
    pub(crate) fn all_told(&self) -> Value {
        let ids: BTreeSet<Id> = self.held.keys().chain(self.damaged.keys()).copied().collect();
        ids.into_iter().filter_map(|id| self.told(id)).collect()
    }

    pub(crate) fn place(&mut self, id: Id, held: Held) {
        self.held.insert(id, held);
    }

    pub(crate) fn release(&mut self, id: Id) {
        self.held.remove(&id);
        self.damaged.remove(&id);
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

/// What the HoldPlaced event at a leaf says.
///
/// # Errors
/// Why nobody can tell, in words for people who know nothing of this machine.
pub(crate) fn read(store: &dyn Store, id: Id, index: Option<LeafIndex>) -> Result<Held, String> {
    let Some(index) = index else {
        return Err("its record does not say which entry placed it".to_owned());
    };
    let entry = format!("entry {}", index.0);
    let failed = |error: StoreError| {
        tracing::error!(hold = %id, %error, "a legal hold cannot be read");
        format!("{entry}, which placed it, cannot be read; the ledger's log says why")
    };
    let stored = store.entries(index, 1, 0).map_err(failed)?;
    let Some(leaf) = stored.first().and_then(|stored| decode_entry(stored).ok()) else {
        return Err(format!("{entry}, which should have placed it, is not there"));
    };
    if !matches!(&leaf.event.kind, Some(Kind::HoldPlaced(hold)) if hold.hold_id == id.0[..]) {
        return Err(format!("{entry}, which should have placed it, did not"));
    }
    let (openings, _) = store.openings(index, LeafIndex(index.0 + 1), 0).map_err(failed)?;
    let disclosed = |slot: Slot| {
        let opening = openings.iter().find(|(_, opening)| opening.slot == i32::from(slot));
        opening.map(|(_, opening)| &opening.content[..]).unwrap_or_default()
    };
    let scope: Option<Scope> = serde_json::from_slice(disclosed(Slot::Subject)).ok();
    let conditions = scope.and_then(|scope| scope.check().ok());
    let conditions = conditions.ok_or_else(|| {
        format!("the SUBJECT of {entry}, which says what it keeps, does not open")
    })?;
    // Who and why is not needed to keep what is held.
    let said = serde_json::from_slice(disclosed(Slot::Reason)).unwrap_or_default();
    Ok(Held { conditions, said, placed_at_ns: leaf.recorded_at_ns })
}
