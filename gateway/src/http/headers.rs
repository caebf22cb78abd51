//! What is read in headers, of requests and of responses alike.

use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use proto::ids::Id;

/// Protocol session of MCP up to 2025-11-25.
pub(crate) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Version of MCP that a message speaks.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Where an event stream shall be resumed.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// W3C trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a `content-type` says: the type itself in lower case, and whether text of it is UTF-8, which is what is
/// read, judged and masked here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContentType {
    pub(crate) essence: String,
    pub(crate) is_utf8: bool,
}

impl ContentType {
    /// The type of a message with these headers; `None` without one. One that cannot be read is not UTF-8.
    pub(crate) fn of(headers: &HeaderMap) -> Option<ContentType> {
        let value = headers.get(CONTENT_TYPE)?;
        let unique = headers.get_all(CONTENT_TYPE).iter().nth(1).is_none();
        let Some(value) = value.to_str().ok().filter(|_| unique) else {
            return Some(ContentType { essence: String::new(), is_utf8: false });
        };
        let mut parts = value.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_utf8 = parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            let utf8 =
                ["utf-8", "utf8", "us-ascii"].iter().any(|ours| value.eq_ignore_ascii_case(ours));
            !name.to_ascii_lowercase().contains("charset") || utf8
        });
        Some(ContentType { essence, is_utf8 })
    }

    /// `application/json`, or a type that ends in `+json`.
    pub(crate) fn is_json(&self) -> bool {
        self.essence == "application/json" || self.essence.ends_with("+json")
    }
}

/// A header's value when it is visible ASCII.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

/// The trace id of a W3C `traceparent`; `None` when there is no valid one.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<Id> {
    let mut parts = text(headers, &TRACEPARENT)?.split('-');
    let version = parts.next().filter(|version| version.len() == 2 && *version != "ff")?;
    hex::decode(version).ok()?;
    let trace =
        parts.next().filter(|trace| trace.bytes().all(|byte| !byte.is_ascii_uppercase()))?;
    let id = Id::from_slice(&hex::decode(trace).ok()?)?;
    (id.0 != [0; 16]).then_some(id)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Headers for tests, here and of those that read and write them.
    pub(crate) fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_charset_is_told_however_it_is_written() {
        let of = |value: &'static str| ContentType::of(&map(&[("content-type", value)])).unwrap();
        for utf8 in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;Charset=\"UTF-8\"; x=y",
            "application/json; charset=utf8",
        ] {
            assert!(of(utf8).is_utf8 && of(utf8).is_json(), "{utf8}");
        }
        for other in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; x=y; CHARSET = \"utf-16\"",
            "application/json; charset*=utf-8''utf-7",
            "application/json; charset",
        ] {
            assert!(!of(other).is_utf8, "{other}");
        }
        assert_eq!(ContentType::of(&HeaderMap::new()), None);
        let mut twice = map(&[("content-type", "application/json")]);
        twice.append("content-type", HeaderValue::from_static("application/json"));
        assert!(!ContentType::of(&twice).unwrap().is_utf8);
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
