//! The common body of all Ed25519 note keys; the type byte tells what they sign.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{KeyError, secret};

const SECRET_PREFIX: &str = "PRIVATE+KEY+";
/// A type byte and 32 bytes; a multiple of three, so its base64 has no padding.
const TYPED_LEN: usize = 33;
const TYPED_BASE64_LEN: usize = 44;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct PublicKey {
    name: String,
    kind: u8,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

impl PublicKey {
    pub(crate) fn new(kind: u8, name: &str, bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?;
        // One encoding per point: two keys that verify the same signatures are then equal.
        let canonical = ed25519_dalek::VerifyingKey::from(key.to_edwards());
        if key.is_weak() || canonical.as_bytes() != bytes {
            return Err(KeyError::Point);
        }
        Self::from_point(kind, name, key)
    }

    fn from_point(
        kind: u8,
        name: &str,
        key: ed25519_dalek::VerifyingKey,
    ) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', kind])
            .chain_update(key.as_bytes())
            .finalize();
        let id = [digest[0], digest[1], digest[2], digest[3]];
        Ok(Self { name: name.to_owned(), kind, id, key })
    }

    pub(crate) fn parse(kind: u8, vkey: &str) -> Result<Self, KeyError> {
        if secret::holds_key(vkey) {
            return Err(KeyError::Secret);
        }
        let (name, id, typed) = split(vkey)?;
        let bytes = decode_typed(kind, typed)?;
        let key = Self::new(kind, name, &bytes)?;
        if key.id == id { Ok(key) } else { Err(KeyError::KeyIdMismatch) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn id(&self) -> [u8; 4] {
        self.id
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id);
        let mut typed = [self.kind; TYPED_LEN];
        typed[1..].copy_from_slice(self.bytes());
        write!(f, "{}+{id:08x}+{}", self.name, STANDARD.encode(typed))
    }
}

/// Wiped on drop by `ed25519_dalek`'s `zeroize` feature.
#[derive(Clone)]
pub(crate) struct SecretKey {
    public: PublicKey,
    key: ed25519_dalek::SigningKey,
}

impl SecretKey {
    pub(crate) fn new(kind: u8, name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = PublicKey::from_point(kind, name, key.verifying_key())?;
        Ok(Self { public, key })
    }

    pub(crate) fn parse(kind: u8, text: &str) -> Result<Self, KeyError> {
        let (name, id, typed) = split(text.strip_prefix(SECRET_PREFIX).ok_or(KeyError::Form)?)?;
        let key = Self::new(kind, name, &*decode_typed(kind, typed)?)?;
        if key.public.id == id { Ok(key) } else { Err(KeyError::KeyIdMismatch) }
    }

    pub(crate) fn encode(&self) -> Zeroizing<String> {
        let mut typed = Zeroizing::new([self.public.kind; TYPED_LEN]);
        typed[1..].copy_from_slice(self.key.as_bytes());
        let mut base64 = Zeroizing::new([0; TYPED_BASE64_LEN]);
        let name = &self.public.name;
        // Sized in advance: growing would leave a copy behind.
        let len = SECRET_PREFIX.len() + name.len() + 10 + TYPED_BASE64_LEN;
        let mut text = Zeroizing::new(String::with_capacity(len));
        text.push_str(SECRET_PREFIX);
        text.push_str(name);
        text.push_str(&format!("+{:08x}+", u32::from_be_bytes(self.public.id)));
        // The buffer has the length of the base64 of 33 bytes, and base64 is ASCII.
        let written =
            STANDARD.encode_slice(typed.as_slice(), base64.as_mut_slice()).unwrap_or_default();
        text.push_str(std::str::from_utf8(&base64[..written]).unwrap_or_default());
        text
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.key.as_bytes())
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// Whether this can be a key name in a note: not empty; no Unicode space, no `+` (signed-note,
/// "Format"), and no control character.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c < ' ')
}

/// Splits `name+id+typed`; names hold no plus, base64 may.
fn split(text: &str) -> Result<(&str, [u8; 4], &str), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
    let (id, typed) = rest.split_once('+').ok_or(KeyError::Form)?;
    let lowercase_hex = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if id.len() != 8 || !lowercase_hex {
        return Err(KeyError::KeyIdForm);
    }
    let id = u32::from_str_radix(id, 16).map_err(|_| KeyError::KeyIdForm)?;
    Ok((name, id.to_be_bytes(), typed))
}

fn decode_typed(kind: u8, typed: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    if typed.len() != TYPED_BASE64_LEN {
        return Err(KeyError::Base64);
    }
    let mut bytes = Zeroizing::new([0; TYPED_LEN]);
    match STANDARD.decode_slice(typed, &mut *bytes) {
        Ok(TYPED_LEN) => {}
        Ok(_) | Err(_) => return Err(KeyError::Base64),
    }
    if bytes[0] != kind {
        return Err(KeyError::Type { expected: kind, actual: bytes[0] });
    }
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(&bytes[1..]);
    Ok(key)
}
