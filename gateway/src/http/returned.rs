//! What goes on to the caller of a response's head: a closed list of headers, and in each a closed set of values.
//!
//! A header that went on as it came would be a way past masking and record. Only the session's id is passed as the
//! server made it, because the caller must give it back; its form and length are bound.

use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue};

use super::headers::{ContentType, PROTOCOL_VERSION, SESSION_ID, text};
use crate::http::forwarded::MAX_VALUE_BYTES;
use crate::message::era;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Longest whole number in a header, in digits.
const MAX_DIGITS: usize = 10;
/// Directives of `Cache-Control` that are passed on; the first three may have seconds.
const CACHE: [&str; 10] = [
    "max-age",
    "s-maxage",
    "stale-while-revalidate",
    "no-cache",
    "no-store",
    "no-transform",
    "must-revalidate",
    "private",
    "public",
    "immutable",
];

/// What a response's body is, by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// `application/json`, or a type that ends in `+json`.
    Json,
    /// `text/event-stream`.
    Events,
    /// Anything else, or nothing.
    Text,
    /// It cannot be read, so it cannot be masked: why.
    Unreadable(&'static str),
}

/// What the body of a response with these headers is.
pub(crate) fn body_kind(headers: &HeaderMap) -> BodyKind {
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return BodyKind::Unreadable("it is compressed, though nobody asked for that");
    }
    match ContentType::of(headers) {
        Some(kind) if !kind.is_utf8 => BodyKind::Unreadable("its charset is not UTF-8"),
        Some(kind) if kind.essence == "text/event-stream" => BodyKind::Events,
        Some(kind) if kind.is_json() => BodyKind::Json,
        _ => BodyKind::Text,
    }
}

/// Is the session's id of the form that MCP asks for, and within bounds?
pub(crate) fn is_session_id(value: &HeaderValue) -> bool {
    (1..=MAX_VALUE_BYTES).contains(&value.len())
        && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// The headers of a response that go on to the caller.
pub(crate) fn returned(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::new();
    let mut pass = |name: HeaderName, value: Option<String>| {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            passed.insert(name, value);
        }
    };
    let value = |name: &HeaderName| text(headers, name).map(str::trim);
    pass(CONTENT_TYPE, ContentType::of(headers).map(|kind| media_type(&kind).to_owned()));
    pass(RETRY_AFTER, value(&RETRY_AFTER).filter(|text| is_number(text)).map(str::to_owned));
    let revision = value(&PROTOCOL_VERSION).filter(|text| era::is_revision(text));
    pass(PROTOCOL_VERSION, revision.map(str::to_owned));
    let buffering = value(&ACCEL_BUFFERING).filter(|text| ["yes", "no"].contains(text));
    pass(ACCEL_BUFFERING, buffering.map(str::to_owned));
    pass(CACHE_CONTROL, value(&CACHE_CONTROL).and_then(|list| known(list, is_cache_directive)));
    let is_method = |word: &str| ["GET", "POST", "DELETE"].contains(&word);
    pass(ALLOW, value(&ALLOW).and_then(|list| known(list, is_method)));
    if let Some(session) = headers.get(SESSION_ID).filter(|value| is_session_id(value)) {
        passed.insert(SESSION_ID, session.clone());
    }
    passed
}

/// The type in one of a few words.
fn media_type(kind: &ContentType) -> &'static str {
    match kind.essence.as_str() {
        "text/event-stream" => "text/event-stream",
        "text/html" => "text/html; charset=utf-8",
        _ if kind.is_json() => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

/// The known elements of a list.
fn known(list: &str, is_known: impl Fn(&str) -> bool) -> Option<String> {
    let elements: Vec<&str> =
        list.split(',').map(str::trim).filter(|word| is_known(word)).collect();
    (!elements.is_empty() && elements.len() <= CACHE.len()).then(|| elements.join(", "))
}

fn is_cache_directive(word: &str) -> bool {
    match word.split_once('=') {
        Some((name, seconds)) => CACHE[..3].contains(&name) && is_number(seconds),
        None => CACHE.contains(&word),
    }
}

fn is_number(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::tests::map;

    #[test]
    fn only_known_headers_with_known_values_go_on() {
        let all = map(&[
            ("content-type", "application/json; charset=utf-8; x=secret"),
            ("mcp-session-id", "s-1"),
            ("mcp-protocol-version", "2025-11-25"),
            ("x-accel-buffering", "no"),
            ("cache-control", "no-cache, x=secret, max-age=60, no-transform"),
            ("retry-after", "30"),
            ("allow", "GET, POST, SECRET"),
            ("set-cookie", "a=b"),
            ("www-authenticate", "Bearer"),
            ("location", "http://upstream"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("x-debug", "grace@example.com"),
            ("server", "secret"),
        ]);
        let passed = returned(&all);
        let expected = map(&[
            ("content-type", "application/json"),
            ("mcp-session-id", "s-1"),
            ("mcp-protocol-version", "2025-11-25"),
            ("x-accel-buffering", "no"),
            ("cache-control", "no-cache, max-age=60, no-transform"),
            ("retry-after", "30"),
            ("allow", "GET, POST"),
        ]);
        assert_eq!(passed, expected);
    }

    #[test]
    fn values_that_could_say_anything_stay_here() {
        let all = map(&[
            ("content-type", "secret/hunter2"),
            ("mcp-session-id", "a b"),
            ("mcp-protocol-version", "hunter2"),
            ("x-accel-buffering", "hunter2"),
            ("cache-control", "hunter2"),
            ("retry-after", "4111111111111111"),
            ("allow", "HUNTER2"),
        ]);
        assert_eq!(returned(&all), map(&[("content-type", "text/plain; charset=utf-8")]));
        assert_eq!(returned(&HeaderMap::new()), HeaderMap::new());
        assert!(!is_session_id(&HeaderValue::try_from("x".repeat(MAX_VALUE_BYTES + 1)).unwrap()));
    }

    #[test]
    fn bodies_are_told_by_their_type() {
        let kind = |value: &'static str| body_kind(&map(&[("content-type", value)]));
        assert_eq!(kind("Application/JSON; charset=utf-8"), BodyKind::Json);
        assert_eq!(kind("application/problem+json"), BodyKind::Json);
        assert_eq!(kind("text/event-stream;charset=utf-8"), BodyKind::Events);
        assert_eq!(kind("text/html"), BodyKind::Text);
        assert_eq!(body_kind(&HeaderMap::new()), BodyKind::Text);
        for unreadable in ["application/json; charset=utf-7", "text/event-stream; charset=utf-16"] {
            assert!(matches!(kind(unreadable), BodyKind::Unreadable(_)), "{unreadable}");
        }
        let gzip = body_kind(&map(&[("content-encoding", "gzip")]));
        assert!(matches!(gzip, BodyKind::Unreadable(_)));
    }
}
