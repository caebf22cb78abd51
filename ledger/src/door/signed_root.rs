//! The root of the published tree as a COSE_Sign1 message, which anybody completes to receipts (RFC 9942).
//!
//! Signed when it is asked for, and once for each tree: what was published does not change, and the signature of the same
//! bytes is the same after a restart, so nothing is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tlog::{Checkpoint, SignError, SignedRoot, Signer};
use tokio::sync::Mutex;

use super::Doors;

/// RFC 9052, Section 11.3.
const COSE_SIGN1: &str = "application/cose; cose-type=\"cose-sign1\"";

/// How long a caller waits for others whose root is being signed, when the key is elsewhere and slow.
const PATIENCE: Duration = Duration::from_secs(3);

/// Signs the roots of published trees, one after the other.
pub(crate) struct RootSigner {
    key: Arc<dyn Signer>,
    last: Arc<Mutex<Option<(Checkpoint, Bytes)>>>,
}

impl RootSigner {
    pub(crate) fn new(key: Arc<dyn Signer>) -> Self {
        Self { key, last: Arc::default() }
    }

    /// The signed root of this checkpoint, which must be a published one.
    async fn signed(&self, checkpoint: &Checkpoint) -> Result<Bytes, SignError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.last).lock_owned()).await;
        let mut last =
            turn.map_err(|_| SignError::new("the log's key is slow to sign; ask again"))?;
        if let Some((of, message)) = &*last
            && of == checkpoint
        {
            return Ok(message.clone());
        }
        let (key, checkpoint) = (Arc::clone(&self.key), checkpoint.clone());
        // With its turn, so that a caller who goes away leaves no second signature under way.
        let signing = tokio::task::spawn_blocking(move || {
            let message = SignedRoot::sign(&checkpoint, &key)?.encode().map_err(SignError::new)?;
            let message = Bytes::from(message);
            *last = Some((checkpoint, message.clone()));
            Ok(message)
        });
        signing.await.unwrap_or_else(|aborted| Err(SignError::new(aborted)))
    }
}

pub(super) async fn signed_root(State(doors): State<Doors>) -> Response {
    let published = Arc::clone(&doors.published.borrow());
    match doors.root_signer.signed(&published.checkpoint).await {
        Ok(message) => {
            let headers = [(header::CONTENT_TYPE, COSE_SIGN1), (header::CACHE_CONTROL, "no-cache")];
            (headers, message).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the root could not be signed");
            let message = "the log's key does not sign now; ask again, and see /readyz\n";
            (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}
