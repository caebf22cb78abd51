//! How a recorder proves its key when it opens an Append stream.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::ids::Id;

/// The text that a recorder signs to answer a challenge; bound to log, recorder, epoch and nonce, so that a
/// signature opens one stream of one log once.
pub fn challenge_text(origin: &str, recorder_id: &str, epoch: Id, nonce: &[u8]) -> String {
    format!("exhibit/append@v1\n{origin}\n{recorder_id}\n{epoch}\n{}\n", STANDARD.encode(nonce))
}
