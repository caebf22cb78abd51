//! What goes on of an event beside its data: written anew, and recorded as it is written.

use serde::Serialize;

use super::Piece;

/// Longest `id` that is passed on, in bytes; what a client says back of it has the same bound.
const MAX_ID_BYTES: usize = crate::http::forwarded::MAX_VALUE_BYTES;
/// Most digits of a `retry`.
const MAX_RETRY_DIGITS: usize = 10;

/// Names of events that MCP has; the second in 2024-11-05 only.
const NAMES: [&str; 2] = [DEFAULT_NAME, "endpoint"];
/// What an event without a name is.
const DEFAULT_NAME: &str = "message";
/// In place of any other name: clients that go by names pass such an event over, as they would have.
const OTHER_NAME: &str = "withheld";

/// The fields of an event that go on.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Frame {
    /// Exactly as it came: clients give it back to resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry: Option<u64>,
    /// There is an id, and it cannot be recorded.
    #[serde(skip)]
    pub(super) withholds_id: bool,
}

impl Frame {
    /// The frame of a piece. An id passes when it `is_clean`; without data nothing passes but an id, from which a
    /// client can resume, and how soon it may.
    pub(super) fn of(piece: &Piece, is_clean: impl Fn(&str) -> bool) -> Frame {
        let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).ok();
        let fits = |id: &String| id.len() <= MAX_ID_BYTES && is_clean(id);
        let id = piece.id.as_ref().and_then(text).filter(fits);
        let has_data = piece.data.is_some();
        if !has_data && id.is_none() {
            return Frame::default();
        }
        let name = piece.event.as_deref().filter(|name| has_data && !name.is_empty());
        let known = |name: &[u8]| NAMES.into_iter().find(|known| known.as_bytes() == name);
        let is_number = |text: &String| {
            (1..=MAX_RETRY_DIGITS).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let retry = piece.retry.as_ref().and_then(text).filter(is_number);
        Frame {
            withholds_id: id.is_none() && piece.id.is_some(),
            id,
            event: name.map(|name| known(name).unwrap_or(OTHER_NAME)),
            retry: retry.and_then(|text| text.parse().ok()),
        }
    }

    /// The FRAME disclosure; none when the frame says no more than that there is a message.
    pub(crate) fn recorded(&self) -> Option<Vec<u8>> {
        let is_default = self.event.is_none_or(|name| name == DEFAULT_NAME);
        if self.id.is_none() && self.retry.is_none() && is_default {
            return None;
        }
        // Strings and numbers always serialize.
        Some(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Can a client resume after this event?
    pub(crate) fn has_id(&self) -> bool {
        self.id.is_some()
    }
}
