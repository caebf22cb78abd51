//! Witness cosignatures: timestamped Ed25519, `cosignature/v1`, type 0x04 of
//! [C2SP tlog-cosignature](https://c2sp.org/tlog-cosignature).

use std::fmt;

use zeroize::Zeroizing;

use crate::key::{KeyError, PublicKey, SecretKey};
use crate::note::{Note, NoteError, NoteSignature};

/// The signature type byte of Ed25519 cosignatures.
const COSIGNATURE: u8 = 0x04;
/// Timestamps are POSIX seconds up to this one.
const MAX_TIMESTAMP: u64 = i64::MAX as u64;

/// A key that verifies a witness's cosignatures. Its text form is a vkey with the type byte 0x04.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WitnessKey(PublicKey);

impl WitnessKey {
    /// Reads a vkey of type 0x04, as strictly as [`VerifyingKey::parse`](crate::VerifyingKey::parse).
    ///
    /// # Errors
    /// When it is not such a vkey.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        PublicKey::parse(COSIGNATURE, vkey).map(Self)
    }

    /// The key with this name and these 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// When the name is not allowed in notes, or the bytes are not a usable public key.
    pub fn from_bytes(name: &str, public_key: &[u8; 32]) -> Result<Self, KeyError> {
        PublicKey::new(COSIGNATURE, name, public_key).map(Self)
    }

    /// The witness's name on signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The first four bytes of SHA-256(name ‖ LF ‖ 0x04 ‖ public key).
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.0.id()
    }

    /// The 32 bytes of the public key (RFC 8032).
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// When this witness cosigned the note, in Unix seconds: the latest time, if it did so more
    /// than once; `None` when it did not.
    ///
    /// A cosignature speaks of the checkpoint in the note's text, which the caller parses.
    ///
    /// # Errors
    /// When a signature bears the witness's name and key id but does not verify: the whole note is
    /// then to be rejected.
    pub fn verify(&self, note: &Note) -> Result<Option<u64>, CosignatureError> {
        let mut latest = None;
        for signature in note.signatures_by(self.name(), self.key_id()) {
            latest = latest.max(Some(self.verify_signature(note.text(), signature)?));
        }
        Ok(latest)
    }

    /// The timestamp of one cosignature over this checkpoint text, in Unix seconds.
    ///
    /// # Errors
    /// When it is not this witness's valid cosignature.
    pub fn verify_signature(
        &self,
        text: &str,
        signature: &NoteSignature,
    ) -> Result<u64, CosignatureError> {
        let bad = || CosignatureError::Note(NoteError::bad_signature(signature));
        let ours = signature.name == self.name() && signature.key_id == self.key_id();
        let (timestamp, bytes) = signature.signature.split_first_chunk().ok_or_else(bad)?;
        let bytes: &[u8; 64] = bytes.try_into().map_err(|_| bad())?;
        let timestamp = u64::from_be_bytes(*timestamp);
        let message = message(timestamp, text)?;
        if ours && self.0.verify(message.as_bytes(), bytes) { Ok(timestamp) } else { Err(bad()) }
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A key that makes cosignatures. Its seed is wiped when it is dropped, and `Debug` shows the
/// verifying key only. The same seed must serve no other purpose and no other witness.
#[derive(Clone)]
pub struct WitnessSigningKey(SecretKey);

impl WitnessSigningKey {
    /// The key with this name and this 32-byte seed (RFC 8032), which must come from a
    /// cryptographic random source.
    ///
    /// # Errors
    /// When the name is not allowed in notes.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        SecretKey::new(COSIGNATURE, name, &Zeroizing::new(seed)).map(Self)
    }

    /// Reads `PRIVATE+KEY+<name>+<key id>+<base64 of 0x04 ‖ seed>`, strictly. No error repeats any
    /// part of the text.
    ///
    /// # Errors
    /// When it is not such a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        SecretKey::parse(COSIGNATURE, text).map(Self)
    }

    /// The text that [`parse`](Self::parse) reads. It holds the seed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// The key that verifies this witness's cosignatures.
    #[must_use]
    pub fn witness_key(&self) -> WitnessKey {
        WitnessKey(self.0.public().clone())
    }

    /// The cosignature over the text of a checkpoint's note at this time (Unix seconds). It states
    /// that this is the largest consistent tree of that log seen so far: check that first.
    ///
    /// # Errors
    /// When the time is past 2⁶³ − 1.
    pub fn sign(&self, text: &str, timestamp: u64) -> Result<NoteSignature, CosignatureError> {
        let signature = self.0.sign(message(timestamp, text)?.as_bytes());
        Ok(NoteSignature {
            name: self.0.public().name().to_owned(),
            key_id: self.0.public().id(),
            signature: [timestamp.to_be_bytes().as_slice(), &signature].concat(),
        })
    }
}

impl fmt::Debug for WitnessSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessSigningKey({})", self.0.public())
    }
}

/// The signed message: the header separates it from every other use of Ed25519 over notes.
fn message(timestamp: u64, text: &str) -> Result<String, CosignatureError> {
    if timestamp > MAX_TIMESTAMP {
        return Err(CosignatureError::Timestamp);
    }
    Ok(format!("cosignature/v1\ntime {timestamp}\n{text}"))
}

/// Why a cosignature cannot be made or believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// A signature with the witness's name and key id that does not verify.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A time that cosignatures cannot carry.
    #[error("the time of a cosignature is at most 2^63 - 1 seconds")]
    Timestamp,
}
