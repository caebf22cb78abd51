//! Stored disclosures against the commitments of their leaves, and stored keys against the disclosures.

use std::collections::HashMap;

use proto::disclosure::check_opening;
use proto::kind::Kind;
use proto::v1::{Disclosure, DisclosureErased, Event};
use tlog::{LeafIndex, leaf_hash};

use super::absent::{Absences, Absent};
use super::used_keys::UsedKeys;
use super::{FsckReport, damage, place};
use crate::store::RocksStore;
use crate::store::keyspace::{DISCLOSURES, ENTRIES, KEYS, disclosure_key, entry_key};
use crate::store::records::{Found, Odd, Records};
use crate::vault::{self, KEY_ID_BYTES, KeyId, NONCE_BYTES};

/// Keys kept at hand: the disclosures of an exchange stand near each other.
const MAX_CACHED_KEYS: usize = 8_192;

/// All disclosures and keys of a store.
pub(super) struct Disclosures<'a> {
    store: &'a RocksStore,
    stored: Records<'a>,
    cached: HashMap<KeyId, Result<[u8; 32], NoKey>>,
    used: UsedKeys,
    absences: Absences,
}

/// Why a key is not at hand.
#[derive(Debug, Clone)]
enum NoKey {
    Missing,
    Unusable(String),
}

impl<'a> Disclosures<'a> {
    pub(super) fn new(store: &'a RocksStore) -> Self {
        Self::with(store, Absences::new(store.folder_above()))
    }

    pub(super) fn with(store: &'a RocksStore, absences: Absences) -> Self {
        let (stored, cached) = (Records::of(store, DISCLOSURES), HashMap::new());
        let used = UsedKeys::new(store.folder_above());
        Self { store, stored, cached, used, absences }
    }

    /// Checks the disclosures of one leaf; leaves come in order.
    pub(super) fn check(&mut self, index: u64, event: &Event, report: &mut FsckReport) {
        if let Some(Kind::DisclosureErased(erased)) = &event.kind {
            self.check_erased(index, erased, report);
        }
        if event.disclosures.is_empty() {
            return;
        }
        let ids = [vault::key_id(event), vault::own_key_id(event)];
        let sequence = event.recorder.as_ref().map(|recorder| recorder.sequence);
        let mut absent = Absent::of(index, ids);
        for disclosure in &event.disclosures {
            let slot = disclosure.slot;
            let key = disclosure_key(LeafIndex(index), slot);
            let place = || place::disclosure(index, slot);
            match self.stored.take(&key, &mut |odd| surplus(&odd, report)) {
                Found::Missing => absent.gone.add(slot),
                Found::Unreadable(reason) => {
                    self.used.insert(ids[0], true);
                    report.find(
                        "disclosure_unreadable",
                        place(),
                        format!("cannot be read: {reason}"),
                    );
                }
                Found::Record(sealed) => {
                    // What names neither is damaged, and may still open with the first.
                    let named = |id: &KeyId| sealed.starts_with(id);
                    let which = ids.iter().position(named).unwrap_or_default();
                    let id = ids[which];
                    self.used.insert(id, true);
                    if let Some(wrong) = header(&sealed, &id, sequence, slot) {
                        report.find("disclosure_damaged", place(), wrong);
                    }
                    match self.key(&id) {
                        Ok(key) => open(&sealed, disclosure, &id, &key, &place(), report),
                        Err(NoKey::Missing) => absent.keyless[which].add(slot),
                        Err(NoKey::Unusable(reason)) => {
                            let message = format!("its {} {reason}", place::key(&id));
                            report.find("disclosure_unopened", place(), message);
                        }
                    }
                }
            }
        }
        self.absences.absent(&absent);
    }

    fn key(&mut self, id: &KeyId) -> Result<[u8; 32], NoKey> {
        if let Some(key) = self.cached.get(id) {
            return key.clone();
        }
        if self.cached.len() >= MAX_CACHED_KEYS {
            self.cached.clear();
        }
        // Of a destroyed one nothing stands under its id.
        let key = match self.store.record(KEYS, id).map(Option::unwrap_or_default) {
            Ok(key) if key.is_empty() => Err(NoKey::Missing),
            Ok(key) => <[u8; 32]>::try_from(&key[..])
                .map_err(|_| NoKey::Unusable(format!("has {} bytes", key.len()))),
            Err(reason) => Err(NoKey::Unusable(format!("cannot be read: {reason}"))),
        };
        self.cached.insert(*id, key.clone());
        key
    }

    /// What an entry says was erased must not be there.
    fn check_erased(&mut self, index: u64, erased: &DisclosureErased, report: &mut FsckReport) {
        if erased.leaf_index >= index {
            let message = "names a leaf that does not stand before it";
            return report.find("erasure_invalid", place::entry(index), message);
        }
        // A leaf that cannot be read was found when it was.
        let leaf = self.store.record(ENTRIES, &entry_key(LeafIndex(erased.leaf_index)));
        if let Ok(Some(leaf)) = leaf
            && leaf_hash(&leaf).0[..] != erased.leaf_hash[..]
        {
            let named = place::entry(erased.leaf_index);
            let message = format!("names {named} by a leaf hash that it does not have");
            return report.find("erasure_invalid", place::entry(index), message);
        }
        self.absences.erased(erased.leaf_index, &erased.slots);
        for slot in &erased.slots {
            let key = disclosure_key(LeafIndex(erased.leaf_index), *slot);
            // One that cannot be read was found when its leaf was.
            if let Ok(Some(_)) = self.store.record(DISCLOSURES, &key) {
                let place = place::disclosure(erased.leaf_index, *slot);
                let entry = place::entry(index);
                let message = format!("is there, although {entry} says that it was erased");
                report.find("disclosure_not_erased", place, message);
            }
        }
    }

