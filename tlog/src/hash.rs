//! Leaf and node hashing: [RFC 6962, Section 2.1](https://www.rfc-editor.org/rfc/rfc6962#section-2.1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const LEAF_PREFIX: u8 = 0x00;
const NODE_PREFIX: u8 = 0x01;
const BASE64_LEN: usize = 44;

/// A SHA-256 hash: of a leaf, of a node, or the root of a tree.
///
/// `Debug` prints lowercase hex, `Display` padded standard base64 (44 characters), the spelling of
/// the note formats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The length of a hash in bytes.
    pub const LEN: usize = 32;

    /// The root of the tree that has no leaf: SHA-256 of nothing.
    #[must_use]
    pub fn empty_root() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads padded standard base64, exactly as `Display` writes it.
    ///
    /// # Errors
    /// When the text is not 44 characters, or not the canonical base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, HashParseError> {
        if text.len() != BASE64_LEN {
            return Err(HashParseError::Base64Length { actual: text.len() });
        }
        let mut bytes = [0; Self::LEN + 1];
        let len = STANDARD.decode_slice(text, &mut bytes).map_err(|_| HashParseError::Base64)?;
        Self::try_from(bytes.get(..len).unwrap_or_default())
    }
}

/// The hash of a leaf: SHA-256(0x00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([LEAF_PREFIX]).chain_update(entry).finalize().into())
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [NODE_PREFIX; 1 + 2 * Hash::LEN];
    input[1..=Hash::LEN].copy_from_slice(&left.0);
    input[1 + Hash::LEN..].copy_from_slice(&right.0);
    Hash(Sha256::digest(input).into())
}

/// Why bytes or text are not a [`Hash`](struct@Hash).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashParseError {
    /// The byte string is not 32 bytes long.
    #[error("a hash has 32 bytes, here are {actual}")]
    Length {
        /// How many bytes there were.
        actual: usize,
    },
    /// The base64 text is not 44 characters long.
    #[error("a hash is 44 characters of padded base64, here are {actual} bytes of text")]
    Base64Length {
        /// How many bytes of text there were.
        actual: usize,
    },
    /// The text is not the canonical base64 of 32 bytes.
    #[error("not the canonical padded standard base64 of a 32-byte hash")]
    Base64,
}

impl TryFrom<&[u8]> for Hash {
    type Error = HashParseError;

    fn try_from(bytes: &[u8]) -> Result<Self, HashParseError> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(HashParseError::Length { actual: bytes.len() }),
        }
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base64::display::Base64Display::new(&self.0, &STANDARD).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_rfc_6962() {
        assert_eq!(
            format!("{:?}", Hash::empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            format!("{:?}", leaf_hash(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            format!("{:?}", node_hash(&leaf_hash(b""), &leaf_hash(&[0]))),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn base64_has_one_spelling() {
        let hash = leaf_hash(b"x");
        let text = hash.to_string();
        assert_eq!(Hash::from_base64(&text), Ok(hash));
        assert!(Hash::from_base64(text.trim_end_matches('=')).is_err());
        assert!(Hash::from_base64(&format!("{text}\n")).is_err());
        // The last character before the padding carries two bits that must be zero.
        let mut loose = text.clone().into_bytes();
        loose[42] += 1;
        assert!(Hash::from_base64(std::str::from_utf8(&loose).unwrap()).is_err());
        // 33 bytes and 31 bytes also fit 44 characters.
        assert!(Hash::from_base64(&"A".repeat(44)).is_err());
        assert!(Hash::from_base64(&format!("{}==", "A".repeat(42))).is_err());
    }
}
