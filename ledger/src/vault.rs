//! Disclosures at rest: AES-256-GCM under a random key per exchange.
//!
//! Destroying the key erases every disclosure of the exchange, in the store and in whatever a compaction left
//! behind. The commitment in the leaf authenticates the content, so the ciphertext needs no further binding.
//!
//! Sealed form: key id (16 bytes) ‖ nonce (12: sequence u64 BE ‖ slot u32 BE) ‖ ciphertext of salt ‖ content.
//! A key belongs to one exchange of one recorder epoch, where a sequence number stands once: no nonce repeats.
//!
//! A key id never comes back. A destroyed key leaves its id in the store, with nothing; what is disclosed in its exchange
//! afterwards is sealed under a key of its own event. What was sealed before the destruction, and comes to the sequencer
//! behind it, is sealed anew there.
//!
//! A key of its own event also seals what must not go with others: an event of a kind that is never erased, if it bears the
//! id of an exchange; and one outside exchanges whose event id stood in the epoch before.

mod sealer;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use aes_gcm::aead::{Aead, AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;
use proto::v1::{Event, Opening};
use tlog::LeafIndex;

pub(crate) use self::sealer::{NotSealed, Sealer};
use crate::store::StoreError;

/// Names the key of an exchange without naming the exchange.
pub(crate) type KeyId = [u8; 16];

pub(crate) const KEY_ID_BYTES: usize = 16;
pub(crate) const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// The id of the key under which the disclosures of `event` are sealed, unless that is its [`own_key_id`]: one for each exchange
/// of a recorder's epoch; an event outside an exchange has its own.
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
    finished(&hasher)
}

/// The id of the key that seals the disclosures of `event` when [`key_id`] is destroyed, or not for it. Its number stands once
/// in its epoch, so it was never destroyed before.
pub(crate) fn own_key_id(event: &Event) -> KeyId {
    let recorder = event.recorder.clone().unwrap_or_default();
    own_key_id_at(&recorder.epoch, &recorder.recorder_id, recorder.sequence)
}

/// The same, by where the event stands.
pub(crate) fn own_key_id_at(epoch: &[u8], recorder_id: &str, sequence: u64) -> KeyId {
    let mut hasher = blake3::Hasher::new_derive_key("exhibit 2026 disclosure key id v1");
    hasher.update(epoch).update(recorder_id.as_bytes());
    hasher.update(b"/sequence/").update(&sequence.to_be_bytes());
    finished(&hasher)
}

fn finished(hasher: &blake3::Hasher) -> KeyId {
    let mut id = [0; KEY_ID_BYTES];
    hasher.finalize_xof().fill(&mut id);
    id
}

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
    /// Their key, when there are any.
    key: Option<Arc<DisclosureKey>>,
    /// No earlier event brought the key to the store.
    is_new: bool,
    /// The store's count of destructions when this key was known not to be destroyed.
    destructions: u64,
}

impl Sealed {
    /// The key, when it comes to the store with these.
    pub(crate) fn new_key(&self) -> Option<&DisclosureKey> {
        self.key.as_deref().filter(|_| self.is_new)
    }

    /// The id of the key, if it may have been destroyed since: the store counts so many destructions now, and `destroyed`
    /// are about to be.
    pub(crate) fn may_be_destroyed(
        &self,
        destructions: u64,
        destroyed: &HashSet<KeyId>,
    ) -> Option<KeyId> {
        let id = self.key.as_ref()?.id;
        (self.destructions != destructions || destroyed.contains(&id)).then_some(id)
    }

    /// Seals the same under a fresh key of this id: the key that it has was destroyed before it came to the store.
    ///
    /// # Errors
    /// [`StoreError`] when there is no randomness.
    pub(crate) fn seal_anew(&mut self, id: KeyId) -> Result<(), StoreError> {
        let Some(old) = self.key.take() else { return Ok(()) };
        let key = DisclosureKey { id, secret: fresh_key()? };
        for (slot, sealed) in &mut self.disclosures {
            *sealed = under(&key, *slot, sealed, old.secret)?;
        }
        (self.key, self.is_new) = (Some(Arc::new(key)), true);
        Ok(())
    }
}

/// What is sealed with an old key, sealed with another.
///
/// # Errors
/// [`StoreError::Damaged`] when the old key does not open it.
pub(crate) fn under(
    key: &DisclosureKey,
    slot: i32,
    sealed: &[u8],
    old: [u8; 32],
) -> Result<Vec<u8>, StoreError> {
    let damaged = || StoreError::Damaged(format!("slot {slot} cannot be sealed anew"));
    let nonce = sealed.get(KEY_ID_BYTES..).and_then(<[u8]>::first_chunk).copied();
    let opening = open(sealed, slot, |_| Ok(Some(old)))?.ok_or_else(damaged)?;
    seal(&cipher(&key.secret), &key.id, nonce.ok_or_else(damaged)?, &opening)
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

/// Says of which leaf a disclosure does not open. Whoever reads it gets the leaf without it, as one that is withheld.
pub(crate) fn report_unreadable(index: LeafIndex, slot: i32, reason: &str) {
    let slot = proto::disclosure::slot_name(slot);
    tracing::error!(
        leaf = index.0,
        slot,
        reason,
        "a disclosure cannot be opened; run `exhibit fsck`"
    );
    metrics::counter!("exhibit_ledger_unreadable_disclosures_total").increment(1);
}

/// A fresh random key.
///
/// # Errors
/// [`StoreError::Engine`] when the operating system has no randomness to give.
pub(crate) fn fresh_key() -> Result<[u8; 32], StoreError> {
    let mut key = [0; 32];
    fill(&mut key)?;
    Ok(key)
}

/// # Errors
/// [`StoreError::Engine`] when the operating system has no randomness to give.
fn fill(random: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(random).map_err(|error| StoreError::Engine {
        path: "the operating system's random source".into(),
        reason: error.to_string(),
    })
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

/// One disclosure of 32 bytes of salt and this content, sealed.
#[cfg(test)]
pub(crate) fn sealed(id: &KeyId, key: &[u8; 32], slot: i32, content: Vec<u8>) -> Vec<u8> {
    let opening = Opening { slot, salt: vec![7; SALT_BYTES].into(), content: content.into() };
    seal(&cipher(key), id, nonce(0, slot), &opening).unwrap()
}

#[cfg(test)]
mod tests;
