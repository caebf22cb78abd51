//! What signs with a note key: the key itself, or something that holds it and answers.

use std::fmt;
use std::sync::Arc;

use crate::key::{SigningKey, VerifyingKey};
use crate::note::NoteSignature;

/// One Ed25519 note key that can be asked for signatures, wherever it is kept.
///
/// Signing may block for as long as the keeper of the key takes to answer; who runs on an executor asks from a thread
/// that may wait.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The key that verifies what this signs; known without asking anybody.
    fn verifying_key(&self) -> VerifyingKey;

    /// The Ed25519 signature (RFC 8032) over these bytes.
    ///
    /// # Errors
    /// When the key cannot be had now. It may sign at the next attempt.
    fn sign_bytes(&self, message: &[u8]) -> Result<[u8; 64], SignError>;

    /// The signature line of a note with this text, which must end with a newline.
    ///
    /// # Errors
    /// As [`Signer::sign_bytes`].
    fn sign_note(&self, text: &str) -> Result<NoteSignature, SignError> {
        let signature = self.sign_bytes(text.as_bytes())?.to_vec();
        let key = self.verifying_key();
        Ok(NoteSignature { name: key.name().to_owned(), key_id: key.key_id(), signature })
    }
}

impl Signer for SigningKey {
    fn verifying_key(&self) -> VerifyingKey {
        SigningKey::verifying_key(self)
    }

    fn sign_bytes(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(SigningKey::sign_bytes(self, message))
    }
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn verifying_key(&self) -> VerifyingKey {
        (**self).verifying_key()
    }

    fn sign_bytes(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        (**self).sign_bytes(message)
    }
}

/// Why a key did not sign, in words that say what to do. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignError(String);

impl SignError {
    /// With these words.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
