//! Content in base64: what it encodes is searched.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::detect::LENIENT_BASE64;
use crate::json::Node;

/// Shortest run of printable text that is searched in content that is no text.
const MIN_RUN_BYTES: usize = 12;

/// Media types that are searched only when their bytes are text.
const MEDIA: [&str; 4] = ["image/", "audio/", "video/", "font/"];

/// What an object says of the base64 in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoded {
    /// Pictures, sound and the like: searched only when it is text after all.
    Media,
    /// Anything else that the protocol encodes: withheld when it cannot be decoded.
    Content,
    /// A member that only has the name: searched when it can be decoded.
    Perhaps,
}

impl Encoded {
    /// What stands in the member `key` of `object`: nothing unless the protocol encodes it.
    pub(super) fn of(object: Node<'_>, key: &str) -> Option<Self> {
        let is_blob = key == "blob";
        if !is_blob && key != "data" {
            return None;
        }
        let member = |name| object.get(name).and_then(Node::as_str);
        let kind = member("type");
        if let Some(media_type) = member("mimeType") {
            let media_type = media_type.trim_start().to_ascii_lowercase();
            let is_media = MEDIA.iter().any(|kind| media_type.starts_with(kind));
            return Some(match (is_media, is_blob || kind.is_some()) {
                (true, _) => Encoded::Media,
                (false, true) => Encoded::Content,
                (false, false) => Encoded::Perhaps,
            });
        }
        match kind.as_deref() {
            Some("image" | "audio") => Some(Encoded::Media),
            _ if !is_blob => None,
            _ if member("uri").is_some() => Some(Encoded::Content),
            _ => Some(Encoded::Perhaps),
        }
    }
}

/// The bytes that base64 encodes, in either alphabet, with white space or without padding.
pub(super) fn decode(encoded: &str) -> Option<Vec<u8>> {
    let mut plain = String::with_capacity(encoded.len());
    for character in encoded.chars().filter(|character| !character.is_whitespace()) {
        plain.push(match character {
            '-' => '+',
            '_' => '/',
            other => other,
        });
    }
    LENIENT_BASE64.decode(plain).ok()
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes with the text in them masked by `mask`, or nothing when nothing is masked.
pub(super) fn masked(
    bytes: &[u8],
    encoded: Encoded,
    mut mask: impl FnMut(&str) -> Option<String>,
) -> Option<Vec<u8>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return mask(text).map(String::into_bytes);
    }
    if encoded == Encoded::Media {
        return None;
    }
    let mut changed = false;
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for run in chunk.valid().split_inclusive(is_binary) {
            let (text, end) = match run.char_indices().next_back() {
                Some((at, last)) if is_binary(last) => run.split_at(at),
                _ => (run, ""),
            };
            let masked = if text.len() < MIN_RUN_BYTES { None } else { mask(text) };
            changed |= masked.is_some();
            let text = masked.map_or(Cow::Borrowed(text), Cow::Owned);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(end.as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
    changed.then_some(out)
}

fn is_binary(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}
