//! Stored disclosures against the commitments of their leaves, and stored keys against the disclosures.

use std::collections::HashMap;

use proto::disclosure::check_opening;
use proto::erasure::Erasures;
use proto::kind::Kind;
use proto::v1::{Disclosure, DisclosureErased, Event};
use tlog::{Hash, LeafIndex, leaf_hash};

use super::{FsckReport, damage, place};
use crate::fsck::used_keys::UsedKeys;
use crate::store::RocksStore;
use crate::store::keyspace::{DISCLOSURES, ENTRIES, KEYS, disclosure_key, entry_key};
use crate::store::records::{Found, Odd, Records};
use crate::vault::{self, KEY_ID_BYTES, KeyId, NONCE_BYTES};

/// Keys kept at hand: the disclosures of an exchange stand near each other.
const MAX_CACHED_KEYS: usize = 8_192;
/// Absent disclosures that may wait for the event that says they were erased.
const MAX_ABSENT: usize = 1 << 20;

/// All disclosures and keys of a store.
pub(super) struct Disclosures<'a> {
    store: &'a RocksStore,
    stored: Records<'a>,
    cached: HashMap<KeyId, Result<[u8; 32], NoKey>>,
    used: UsedKeys,
    /// Why the ids of used keys are not complete, if so.
    incomplete: Option<std::io::Error>,
    absent: Vec<Absent>,
    erased: Erasures,
}

/// Why a key is not at hand.
#[derive(Debug, Clone)]
enum NoKey {
    Missing,
    Unusable(String),
}

/// A disclosure that is not there, or its key is not.
struct Absent {
    index: u64,
    slot: i32,
    hash: Hash,
    /// Under which it may have been sealed.
    ids: [KeyId; 2],
    /// The key that is not there, when it is there itself.
    key: Option<KeyId>,
}

impl<'a> Disclosures<'a> {
    pub(super) fn new(store: &'a RocksStore) -> Self {
        Self {
            store,
            stored: Records::of(store, DISCLOSURES),
            cached: HashMap::new(),
            used: UsedKeys::new(),
            incomplete: None,
            absent: Vec::new(),
            erased: Erasures::default(),
        }
    }

    /// Checks the disclosures of one leaf; leaves come in order.
    pub(super) fn check(
        &mut self,
        (index, hash): (u64, Hash),
        event: &Event,
        report: &mut FsckReport,
    ) {
        self.erased.add(index, event.kind.as_ref());
        if let Some(Kind::DisclosureErased(erased)) = &event.kind {
            self.check_erased(index, erased, report);
        }
        if event.disclosures.is_empty() {
            return;
        }
        let ids = [vault::key_id(event), vault::own_key_id(event)];
        let sequence = event.recorder.as_ref().map(|recorder| recorder.sequence);
        for disclosure in &event.disclosures {
            let slot = disclosure.slot;
            let key = disclosure_key(LeafIndex(index), slot);
            let place = || place::disclosure(index, slot);
            let absent = |key| Absent { index, slot, hash, ids, key };
            match self.stored.take(&key, &mut |odd| surplus(&odd, report)) {
                Found::Missing => self.absent(absent(None), report),
                Found::Unreadable(reason) => {
                    self.uses(ids[0], true);
                    report.find(
                        "disclosure_unreadable",
                        place(),
                        format!("cannot be read: {reason}"),
                    );
                }
                Found::Record(sealed) => {
                    // What names neither is damaged, and may still open with the first.
                    let named = |id: &&KeyId| sealed.starts_with(&id[..]);
                    let id = *ids.iter().find(named).unwrap_or(&ids[0]);
                    self.uses(id, true);
                    if let Some(wrong) = header(&sealed, &id, sequence, slot) {
                        report.find("disclosure_damaged", place(), wrong);
                    }
                    match self.key(&id) {
                        Ok(key) => open(&sealed, disclosure, &id, &key, &place(), report),
                        Err(NoKey::Missing) => self.absent(absent(Some(id)), report),
                        Err(NoKey::Unusable(reason)) => {
                            let message = format!("its {} {reason}", place::key(&id));
                            report.find("disclosure_unopened", place(), message);
                        }
                    }
                }
            }
        }
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

    /// It may have been erased, which a later entry says.
    fn absent(&mut self, absent: Absent, report: &mut FsckReport) {
        if self.absent.len() < MAX_ABSENT {
            self.absent.push(absent);
        } else {
            absent.find(report);
            self.uses(absent.ids[0], true);
        }
    }

    /// A key that is there for what is there (`is_used`), or that must be gone with what is gone.
    fn uses(&mut self, id: KeyId, is_used: bool) {
        if let Err(error) = self.used.insert(id, is_used) {
            self.incomplete.get_or_insert(error);
        }
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
    pub(super) fn finish(mut self, report: &mut FsckReport) {
        self.stored.rest(&mut |odd| surplus(&odd, report));
        report.bytes += self.stored.bytes;
        for absent in std::mem::take(&mut self.absent) {
            let is_erased = self.erased.took(absent.index, &absent.hash, absent.slot);
            if is_erased {
                report.erased += 1;
                absent.find_forgotten(self.store, report);
            } else {
                absent.find(report);
            }
            absent.ids.into_iter().for_each(|id| self.uses(id, !is_erased));
        }
        let mut keys = Records::of(self.store, KEYS);
        let shown = self.used.each(&mut |id, is_used| {
            let found = keys.take(id, &mut |odd| surplus_key(&odd, report));
            check_key(id, is_used, found, report);
        });
        match self.incomplete.or(shown.err()) {
            None => keys.rest(&mut |odd| surplus_key(&odd, report)),
            Some(error) => {
                let message = format!(
                    "cannot be held against the disclosures that use them: {error}; make room in the folder for \
                     temporary files, and check again"
                );
                report.find("keys_not_compared", KEYS, message);
            }
        }
        report.bytes += keys.bytes;
    }
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

impl Absent {
    /// The id of a destroyed key is kept, so that it is never given again.
    fn find_forgotten(&self, store: &RocksStore, report: &mut FsckReport) {
        // One that cannot be read is found when all keys are read.
        let is_forgotten = |id: &KeyId| matches!(store.record(KEYS, id), Ok(None));
        if self.ids.iter().all(is_forgotten) {
            let message = format!(
                "is not there any more, with nothing: {} was erased, and its key id could be given again",
                place::disclosure(self.index, self.slot)
            );
            report.find("key_forgotten", place::key(&self.ids[0]), message);
        }
    }

    fn find(&self, report: &mut FsckReport) {
        let place = place::disclosure(self.index, self.slot);
        match &self.key {
            None => report.find(
                "disclosure_missing",
                place,
                "is missing, and no DisclosureErased event says that it was erased",
            ),
            Some(id) => report.find(
                "key_missing",
                place,
                format!(
                    "its {} is missing, and no DisclosureErased event says that it was erased",
                    place::key(id)
                ),
            ),
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
