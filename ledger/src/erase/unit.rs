//! What is erased together: the leaves whose disclosures one key seals.

use std::collections::{HashMap, HashSet};

use proto::decode_entry;
use proto::entry::Leaf;
use proto::ids::Id;
use proto::kind::{closes_exchange, is_alone};
use proto::v1::{Event, Slot};
use tlog::{Hash, LeafIndex, leaf_hash};

use super::kinds::{may_be_erased, server_of};
use crate::store::{Leaves, Store, StoreError, StoredKey};
use crate::vault::{self, KeyId};

/// Most leaves that one commit erases: 12 MiB, in which nobody else can append. Only an exchange that is larger alone is
/// erased in several commits.
pub(crate) const MAX_LEAVES: usize = 50_000;

/// Entries read at once, and about how many bytes of them.
const ENTRIES_AT_ONCE: u64 = 1_024;
const BYTES_AT_ONCE: usize = 4 << 20;

/// Persons, and sessions, that are remembered of one unit; one with more of them may be about anybody, or of any.
const MAX_NAMED: usize = 64;

/// What is known of the leaves of one key that still disclose something: an exchange, or one event outside of all. The leaves
/// themselves are read when they are erased: an exchange may have any number of them, and wait for long.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unit {
    /// Its first and its last leaf, as far as they are known.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// How many leaves disclose something, and in how many slots.
    pub(crate) leaves: usize,
    pub(crate) disclosures: usize,
    /// Leaves of which nothing is stored any more, though no erasure took it with the key.
    pub(crate) lost: usize,
    /// Times of the first and the last leaf, those without disclosures too.
    pub(crate) oldest_ns: u64,
    pub(crate) newest_ns: u64,
    pub(crate) exchange: Option<Id>,
    pub(crate) sessions: Vec<Id>,
    /// There are more than are remembered: it may be of any.
    pub(crate) has_more_sessions: bool,
    /// Issuer and subject of each principal that was opened.
    pub(crate) principals: Vec<(String, String)>,
    /// A principal could not be opened, or is lost, or went before this came: whom it is about, nobody can tell.
    pub(crate) is_unreadable: bool,
    /// The route, or the door that was knocked at.
    pub(crate) server: Option<String>,
    /// The chain that it stands in.
    pub(crate) recorder_id: String,
    pub(crate) epoch: Option<Id>,
    /// It has its closing event, is alone by its kind, is no exchange, or is one event with a key of its own. What its recorder
    /// says of the exchange all the same comes under other keys when this one is destroyed (`vault`).
    pub(crate) is_closed: bool,
}

/// Units by the id of their key.
pub(crate) type Units = HashMap<KeyId, Unit>;

/// How units are gathered.
pub(crate) struct Gather<'a> {
    pub(crate) store: &'a dyn Store,
    /// Those with these keys only.
    pub(crate) wanted: Option<&'a HashSet<KeyId>>,
    /// Principals are opened, which costs a decryption each.
    pub(crate) with_principals: bool,
}