    /// Looks for disclosures behind the last leaf, for what was not erased, and at every key.
    pub(super) fn finish(self, report: &mut FsckReport) {
        let Self { store, mut stored, mut used, absences, .. } = self;
        stored.rest(&mut |odd| surplus(&odd, report));
        report.bytes += stored.bytes;
        let compared = absences.each(&mut |absent, erased| {
            let has_no_id = absent.slots().any(|slot| erased.has(slot))
                && absent.ids.iter().all(|id| is_forgotten(store, id));
            let mut is_used = false;
            for slot in absent.slots() {
                if !erased.has(slot) {
                    is_used = true;
                    absent.find(slot, report);
                    continue;
                }
                report.erased += 1;
                if has_no_id {
                    let message = format!(
                        "is not there any more, with nothing: {} was erased, and its key id could be given again",
                        absent.place(slot)
                    );
                    report.find("key_forgotten", place::key(&absent.ids[0]), message);
                }
            }
            // Or it must be gone with what is gone.
            absent.ids.iter().for_each(|id| used.insert(*id, is_used));
        });
        let mut keys = Records::of(store, KEYS);
        let compared = compared.and_then(|()| {
            used.each(&mut |id, is_used| {
                let found = keys.take(id, &mut |odd| surplus_key(&odd, report));
                check_key(id, is_used, found, report);
            })
        });
        match compared {
            Ok(()) => keys.rest(&mut |odd| surplus_key(&odd, report)),
            Err(error) => {
                let message = format!(
                    "neither they, nor what is absent, can be held against the entries: {error}; make room in {}, \
                     and check again",
                    store.folder_above().display()
                );
                report.find("keys_not_compared", KEYS, message);
            }
        }
        report.bytes += keys.bytes;
    }
}

/// The id of a destroyed key is kept, so that it is never given again. One that cannot be read is found when all keys are.
fn is_forgotten(store: &RocksStore, id: &KeyId) -> bool {
    matches!(store.record(KEYS, id), Ok(None))
}

/// A key is there while anything uses it; after that its id stands with nothing, and never comes back.
fn check_key(id: &KeyId, is_used: bool, found: Found, report: &mut FsckReport) {
    match found {
        // What it opened is absent, and was told so.
        Found::Missing => {}
        Found::Record(key) => match key.len() {
            0 => {}
            32 if is_used => report.keys += 1,
            32 => {
                report.keys += 1;
                let message = "is there, although everything that it sealed was erased";
                report.find("key_not_destroyed", place::key(id), message);
            }
            bytes => {
                report.keys += 1;
                let message = format!("has {bytes} bytes, not 32");
                report.find("key_damaged", place::key(id), message);
            }
        },
        Found::Unreadable(reason) => {
            report.find("key_damaged", place::key(id), format!("cannot be read: {reason}"));
        }
    }
}

/// What the sealed form says in the clear follows from the leaf: key id and nonce.
fn header(sealed: &[u8], id: &KeyId, sequence: Option<u64>, slot: i32) -> Option<String> {
    let Some((found, rest)) = sealed.split_first_chunk::<KEY_ID_BYTES>() else {
        return Some(format!("has only {} bytes", sealed.len()));
    };
    if found != id {
        let (found, id) = (place::key(found), place::key(id));
        return Some(format!("names {found}, but its leaf belongs to {id}"));
    }
    let nonce = vault::nonce(sequence.unwrap_or_default(), slot);
    (rest.get(..NONCE_BYTES) != Some(&nonce[..]))
        .then(|| "its nonce is not that of its leaf and slot".to_owned())
}

fn open(
    sealed: &[u8],
    disclosure: &Disclosure,
    id: &KeyId,
    key: &[u8; 32],
    place: &str,
    report: &mut FsckReport,
) {
    let Ok(Some(opening)) = vault::open(sealed, disclosure.slot, |_| Ok(Some(*key))) else {
        let key = place::key(id);
        let message = format!("does not decrypt with {key}: one of the two is not what was stored");
        report.find("disclosure_damaged", place, message);
        return;
    };
    report.disclosures += 1;
    if let Err(error) = check_opening(disclosure, &opening.salt, &opening.content) {
        report.find("disclosure_mismatch", place, error);
    }
}

fn surplus(odd: &Odd<'_>, report: &mut FsckReport) {
    let Odd::Surplus(key) = odd else { return damage(DISCLOSURES, odd, report) };
    let message = "should not be there: no entry that can be read commits to it";
    report.find("disclosure_surplus", place::record(DISCLOSURES, key), message);
}

fn surplus_key(odd: &Odd<'_>, report: &mut FsckReport) {
    let Odd::Surplus(key) = odd else { return damage(KEYS, odd, report) };
    report.keys += 1;
    let message = "should not be there: no disclosure of an entry that can be read uses it";
    report.find("key_surplus", place::record(KEYS, key), message);
}
