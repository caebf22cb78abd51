//! Headers that repeat parts of the body (MCP 2026-07-28, Streamable HTTP, request headers).
//!
//! Intermediaries route by them, servers run the body: where they differ, somebody is deceived, so the request
//! is refused. Headers that are absent are the server's to ask for.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use controls::PARAMETER_PREFIX;
use controls::json::{Document, Kind, Node};

use super::envelope::Message;
use crate::http::headers::PROTOCOL_VERSION;
use crate::inventory::Declared;

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A header does not say what the body says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// Its value is not that of the body.
    #[error("header mismatch: {header} differs from {member} of the body")]
    Differs {
        /// The header.
        header: String,
        /// The place in the body.
        member: String,
    },
    /// Its value cannot be read.
    #[error("header mismatch: the value of {0} is neither plain ASCII nor =?base64?…?= of UTF-8")]
    Unreadable(String),
}

/// Checks `Mcp-Method`, `Mcp-Name`, `MCP-Protocol-Version` and the declared `Mcp-Param-*` against the body.
///
/// # Errors
/// The first header that differs.
pub(crate) fn check(
    headers: &HeaderMap,
    message: &Message,
    declared: &[Declared],
) -> Result<(), Mismatch> {
    if !message.method.is_empty() {
        equal(headers, &METHOD, Some(&message.method), "method")?;
    }
    if let Some(member) = controls::naming_member(&message.method) {
        equal(headers, &NAME, message.name.as_deref(), &format!("params.{member}"))?;
    }
    if let Some(version) = &message.meta_version {
        equal(headers, &PROTOCOL_VERSION, Some(version), "params._meta protocolVersion")?;
    }
    check_params(headers, message, declared)
}

/// The headers that [`check`] compares with this message, besides those of arguments; others like them say what
/// they like.
pub(crate) fn compared(message: &Message) -> impl Iterator<Item = HeaderName> {
    let method = (!message.method.is_empty()).then_some(METHOD);
    method.into_iter().chain(controls::naming_member(&message.method).map(|_| NAME))
}

/// The `Mcp-Param-*` headers that no definition declares, decoded: arguments beside the body, by their whole name.
pub(crate) fn undeclared(
    headers: &HeaderMap,
    declared: &[Declared],
) -> Result<Vec<(String, String)>, Mismatch> {
    let mut found = Vec::new();
    for name in headers.keys() {
        let Some(suffix) = name.as_str().strip_prefix(PARAMETER_PREFIX) else { continue };
        if declared.iter().any(|declared| declared.header == suffix) {
            continue;
        }
        if let Some(value) = decoded(headers, name)? {
            found.push((name.to_string(), value.into_owned()));
        }
    }
    found.sort();
    Ok(found)
}

fn check_params(
    headers: &HeaderMap,
    message: &Message,
    declared: &[Declared],
) -> Result<(), Mismatch> {
    if declared.is_empty() {
        return Ok(());
    }
    // The body was read once already, so this cannot fail; were it to, no declared header could be right.
    let document = Document::parse(&message.bytes).ok();
    let arguments = document
        .as_ref()
        .and_then(|document| document.root().get("params"))
        .and_then(|params| params.get("arguments"));
    for declared in declared {
        let Ok(name) = HeaderName::try_from(format!("{PARAMETER_PREFIX}{}", declared.header))
        else {
            continue;
        };
        let argument =
            declared.path.iter().try_fold(arguments, |node, key| Some(node?.get(key))).flatten();
        let value = argument.and_then(scalar);
        equal(headers, &name, value.as_deref(), "its argument")?;
    }
    Ok(())
}

fn scalar(node: Node<'_>) -> Option<Cow<'_, str>> {
    match node.kind() {
        Kind::String => node.as_str(),
        Kind::Number => Some(match node.as_i64() {
            Some(number) => number.to_string().into(),
            None => node.raw_str().into(),
        }),
        Kind::True | Kind::False => Some(node.raw_str().into()),
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}

/// When the header is there, it must say `expected`.
fn equal(
    headers: &HeaderMap,
    name: &HeaderName,
    expected: Option<&str>,
    member: &str,
) -> Result<(), Mismatch> {
    match decoded(headers, name)? {
        None => Ok(()),
        Some(value) if Some(&*value) == expected => Ok(()),
        Some(_) => Err(Mismatch::Differs { header: name.to_string(), member: member.to_owned() }),
    }
}

/// The value that a header carries, in plain ASCII or as `=?base64?…?=`.
fn decoded<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<Cow<'h, str>>, Mismatch> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let unreadable = || Mismatch::Unreadable(name.to_string());
    let text = value.to_str().map_err(|_| unreadable())?;
    let Some(inner) = text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="))
    else {
        return Ok(Some(text.into()));
    };
    let bytes = STANDARD.decode(inner).map_err(|_| unreadable())?;
    String::from_utf8(bytes).map(|text| Some(text.into())).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn message(text: &str) -> Message {
        Message::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    fn call() -> Message {
        message(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"größe","arguments":
               {"region":"eu","n":7,"deep":{"flag":true},"none":null},
               "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        )
    }

    fn with(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn declared() -> Vec<Declared> {
        let one = |header: &str, path: &[&str]| Declared {
            header: header.to_owned(),
            path: path.iter().map(ToString::to_string).collect(),
        };
        vec![
            one("region", &["region"]),
            one("n", &["n"]),
            one("flag", &["deep", "flag"]),
            one("none", &["none"]),
        ]
    }

    #[test]
    fn equal_and_absent_headers_pass() {
        let headers = with(&[
            ("mcp-method", "tools/call"),
            ("mcp-name", "=?base64?Z3LDtsOfZQ==?="),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-param-region", "eu"),
            ("mcp-param-n", "7"),
            ("mcp-param-flag", "true"),
        ]);
        assert_eq!(check(&headers, &call(), &declared()), Ok(()));
        assert_eq!(check(&HeaderMap::new(), &call(), &declared()), Ok(()));
        assert_eq!(undeclared(&headers, &declared()), Ok(vec![]));
    }

    #[test]
    fn every_difference_is_refused() {
        for (name, value) in [
            ("mcp-method", "tools/list"),
            ("mcp-method", "Tools/call"),
            ("mcp-name", "other"),
            ("mcp-name", "=?base64?!?="),
            ("mcp-name", "=?base64?/w==?="),
            ("mcp-protocol-version", "2025-11-25"),
            ("mcp-param-region", "us"),
            ("mcp-param-n", "8"),
            ("mcp-param-none", "null"),
        ] {
            let error = check(&with(&[(name, value)]), &call(), &declared()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_legacy_version_header_is_not_compared_with_nothing() {
        let ping = message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        let headers = with(&[("mcp-protocol-version", "2025-11-25"), ("mcp-name", "x")]);
        assert_eq!(check(&headers, &ping, &[]), Ok(()));
    }

    #[test]
    fn undeclared_parameters_are_arguments() {
        let headers = with(&[("mcp-param-x", "=?base64?w6Q=?="), ("mcp-param-region", "eu")]);
        let found = undeclared(&headers, &declared()).unwrap();
        assert_eq!(found, [("mcp-param-x".to_owned(), "ä".to_owned())]);
    }

    proptest! {
        #[test]
        fn an_encoded_value_reads_back(text in "\\PC{0,20}") {
            let mut headers = HeaderMap::new();
            let value = format!("=?base64?{}?=", STANDARD.encode(&text));
            headers.insert(NAME, HeaderValue::from_str(&value).unwrap());
            prop_assert_eq!(decoded(&headers, &NAME).unwrap().unwrap(), text);
        }
    }
}
