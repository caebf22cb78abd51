//! Which headers of a request go on to the server: a closed list.
//!
//! A header that went on unseen would be a way around policy, masking and record. So each is one of a few known
//! words, or was found equal to the body, or stands among the decided arguments, or is recorded
//! ([`FREE`], in CLIENT). The credentials, cookies and trace baggage of a caller stay here.

use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use controls::PARAMETER_PREFIX;

use super::headers::{
    ContentType, LAST_EVENT_ID, PROTOCOL_VERSION, SESSION_ID, TRACEPARENT, text, trace_id,
};
use crate::message::Message;
use crate::message::mirror;

/// Headers that are passed on with whatever stands in them, and recorded.
pub(crate) const FREE: [HeaderName; 2] = [PROTOCOL_VERSION, LAST_EVENT_ID];
/// Longest value of them, and of any other header that is passed on as it came, in bytes.
pub(crate) const MAX_VALUE_BYTES: usize = 1024;
/// Types of answers that a client of MCP can ask for.
const ACCEPTED: [&str; 7] = [
    "application/json",
    "text/event-stream",
    "application/*",
    "text/*",
    "text/plain",
    "text/html",
    "*/*",
];

/// A request is not one that can be passed on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// Two readers could read two values.
    #[error("the header {0} is there more than once: send it once")]
    Twice(HeaderName),
    /// It could not be recorded as it stands.
    #[error("the header {0} must be text of at most {MAX_VALUE_BYTES} bytes")]
    Unrecordable(HeaderName),
    /// The body would be read otherwise than it is judged.
    #[error(
        "the content-type of a message must be `application/json`, and its charset UTF-8: send that"
    )]
    MediaType,
}

/// Checks the headers of a request that has a body or not.
///
/// # Errors
/// [`Unfit`].
pub(crate) fn check(headers: &HeaderMap, has_body: bool) -> Result<(), Unfit> {
    let decides = |name: &HeaderName| {
        name.as_str().starts_with("mcp-") || [CONTENT_TYPE, LAST_EVENT_ID].contains(name)
    };
    for name in headers.keys().filter(|name| decides(name)) {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Unfit::Twice(name.clone()));
        }
    }
    for name in FREE.iter().chain([&SESSION_ID]) {
        let fits = |value: &HeaderValue| {
            value.len() <= MAX_VALUE_BYTES && std::str::from_utf8(value.as_bytes()).is_ok()
        };
        if headers.get(name).is_some_and(|value| !fits(value)) {
            return Err(Unfit::Unrecordable(name.clone()));
        }
    }
    let is_json = |kind: ContentType| kind.essence == "application/json" && kind.is_utf8;
    if has_body && !ContentType::of(headers).is_some_and(is_json) {
        return Err(Unfit::MediaType);
    }
    Ok(())
}

/// The headers that go on with `message`, whose mirrors were checked; a session only when `with_session`.
pub(crate) fn forwarded(
    headers: &HeaderMap,
    message: Option<&Message>,
    with_session: bool,
) -> HeaderMap {
    let mut passed = HeaderMap::new();
    let mut pass = |name: &HeaderName| {
        if let Some(value) = headers.get(name) {
            passed.insert(name.clone(), value.clone());
        }
    };
    FREE.iter().for_each(&mut pass);
    if with_session {
        pass(&SESSION_ID);
    }
    if let Some(message) = message {
        mirror::compared(message).for_each(|name| pass(&name));
        let parameters = headers.keys().filter(|name| name.as_str().starts_with(PARAMETER_PREFIX));
        parameters.for_each(&mut pass);
    }
    if is_traceparent(headers) {
        pass(&TRACEPARENT);
    }
    if message.is_some() {
        passed.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(accept) = accepted(headers) {
        passed.insert(ACCEPT, accept);
    }
    passed
}

/// `Accept` in known words: what the caller can read, without its preferences.
fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = asked.flat_map(|value| value.split(','));
    let essences = ranges.map(|range| range.split(';').next().unwrap_or_default().trim());
    let mut known: Vec<&str> = Vec::new();
    for essence in essences {
        let found = ACCEPTED.iter().find(|known| known.eq_ignore_ascii_case(essence));
        known.extend(found.filter(|found| !known.contains(found)));
    }
    if known.is_empty() && !headers.contains_key(ACCEPT) {
        return None;
    }
    // Known words are always a value.
    HeaderValue::try_from(known.join(", ")).ok()
}

