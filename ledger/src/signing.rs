//! Asking for a signature without holding up whoever else runs on the executor: the key may be in another process.

use std::sync::Arc;

use tlog::{SignError, Signer};

/// The key's signature over the bytes of a text.
///
/// # Errors
/// When the key does not sign now.
pub(crate) async fn sign(key: &Arc<dyn Signer>, text: String) -> Result<[u8; 64], SignError> {
    let key = Arc::clone(key);
    let signing = tokio::task::spawn_blocking(move || key.sign_bytes(text.as_bytes()));
    signing.await.unwrap_or_else(|aborted| Err(SignError::new(aborted)))
}
