//! Disclosures at rest: AES-256-GCM under a random key per exchange.
//!
//! Destroying the key erases every disclosure of the exchange, in the store and in whatever a compaction left
//! behind. The commitment in the leaf authenticates the content, so the ciphertext needs no further binding.
//!
//! Sealed form: key id (16 bytes) ‖ nonce (12: sequence u64 BE ‖ slot u32 BE) ‖ ciphertext of salt ‖ content.
//! A key belongs to one exchange of one recorder epoch, where a sequence number stands once: no nonce repeats.

use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;
use proto::v1::{Event, Opening};

use crate::recent::Recent;
use crate::store::{Store, StoreError};

/// Names the key of an exchange without naming the exchange.
pub(crate) type KeyId = [u8; 16];

pub(crate) const KEY_ID_BYTES: usize = 16;
pub(crate) const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// The id of the key under which the disclosures of `event` are sealed: one for each exchange of a recorder's
/// epoch; an event outside an exchange has its own.
pub(crate) fn key_id(event: &Event) -> KeyId {
    let mut hasher = blake3::Hasher::new_derive_key("exhibit 2026 disclosure key id v1");
    if let Some(recorder) = &event.recorder {
        hasher.update(&recorder.epoch);
        hasher.update(recorder.recorder_id.as_bytes());
    }
    if event.exchange_id.is_empty() {
        hasher.update(b"/event/").update(&event.event_id);
    } else {
        hasher.update(b"/exchange/").update(&event.exchange_id);
    }
    let mut id = [0; KEY_ID_BYTES];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// Disclosure keys that a stream keeps at hand: of about as many exchanges as may be open.
const MAX_CACHED_KEYS: usize = 8_192;

/// The key of an exchange.
pub(crate) struct DisclosureKey {
    pub(crate) id: KeyId,
    pub(crate) secret: [u8; 32],
}

/// Without the secret, so that no log shows it.
impl fmt::Debug for DisclosureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DisclosureKey({})", hex::encode(self.id))
    }
}

/// The disclosures of one event, sealed.
#[derive(Debug, Default)]
pub(crate) struct Sealed {
    /// Slot and sealed form.
    pub(crate) disclosures: Vec<(i32, Vec<u8>)>,
    /// The key, when no earlier event brought it to the store. Whoever holds it has not stored it yet.
    pub(crate) new_key: Option<Arc<DisclosureKey>>,
}

/// Seals the disclosures of one recorder's epoch, on the thread of the stream that brings them.
///
/// The keys of an epoch belong to its one stream, so nobody else makes one meanwhile.
pub(crate) struct Sealer {
    store: Arc<dyn Store>,
    keys: Recent<KeyId, Arc<DisclosureKey>>,
    /// The store may have keys of this epoch that were never in `keys`.
    continues: bool,
}

impl Sealer {
    /// `continues`: the epoch has events already.
    pub(crate) fn new(store: Arc<dyn Store>, continues: bool) -> Self {
        // A key that is shared is on its way into the store, where it could not be found yet.
        let keys = Recent::with_stay(MAX_CACHED_KEYS, |key| Arc::get_mut(key).is_none());
        Self { store, keys, continues }
    }

    /// Seals what `event`, the number `sequence` of its epoch, discloses. The result must reach the store.
    ///
    /// # Errors
    /// [`StoreError`] when no key can be had.
    pub(crate) fn seal(
        &mut self,
        event: &Event,
        sequence: u64,
        openings: &[Opening],
    ) -> Result<Sealed, StoreError> {
        if openings.is_empty() {
            return Ok(Sealed::default());
        }
        let (key, is_new) = self.key(key_id(event))?;
        let cipher = cipher(&key.secret);
        let sealed = |opening: &Opening| {
            Ok((opening.slot, seal(&cipher, &key.id, nonce(sequence, opening.slot), opening)?))
        };
        let disclosures = openings.iter().map(sealed).collect::<Result<_, StoreError>>()?;
        Ok(Sealed { disclosures, new_key: is_new.then_some(key) })
    }

    /// The key of this id, and whether it is not on its way to the store yet.
    fn key(&mut self, id: KeyId) -> Result<(Arc<DisclosureKey>, bool), StoreError> {
        if let Some(key) = self.keys.find(&id) {
            return Ok((Arc::clone(key), false));
        }
        let may_be_stored = self.continues || self.keys.has_forgotten();
        let stored = if may_be_stored { self.store.disclosure_key(&id)? } else { None };
        let is_new = stored.is_none();
        let secret = stored.map_or_else(fresh_key, Ok)?;
        let key = Arc::new(DisclosureKey { id, secret });
        self.keys.insert(id, Arc::clone(&key));
        Ok((key, is_new))
    }
}

