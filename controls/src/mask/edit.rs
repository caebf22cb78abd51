//! Replacing byte ranges.

use std::ops::Range;

/// A token's bytes and what replaces them.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) span: Range<usize>,
    pub(super) bytes: Vec<u8>,
}

/// Applies disjoint edits.
pub(super) fn apply(message: &[u8], edits: &mut [Edit]) -> Vec<u8> {
    edits.sort_by_key(|edit| edit.span.start);
    let mut out = Vec::with_capacity(message.len() + edits.len() * 16);
    let mut from = 0;
    for edit in edits {
        out.extend_from_slice(&message[from..edit.span.start]);
        out.extend_from_slice(&edit.bytes);
        from = edit.span.end;
    }
    out.extend_from_slice(&message[from..]);
    out
}

/// Applies disjoint edits to a text; they end where characters do.
pub(super) fn apply_to_text(text: &str, edits: &mut [Edit]) -> String {
    String::from_utf8_lossy(&apply(text.as_bytes(), edits)).into_owned()
}
