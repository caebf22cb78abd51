//! Which headers pass in which direction.

use axum::http::header::{
    ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue};
use proto::ids::Id;

/// Protocol session of MCP up to 2025-11-25.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Version of MCP that a message speaks.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Where an event stream shall be resumed.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Request headers that are passed on besides `mcp-*`. All others stay here: credentials and cookies above all,
/// and `accept-encoding`, because a compressed answer could not be read.
const FORWARDED: [HeaderName; 7] = [
    ACCEPT,
    CONTENT_TYPE,
    USER_AGENT,
    LAST_EVENT_ID,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// Response headers that are kept back: those of one connection, those that concern the gateway's own account
/// at the server, those that would lead clients around the gateway, and the length, which is told anew.
const WITHHELD: [HeaderName; 15] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    SET_COOKIE,
    WWW_AUTHENTICATE,
    LOCATION,
    STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("alt-svc"),
];

/// The headers of a request that go on to the server; its session only when `with_session`.
pub(crate) fn forwarded(headers: &HeaderMap, with_session: bool) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| FORWARDED.contains(name) || name.as_str().starts_with("mcp-"))
        .filter(|(name, _)| with_session || **name != SESSION_ID)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The headers of a response that go on to the caller.
pub(crate) fn returned(headers: &HeaderMap) -> HeaderMap {
    let of_connection: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers
        .iter()
        .filter(|(name, _)| !WITHHELD.contains(name))
        .filter(|(name, _)| !of_connection.iter().any(|listed| listed == name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// An `mcp-*` header, or another that decides, that is there twice: two readers could read two values.
pub(crate) fn duplicated(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| {
        let decides =
            name.as_str().starts_with("mcp-") || [&CONTENT_TYPE, &LAST_EVENT_ID].contains(name);
        decides && headers.get_all(*name).iter().nth(1).is_some()
    })
}

/// What a response is, by its `content-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// `application/json`, or a type that ends in `+json`.
    Json,
    /// `text/event-stream`.
    Events,
    /// Anything else, or nothing.
    Text,
    /// Compressed: it cannot be read, so it cannot be masked.
    Encoded,
}

/// What the body of a response with these headers is.
pub(crate) fn body_kind(headers: &HeaderMap) -> BodyKind {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if encoded {
        return BodyKind::Encoded;
    }
    let essence = text(headers, &CONTENT_TYPE)
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("text/event-stream") => BodyKind::Events,
        Some(json) if json == "application/json" || json.ends_with("+json") => BodyKind::Json,
        _ => BodyKind::Text,
    }
}

/// A header's value when it is visible ASCII.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

/// The trace id of a W3C `traceparent`; `None` when there is no valid one.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<Id> {
    let value = text(headers, &HeaderName::from_static("traceparent"))?;
    let mut parts = value.split('-');
    let version = parts.next().filter(|version| version.len() == 2 && *version != "ff")?;
    hex::decode(version).ok()?;
    let trace =
        parts.next().filter(|trace| trace.bytes().all(|byte| !byte.is_ascii_uppercase()))?;
    let id = Id::from_slice(&hex::decode(trace).ok()?)?;
    (id.0 != [0; 16]).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn credentials_and_hosts_stay_here() {
        let all = map(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("host", "gw"),
            ("origin", "http://gw"),
            ("accept-encoding", "gzip"),
            ("x-forwarded-for", "1.2.3.4"),
            ("proxy-authorization", "x"),
            ("content-length", "3"),
            ("accept", "text/event-stream"),
            ("mcp-session-id", "s"),
            ("mcp-param-region", "eu"),
            ("traceparent", "t"),
        ]);
        let names = |headers: HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let passed = ["accept", "mcp-param-region", "mcp-session-id", "traceparent"];
        assert_eq!(names(forwarded(&all, true)), passed);
        assert_eq!(names(forwarded(&all, false)), ["accept", "mcp-param-region", "traceparent"]);
    }

    #[test]
    fn what_concerns_the_connection_or_the_account_is_withheld() {
        let all = map(&[
            ("content-type", "application/json"),
            ("mcp-session-id", "s"),
            ("x-accel-buffering", "no"),
            ("cache-control", "no-store"),
            ("set-cookie", "a=b"),
            ("www-authenticate", "Bearer"),
            ("location", "http://upstream"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
        ]);
        let kept = returned(&all);
        assert_eq!(kept.len(), 4);
        assert!(kept.contains_key("x-accel-buffering") && kept.contains_key("mcp-session-id"));
    }

    #[test]
    fn duplicates_that_decide_are_found() {
        assert_eq!(duplicated(&map(&[("mcp-method", "a"), ("accept", "a")])), None);
        let mut twice = map(&[("mcp-method", "a")]);
        twice.append("mcp-method", HeaderValue::from_static("a"));
        assert_eq!(duplicated(&twice).map(HeaderName::as_str), Some("mcp-method"));
        let mut accepts = map(&[("accept", "a")]);
        accepts.append("accept", HeaderValue::from_static("b"));
        assert_eq!(duplicated(&accepts), None);
    }

    #[test]
    fn bodies_are_told_by_their_type() {
        let kind = |value: &'static str| body_kind(&map(&[("content-type", value)]));
        assert_eq!(kind("Application/JSON; charset=utf-8"), BodyKind::Json);
        assert_eq!(kind("application/problem+json"), BodyKind::Json);
        assert_eq!(kind("text/event-stream;charset=utf-8"), BodyKind::Events);
        assert_eq!(kind("text/html"), BodyKind::Text);
        assert_eq!(body_kind(&HeaderMap::new()), BodyKind::Text);
        assert_eq!(body_kind(&map(&[("content-encoding", "gzip")])), BodyKind::Encoded);
    }

    #[test]
    fn only_valid_trace_ids_are_taken() {
        let id = |value: &'static str| trace_id(&map(&[("traceparent", value)]));
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(good).unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for bad in [
            "",
            "00",
            "00-x-y",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