/// One `traceparent` of exactly the form that is defined, with no room for anything else.
fn is_traceparent(headers: &HeaderMap) -> bool {
    let lengths = |value: &str| value.split('-').map(str::len).eq([2, 32, 16, 2]);
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    trace_id(headers).is_some()
        && text(headers, &TRACEPARENT).is_some_and(|value| lengths(value) && value.bytes().all(hex))
        && headers.get_all(TRACEPARENT).iter().nth(1).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::tests::map;
    use bytes::Bytes;

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    fn message(text: &str) -> Message {
        Message::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn only_the_closed_list_goes_on() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let all = map(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("host", "gw"),
            ("origin", "http://gw"),
            ("accept-encoding", "gzip"),
            ("x-forwarded-for", "1.2.3.4"),
            ("content-length", "3"),
            ("user-agent", "secret"),
            ("tracestate", "secret"),
            ("baggage", "secret"),
            ("mcp-unheard-of", "secret"),
            ("content-type", "application/json; charset=utf-8; x=secret"),
            ("accept", "TEXT/event-stream;q=0.5, application/json;x=secret, x/secret"),
            ("mcp-session-id", "s"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "x"),
            ("mcp-param-region", "eu"),
            ("mcp-protocol-version", "2025-11-25"),
            ("last-event-id", "7"),
            ("traceparent", TRACE),
        ]);
        let call =
            message(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#);
        let mut expected = vec![
            "accept: text/event-stream, application/json".to_owned(),
            "content-type: application/json".to_owned(),
            "last-event-id: 7".to_owned(),
            "mcp-method: tools/call".to_owned(),
            "mcp-name: x".to_owned(),
            "mcp-param-region: eu".to_owned(),
            "mcp-protocol-version: 2025-11-25".to_owned(),
            "mcp-session-id: s".to_owned(),
            format!("traceparent: {TRACE}"),
        ];
        assert_eq!(lines(&forwarded(&all, Some(&call), true)), expected);
        expected.retain(|line| !line.starts_with("mcp-session-id"));
        assert_eq!(lines(&forwarded(&all, Some(&call), false)), expected);
        // What nothing was compared with says what it likes.
        let ping = message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        expected.retain(|line| !line.starts_with("mcp-name"));
        assert_eq!(lines(&forwarded(&all, Some(&ping), false)), expected);
        let answer = message(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        expected.retain(|line| !line.starts_with("mcp-method"));
        assert_eq!(lines(&forwarded(&all, Some(&answer), false)), expected);
        expected.retain(|line| !line.starts_with("mcp-param") && !line.starts_with("content"));
        assert_eq!(lines(&forwarded(&all, None, false)), expected);
    }

    #[test]
    fn a_traceparent_with_room_for_more_stays_here() {
        for value in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-secret",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-secret0000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
        ] {
            let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(value))]);
            assert!(forwarded(&headers, None, false).is_empty(), "{value}");
        }
    }

    #[test]
    fn unfit_requests_are_told_why() {
        let json = ("content-type", "application/json");
        assert_eq!(check(&map(&[json, ("mcp-method", "a"), ("accept", "a")]), true), Ok(()));
        assert_eq!(check(&HeaderMap::new(), false), Ok(()));
        for kind in
            ["text/plain", "application/json; charset=utf-7", "application/x-www-form-urlencoded"]
        {
            assert_eq!(
                check(&map(&[("content-type", kind)]), true),
                Err(Unfit::MediaType),
                "{kind}"
            );
        }
        assert_eq!(check(&HeaderMap::new(), true), Err(Unfit::MediaType));
        let mut twice = map(&[json, ("mcp-method", "a")]);
        twice.append("mcp-method", HeaderValue::from_static("a"));
        let told = check(&twice, true).unwrap_err();
        assert_eq!(told, Unfit::Twice(HeaderName::from_static("mcp-method")));
        for (name, value) in [
            (LAST_EVENT_ID, vec![b'x'; MAX_VALUE_BYTES + 1]),
            (PROTOCOL_VERSION, vec![0xff]),
            (SESSION_ID, vec![b'x'; MAX_VALUE_BYTES + 1]),
        ] {
            let mut headers = map(&[json]);
            headers.insert(name.clone(), HeaderValue::try_from(value).unwrap());
            assert_eq!(check(&headers, true), Err(Unfit::Unrecordable(name)));
        }
        let mut accepts = map(&[json, ("accept", "text/html")]);
        accepts.append("accept", HeaderValue::from_static("application/json"));
        assert_eq!(check(&accepts, true), Ok(()));
        assert_eq!(accepted(&accepts).unwrap(), "text/html, application/json");
    }
}
