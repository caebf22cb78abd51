//! Disclosures at rest: AES-256-GCM under a random key per exchange.
//!
//! Destroying the key erases every disclosure of the exchange, in the store and in whatever a compaction left
//! behind. The commitment in the leaf authenticates the content, so the ciphertext needs no further binding.
//!
//! Sealed form: key id (16 bytes) ‖ nonce (12: sequence u64 BE ‖ slot u32 BE) ‖ ciphertext of salt ‖ content.
//! A key belongs to one exchange of one recorder epoch, where a sequence number stands once: no nonce repeats.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;
use proto::v1::{Event, Opening};

use crate::store::StoreError;

/// Names the key of an exchange without naming the exchange.
pub(crate) type KeyId = [u8; 16];

const KEY_ID_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 32;

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

/// Seals one opening.
///
/// # Errors
/// [`StoreError::Damaged`] if the cipher refuses, which it does only beyond 64 GiB.
pub(crate) fn seal(
    id: &KeyId,
    key: &[u8; 32],
    sequence: u64,
    opening: &Opening,
) -> Result<Vec<u8>, StoreError> {
    let nonce = nonce(sequence, opening.slot);
    let plain = [&opening.salt[..], &opening.content[..]].concat();
    let ciphertext = cipher(key)
        .encrypt(&Nonce::from(nonce), &plain[..])
        .map_err(|_| StoreError::Damaged("a disclosure could not be encrypted".into()))?;
    Ok([&id[..], &nonce[..], &ciphertext[..]].concat())
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

fn nonce(sequence: u64, slot: i32) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&sequence.to_be_bytes());
    nonce[8..].copy_from_slice(&slot.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let opening = Opening {
            slot: 2,
            salt: Bytes::from_static(&[5; 32]),
            content: Bytes::from_static(b"the message"),
        };
        let key = fresh_key().unwrap();
        let sealed = seal(&[1; 16], &key, 7, &opening).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"message"));
        assert_eq!(open(&sealed, 2, |_| Ok(Some(key))).unwrap(), Some(opening));
        assert_eq!(open(&sealed, 2, |_| Ok(None)).unwrap(), None);
        for at in 16..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed, 2, |_| Ok(Some(key))).is_err(), "byte {at}");
        }
    }
}
