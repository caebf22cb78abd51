//! Cursors: a position in one log, opaque to the client.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use tlog::leaf_hash;

use crate::door::error::DoorError;

const VERSION: u8 = 1;

/// base64url of version, index (big endian) and the first 8 bytes of a hash of the origin.
pub(crate) fn encode(index: u64, origin: &str) -> String {
    let mut bytes = [0; 17];
    bytes[0] = VERSION;
    bytes[1..9].copy_from_slice(&index.to_be_bytes());
    bytes[9..].copy_from_slice(&log_id(origin));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The index of the next row.
pub(crate) fn decode(cursor: &str, origin: &str, size: u64) -> Result<u64, DoorError> {
    let bad = |message: &str| {
        DoorError::new(StatusCode::BAD_REQUEST, "feed_bad_cursor", message)
            .hint("use a cursor as it was given, or none to start at the first event")
    };
    let bytes: [u8; 17] = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .filter(|bytes: &[u8; 17]| bytes[0] == VERSION)
        .ok_or_else(|| bad("the cursor is none that was given here"))?;
    if bytes[9..] != log_id(origin) {
        return Err(bad("the cursor is of another log"));
    }
    let mut index = [0; 8];
    index.copy_from_slice(&bytes[1..9]);
    let index = u64::from_be_bytes(index);
    // Another query node may be ahead of this one.
    if index > size.saturating_add(MAX_AHEAD) {
        return Err(bad("the cursor lies beyond the end of the log"));
    }
    Ok(index)
}

/// How far a cursor may be ahead of what this node has verified.
const MAX_AHEAD: u64 = 1 << 20;

fn log_id(origin: &str) -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&leaf_hash(origin.as_bytes()).0[..8]);
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back(index in 0u64..1 << 40, text in ".{0,40}") {
            let cursor = encode(index, "log.example");
            prop_assert_eq!(decode(&cursor, "log.example", index).unwrap(), index);
            let other = decode(&cursor, "other.example", index).unwrap_err();
            prop_assert_eq!(other.code(), "feed_bad_cursor");
            prop_assert!(decode(&text, "log.example", u64::MAX).is_err() || text == cursor);
        }
    }

    #[test]
    fn a_cursor_far_beyond_the_log_is_refused() {
        let cursor = encode(u64::MAX, "log.example");
        assert_eq!(decode(&cursor, "log.example", 10).unwrap_err().code(), "feed_bad_cursor");
    }
}