impl Gather<'_> {
    /// The units of the leaves in a range, as far as they lie in it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn units(&self, leaves: Leaves) -> Result<Units, StoreError> {
        Ok(self.more(Units::new(), leaves, usize::MAX)?.0)
    }

    /// The same, with units of which leaves before the range are known already; and where it stopped, which is the range's
    /// end unless more than `most` leaves disclose something.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn more(
        &self,
        mut units: Units,
        leaves: Leaves,
        most: usize,
    ) -> Result<(Units, u64), StoreError> {
        let mut disclosing = 0;
        let stopped = self.each(leaves, &mut |seen| {
            if self.wanted.is_some_and(|wanted| !wanted.contains(&seen.key)) {
                return true;
            }
            let is_left = !seen.slots.is_empty() || seen.is_lost;
            if !is_left && self.wanted.is_none() && !units.contains_key(&seen.key) {
                return true;
            }
            disclosing += usize::from(is_left);
            if disclosing > most {
                return false;
            }
            units.entry(seen.key).or_default().add(seen);
            true
        })?;
        units.retain(|_, unit| unit.leaves + unit.lost > 0);
        Ok((units, stopped))
    }

    /// Shows every leaf of a kind that may be erased, in order, until it is told to stop; where that was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn each(
        &self,
        leaves: Leaves,
        see: &mut dyn FnMut(Seen) -> bool,
    ) -> Result<u64, StoreError> {
        let mut next = leaves.start;
        while next < leaves.end {
            let count = (leaves.end - next).min(ENTRIES_AT_ONCE);
            let count = usize::try_from(count).unwrap_or_default();
            let entries = self.store.entries(LeafIndex(next), count, BYTES_AT_ONCE)?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {next} is missing")));
            }
            let end = next + entries.len() as u64;
            let mut stored: HashMap<u64, (Option<KeyId>, Vec<i32>)> = HashMap::new();
            let mut principals: HashMap<u64, Vec<u8>> = HashMap::new();
            self.store.disclosed(next..end, &mut |index, slot, sealed| {
                let (key, slots) = stored.entry(index.0).or_default();
                *key = key.or(sealed.first_chunk().copied());
                slots.push(slot);
                if self.with_principals && slot == Slot::Principal as i32 {
                    principals.insert(index.0, sealed.to_vec());
                }
            })?;
            let mut keys = HashMap::new();
            for (index, entry) in (next..).zip(entries) {
                let leaf = decode_entry(&entry)
                    .map_err(|error| StoreError::Damaged(format!("entry {index}: {error}")))?;
                if !leaf.event.kind.as_ref().is_some_and(may_be_erased) {
                    continue;
                }
                let (key, slots) = stored.remove(&index).unwrap_or_default();
                let lost =
                    if slots.is_empty() { self.lost_under(&leaf.event, &mut keys)? } else { None };
                let is_lost = lost.is_some();
                // The key that stands in the sealed form: with the exchange's destroyed, an event has its own.
                let key = key.or(lost).unwrap_or_else(|| vault::key_id(&leaf.event));
                let principal = match principals.remove(&index) {
                    Some(sealed) => self.principal(LeafIndex(index), &sealed)?,
                    // The slots of a leaf are erased together.
                    None if self.with_principals
                        && (is_lost || !slots.is_empty())
                        && names_a_principal(&leaf.event) =>
                    {
                        Caller::Unreadable
                    }
                    None => Caller::Unknown,
                };
                let (index, hash) = (LeafIndex(index), leaf_hash(&entry));
                if !see(Seen { index, hash, key, leaf, slots, is_lost, principal }) {
                    return Ok(index.0);
                }
            }
            next = end;
        }
        Ok(leaves.end)
    }

    /// The key of a leaf that commits to something of which nothing is stored, when that key is still there: an erasure takes
    /// both (of a large exchange, the key with the last of several commits). `known` are keys that were asked for.
    fn lost_under(
        &self,
        event: &Event,
        known: &mut HashMap<KeyId, bool>,
    ) -> Result<Option<KeyId>, StoreError> {
        if event.disclosures.is_empty() {
            return Ok(None);
        }
        for id in [vault::key_id(event), vault::own_key_id(event)] {
            if self.wanted.is_some_and(|wanted| !wanted.contains(&id)) {
                continue;
            }
            let is_there = match known.get(&id) {
                Some(is_there) => *is_there,
                None => match self.store.disclosure_key(&id) {
                    // Nobody can tell whether it is there, and nothing is left that it could open.
                    Err(StoreError::Damaged(_)) => false,
                    key => matches!(key?, StoredKey::There(_)),
                },
            };
            known.insert(id, is_there);
            if is_there {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Issuer and subject that a sealed PRINCIPAL names.
    fn principal(&self, index: LeafIndex, sealed: &[u8]) -> Result<Caller, StoreError> {
        let slot = Slot::Principal.into();
        let opened = vault::open(sealed, slot, |id| Ok(self.store.disclosure_key(id)?.usable()));
        let opening = match opened {
            Ok(Some(opening)) => opening,
            Ok(None) => return Ok(Caller::Unreadable),
            Err(StoreError::Damaged(reason)) => {
                vault::report_unreadable(index, slot, &reason);
                return Ok(Caller::Unreadable);
            }
            Err(error) => return Err(error),
        };
        let principal: serde_json::Value =
            serde_json::from_slice(&opening.content).unwrap_or_default();
        let text = |field: &str| principal[field].as_str().map(str::to_owned);
        let named = |subject| Caller::Named(text("issuer").unwrap_or_default(), subject);
        Ok(text("subject").map_or(Caller::Unknown, named))
    }
}

/// Whom a leaf's PRINCIPAL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It has none, or none was opened.
    Unknown,
    /// It has one, which was not erased, and does not open or is lost.
    Unreadable,
    /// Issuer and subject.
    Named(String, String),
}

/// A leaf as it is gathered.
pub(crate) struct Seen {
    pub(crate) index: LeafIndex,
    pub(crate) hash: Hash,
    pub(crate) key: KeyId,
    pub(crate) leaf: Leaf,
    /// Those that are stored.
    pub(crate) slots: Vec<i32>,
    /// None is, and no erasure took them with their key.
    pub(crate) is_lost: bool,
    pub(crate) principal: Caller,
}

fn names_a_principal(event: &Event) -> bool {
    event.disclosures.iter().any(|disclosure| disclosure.slot == i32::from(Slot::Principal))
}

impl Unit {
    pub(crate) fn add(&mut self, seen: Seen) {
        let Seen { index, key, leaf, slots, is_lost, principal, .. } = seen;
        let Leaf { recorded_at_ns, event, .. } = leaf;
        let is_late = key != vault::key_id(&event);
        self.is_closed |= event.exchange_id.is_empty()
            || event.kind.as_ref().is_some_and(|kind| closes_exchange(kind) || is_alone(kind))
            || is_late;
        // Who was called has been erased before it came: it may be about anybody.
        self.is_unreadable |= is_late && principal == Caller::Unknown;
        if self.newest_ns == 0 {
            (self.first, self.oldest_ns) = (index.0, recorded_at_ns);
        }
        (self.last, self.newest_ns) = (index.0, recorded_at_ns);
        if let Some(recorder) = event.recorder {
            self.epoch = Id::from_slice(&recorder.epoch);
            self.recorder_id = recorder.recorder_id;
        }
        self.exchange = Id::from_slice(&event.exchange_id);
        if let Some(session) = Id::from_slice(&event.session_id) {
            self.name_session(session);
        }
        if self.server.is_none() {
            self.server = event.kind.as_ref().and_then(server_of).map(str::to_owned);
        }
        match principal {
            Caller::Unknown => {}
            Caller::Unreadable => self.is_unreadable = true,
            Caller::Named(issuer, subject) => self.name((issuer, subject)),
        }
        self.leaves += usize::from(!slots.is_empty());
        self.disclosures += slots.len();
        self.lost += usize::from(is_lost);
    }

    /// With what stands behind it.
    pub(crate) fn joined(mut self, later: Self) -> Self {
        self.last = later.last;
        self.leaves += later.leaves;
        self.disclosures += later.disclosures;
        self.lost += later.lost;
        self.newest_ns = later.newest_ns;
        self.is_closed |= later.is_closed;
        self.is_unreadable |= later.is_unreadable;
        self.server = self.server.or(later.server);
        self.has_more_sessions |= later.has_more_sessions;
        later.sessions.into_iter().for_each(|session| self.name_session(session));
        later.principals.into_iter().for_each(|person| self.name(person));
        self
    }

    fn name_session(&mut self, session: Id) {
        if self.sessions.contains(&session) {
            return;
        }
        if self.sessions.len() < MAX_NAMED {
            self.sessions.push(session);
        } else {
            self.has_more_sessions = true;
        }
    }

    fn name(&mut self, person: (String, String)) {
        if self.principals.contains(&person) {
            return;
        }
        if self.principals.len() < MAX_NAMED {
            self.principals.push(person);
        } else {
            self.is_unreadable = true;
        }
    }
}
