//! Note keys: Ed25519 signatures over text, type 0x01 of
//! [C2SP signed-note](https://c2sp.org/signed-note).

mod ed25519;
mod secret;

use std::fmt;

use zeroize::Zeroizing;

use crate::note::NoteSignature;
pub(crate) use ed25519::{PublicKey, SecretKey, is_key_name};
pub use secret::without_keys;

/// The signature type byte of Ed25519 note signatures.
const ED25519: u8 = 0x01;

/// A key that verifies Ed25519 note signatures.
///
/// Text form (`Display`, `Debug`, [`parse`](Self::parse)) is the vkey
/// `<name>+<key id, 8 hex digits>+<base64 of 0x01 ‖ public key>`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey(PublicKey);

impl VerifyingKey {
    /// Reads a vkey, strictly: the key id must be that of name and key, the key a canonical point
    /// that is not of small order.
    ///
    /// # Errors
    /// When it is not such a vkey.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        PublicKey::parse(ED25519, vkey).map(Self)
    }

    /// The key with this name and these 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// When the name is not allowed in notes, or the bytes are not a usable public key.
    pub fn from_bytes(name: &str, public_key: &[u8; 32]) -> Result<Self, KeyError> {
        PublicKey::new(ED25519, name, public_key).map(Self)
    }

    /// The key name: on signature lines, and the origin of a log's checkpoints.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The first four bytes of SHA-256(name ‖ LF ‖ 0x01 ‖ public key): the big-endian key id.
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        self.0.id()
    }

    /// The 32 bytes of the public key (RFC 8032).
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// Whether this is the key's signature over the message. Malleable forms (non-canonical or
    /// small-order R, unreduced S) are refused.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify(message, signature)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(vkey: &str) -> Result<Self, KeyError> {
        Self::parse(vkey)
    }
}

/// A key that makes Ed25519 note signatures. Its seed is wiped when it is dropped, and `Debug`
/// shows the verifying key only.
#[derive(Clone)]
pub struct SigningKey(SecretKey);

impl SigningKey {
    /// The key with this name and this 32-byte seed (RFC 8032), which must come from a
    /// cryptographic random source.
    ///
    /// # Errors
    /// When the name is not allowed in notes: it must not be empty nor hold a Unicode space, a `+`
    /// or a control character.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        SecretKey::new(ED25519, name, &Zeroizing::new(seed)).map(Self)
    }

    /// Reads `PRIVATE+KEY+<name>+<key id, 8 hex digits>+<base64 of 0x01 ‖ seed>`, strictly. No
    /// error repeats any part of the text.
    ///
    /// # Errors
    /// When it is not such a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        SecretKey::parse(ED25519, text).map(Self)
    }

    /// The text that [`parse`](Self::parse) reads. It holds the seed.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// The seed (RFC 8032), for other forms of the same key.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.0.seed()
    }

    /// The key name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.public().name()
    }

    /// The key that verifies this key's signatures.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.public().clone())
    }

    /// The Ed25519 signature over these bytes.
    #[must_use]
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    /// The signature line of a note with this text, which must end with a newline.
    #[must_use]
    pub fn sign_note(&self, text: &str) -> NoteSignature {
        NoteSignature {
            name: self.name().to_owned(),
            key_id: self.0.public().id(),
            signature: self.sign_bytes(text.as_bytes()).to_vec(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.0.public())
    }
}

/// Why a text is not a key. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name cannot stand on a signature line.
    #[error("a key name must not be empty nor hold a space, a `+` or a control character")]
    Name,
    /// The parts are not there.
    #[error(
        "a verifier key is `<name>+<8 hex digits>+<base64>`, a signing key has `PRIVATE+KEY+` before it"
    )]
    Form,
    /// A signing key where its public half belongs.
    #[error(
        "this is a signing key, which nobody else may have; here belongs its vkey, the line that was printed when the key \
         was made"
    )]
    Secret,
    /// The key id is not eight lowercase hex digits.
    #[error("the key id is not eight lowercase hex digits")]
    KeyIdForm,
    /// The key id is that of another name or key.
    #[error("the key id does not belong to this name and key: one of the three was altered")]
    KeyIdMismatch,
    /// The last part is not the base64 of a type byte and 32 bytes.
    #[error("the last part is not canonical base64 of a type byte and 32 bytes of an Ed25519 key")]
    Base64,
    /// The key is for another type of signature.
    #[error("the key is of type 0x{actual:02x}, this place needs type 0x{expected:02x}")]
    Type {
        /// The type byte that this place needs.
        expected: u8,
        /// The type byte of the key.
        actual: u8,
    },
    /// The bytes are not a point that signatures can be verified with.
    #[error("the 32 bytes are not a usable Ed25519 public key")]
    Point,
}