/// Seals one opening.
///
/// # Errors
/// [`StoreError::Damaged`] if the cipher refuses, which it does only beyond 64 GiB.
fn seal(
    cipher: &Aes256Gcm,
    id: &KeyId,
    nonce: [u8; NONCE_BYTES],
    opening: &Opening,
) -> Result<Vec<u8>, StoreError> {
    let start = KEY_ID_BYTES + NONCE_BYTES;
    let plain_bytes = opening.salt.len() + opening.content.len();
    let mut sealed = Vec::with_capacity(start + plain_bytes + TAG_BYTES);
    sealed.extend_from_slice(id);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&opening.salt);
    sealed.extend_from_slice(&opening.content);
    let tag = cipher
        .encrypt_inout_detached(&Nonce::from(nonce), &[], (&mut sealed[start..]).into())
        .map_err(|_| StoreError::Damaged("a disclosure could not be encrypted".into()))?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Opens what [`seal`] sealed; `None` when its key is erased.
///
/// # Errors
/// [`StoreError::Damaged`] when the bytes are not what was sealed.
pub(crate) fn open(
    sealed: &[u8],
    slot: i32,
    key_of: impl FnOnce(&KeyId) -> Result<Option<[u8; 32]>, StoreError>,
) -> Result<Option<Opening>, StoreError> {
    let damaged = || StoreError::Damaged(format!("the disclosure in slot {slot} does not decrypt"));
    let (id, rest) = sealed.split_first_chunk::<KEY_ID_BYTES>().ok_or_else(damaged)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(damaged)?;
    let Some(key) = key_of(id)? else { return Ok(None) };
    let plain = cipher(&key).decrypt(&Nonce::from(*nonce), ciphertext).map_err(|_| damaged())?;
    if plain.len() < SALT_BYTES {
        return Err(damaged());
    }
    let plain = Bytes::from(plain);
    Ok(Some(Opening { slot, salt: plain.slice(..SALT_BYTES), content: plain.slice(SALT_BYTES..) }))
}

/// A fresh random key.
///
/// # Errors
/// [`StoreError::Engine`] when the operating system has no randomness to give.
pub(crate) fn fresh_key() -> Result<[u8; 32], StoreError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| StoreError::Engine {
        path: "the operating system's random source".into(),
        reason: error.to_string(),
    })?;
    Ok(key)
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
}

/// The nonce of a disclosure: no other of its key has it.
pub(crate) fn nonce(sequence: u64, slot: i32) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&sequence.to_be_bytes());
    nonce[8..].copy_from_slice(&slot.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, RocksStore, TreeHead};
    use tlog::{Hash, TreeSize};

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let opening = Opening {
            slot: 2,
            salt: Bytes::from_static(&[5; 32]),
            content: Bytes::from_static(b"the message"),
        };
        let key = fresh_key().unwrap();
        let sealed = seal(&cipher(&key), &[1; 16], nonce(7, 2), &opening).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"message"));
        assert_eq!(open(&sealed, 2, |_| Ok(Some(key))).unwrap(), Some(opening));
        assert_eq!(open(&sealed, 2, |_| Ok(None)).unwrap(), None);
        for at in 16..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed, 2, |_| Ok(Some(key))).is_err(), "byte {at}");
        }
    }

    fn event(exchange: u64) -> Event {
        let exchange_id = [[0; 8], exchange.to_be_bytes()].concat().into();
        Event { exchange_id, ..Event::default() }
    }

    fn opens(sealed: &Sealed, key: &DisclosureKey) -> bool {
        let opened =
            open(&sealed.disclosures[0].1, 2, |id| Ok((*id == key.id).then_some(key.secret)));
        opened.is_ok_and(|opening| opening.is_some())
    }

    #[test]
    fn an_exchange_has_one_key_on_its_way_and_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(RocksStore::open(folder.path()).unwrap());
        let opening = [Opening { slot: 2, salt: vec![5; 32].into(), content: Bytes::new() }];
        let mut sealer = Sealer::new(Arc::clone(&store), false);
        let first = sealer.seal(&event(0), 0, &opening).unwrap();
        let held = first.new_key.clone().unwrap();
        let key = DisclosureKey { id: held.id, secret: held.secret };
        let crowd = |sealer: &mut Sealer| {
            for exchange in 1..=2 * MAX_CACHED_KEYS as u64 {
                sealer.seal(&event(exchange), exchange, &opening).unwrap();
            }
        };

        // Not stored yet: it must not be forgotten, or the exchange would get a second key.
        crowd(&mut sealer);
        let second = sealer.seal(&event(0), 1, &opening).unwrap();
        assert!(second.new_key.is_none() && opens(&second, &key));

        // Stored, and forgotten: the store has it.
        let head = TreeHead { size: TreeSize(1), root: Hash([0; 32]), recorded_at_ns: 1 };
        let batch = Batch {
            entries: vec![Bytes::from_static(b"entry")],
            disclosures: Vec::new(),
            keys: vec![(key.id, key.secret)],
            tiles: Vec::new(),
            chains: Vec::new(),
            head,
            changes: Default::default(),
        };
        store.append(TreeSize(0), &batch).unwrap();
        drop((first, second, held));
        crowd(&mut sealer);
        assert!(sealer.keys.find(&key.id).is_none());
        // So has the next stream of the epoch, which never knew it.
        for mut sealer in [sealer, Sealer::new(store, true)] {
            let third = sealer.seal(&event(0), 2, &opening).unwrap();
            assert!(third.new_key.is_none() && opens(&third, &key));
        }
    }
}
