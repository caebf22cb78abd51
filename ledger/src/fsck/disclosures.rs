//! Stored disclosures against the commitments of their leaves, and stored keys against the disclosures.

use std::collections::{HashMap, HashSet};

use proto::disclosure::check_opening;
use proto::kind::Kind;
use proto::v1::{Disclosure, Event};
use tlog::LeafIndex;

use super::{FsckReport, damage, place};
use crate::fsck::used_keys::UsedKeys;
use crate::store::RocksStore;
use crate::store::keyspace::{DISCLOSURES, KEYS, disclosure_key};
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
    erased: HashSet<([u8; 16], i32)>,
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
    event_id: [u8; 16],
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
            erased: HashSet::new(),
        }
    }

    /// Checks the disclosures of one leaf; leaves come in order.
    pub(super) fn check(&mut self, index: u64, event: &Event, report: &mut FsckReport) {
        if let Some(Kind::DisclosureErased(erased)) = &event.kind
            && let Ok(event_id) = <[u8; 16]>::try_from(&erased.event_id[..])
        {
            self.erased.extend(erased.slots.iter().map(|slot| (event_id, *slot)));
        }
        if event.disclosures.is_empty() {
            return;
        }
        let (id, sequence) = (vault::key_id(event), event.recorder.as_ref().map(|r| r.sequence));
        if let Err(error) = self.used.insert(id) {
            self.incomplete.get_or_insert(error);
        }
        for disclosure in &event.disclosures {
            let key = disclosure_key(LeafIndex(index), disclosure.slot);
            let place = || place::disclosure(index, disclosure.slot);
            match self.stored.take(&key, &mut |odd| surplus(&odd, report)) {
                Found::Missing => self.absent(index, event, disclosure.slot, None, report),
                Found::Unreadable(reason) => {
                    report.find(
                        "disclosure_unreadable",
                        place(),
                        format!("cannot be read: {reason}"),
                    );
                }
                Found::Record(sealed) => {
                    if let Some(wrong) = header(&sealed, &id, sequence, disclosure.slot) {
                        report.find("disclosure_damaged", place(), wrong);
                    }
                    match self.key(&id) {
                        Ok(key) => open(&sealed, disclosure, &id, &key, &place(), report),
                        Err(NoKey::Missing) => {
                            self.absent(index, event, disclosure.slot, Some(id), report);
                        }
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
        let key = match self.store.record(KEYS, id) {
            Ok(Some(key)) => <[u8; 32]>::try_from(&key[..])
                .map_err(|_| NoKey::Unusable(format!("has {} bytes", key.len()))),
            Ok(None) => Err(NoKey::Missing),
            Err(reason) => Err(NoKey::Unusable(format!("cannot be read: {reason}"))),
        };
        self.cached.insert(*id, key.clone());
        key
    }

    /// It may have been erased, which a later entry says.
    fn absent(
        &mut self,
        index: u64,
        event: &Event,
        slot: i32,
        key: Option<KeyId>,
        report: &mut FsckReport,
    ) {
        let event_id = <[u8; 16]>::try_from(&event.event_id[..]).unwrap_or_default();
        let absent = Absent { index, slot, event_id, key };
        if self.absent.len() < MAX_ABSENT {
            self.absent.push(absent);
        } else {
            absent.find(report);
        }
    }

    /// Looks for disclosures behind the last leaf, for what was not erased, and at every key.
    pub(super) fn finish(mut self, report: &mut FsckReport) {
        self.stored.rest(&mut |odd| surplus(&odd, report));
        report.bytes += self.stored.bytes;
        for absent in &self.absent {
            if self.erased.contains(&(absent.event_id, absent.slot)) {
                report.erased += 1;
            } else {
                absent.find(report);
            }
        }
        let mut keys = Records::of(self.store, KEYS);
        let shown = self.used.each(&mut |id| {
            let found = keys.take(id, &mut |odd| surplus_key(&odd, report));
            let message = match found {
                // What it opened is absent, and was told so.
                Found::Missing => return,
                Found::Unreadable(reason) => format!("cannot be read: {reason}"),
                Found::Record(key) => {
                    report.keys += 1;
                    if key.len() == 32 {
                        return;
                    }
                    format!("has {} bytes, not 32", key.len())
                }
            };
            report.find("key_damaged", place::key(id), message);
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

impl Absent {
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
