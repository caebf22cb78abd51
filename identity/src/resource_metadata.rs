//! What a door tells a client that has no (good) token: the RFC 6750 challenge and the RFC 9728
//! document.

use std::fmt::Write as _;

use serde_json::{Value, json};
use url::Url;

/// The value of `WWW-Authenticate`: RFC 6750 section 3, with RFC 9728's `resource_metadata`.
///
/// `error` is `(invalid_token | insufficient_scope, description)`; leave it out when no token was
/// sent. The result is always one line of ASCII with valid quoted strings: characters that the RFCs
/// forbid are percent-encoded in the URL and replaced in scope and description.
pub fn challenge(
    resource_metadata_url: &str,
    scope: Option<&str>,
    error: Option<(&str, &str)>,
) -> String {
    let mut header =
        format!("Bearer resource_metadata=\"{}\"", quotable_url(resource_metadata_url));
    let mut push = |name: &str, value: &str| {
        if !value.is_empty() {
            header.push_str(", ");
            header.push_str(name);
            header.push_str("=\"");
            header.push_str(value);
            header.push('"');
        }
    };
    if let Some(scope) = scope {
        let words: Vec<String> = scope.split_whitespace().map(quotable).collect();
        push("scope", &words.join(" "));
    }
    if let Some((code, description)) = error {
        push("error", &quotable(code));
        push("error_description", &quotable(description));
    }
    header
}

/// The RFC 9728 section 2 document of a protected resource, to be served as `application/json`.
pub fn protected_resource_metadata(
    resource: &str,
    authorization_servers: &[&str],
    scopes: &[&str],
) -> Value {
    let mut document = json!({
        "resource": resource,
        "authorization_servers": authorization_servers,
        "bearer_methods_supported": ["header"],
    });
    if !scopes.is_empty() {
        document["scopes_supported"] = json!(scopes);
    }
    document
}

/// Where RFC 9728 section 3.1 puts that document: `/.well-known/oauth-protected-resource` between
/// the host and the path of `resource`. None when `resource` is not an http(s) URL.
pub fn protected_resource_metadata_url(resource: &str) -> Option<String> {
    let mut url =
        Url::parse(resource).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let path = format!("/.well-known/oauth-protected-resource{}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_fragment(None);
    Some(url.into())
}

/// The characters that RFC 6750 allows in `error_description` need no escape in a quoted string.
fn quotable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '`' => '\'',
            '\\' => '/',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

fn quotable_url(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'"' | b'\\' | 0..=b' ' | 0x7f.. => {
                // Writing to a String cannot fail.
                let _infallible = write!(out, "%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn challenge_of_a_missing_token() {
        assert_eq!(
            challenge(
                "https://gw.example/.well-known/oauth-protected-resource/mcp/db",
                Some("mcp:call  mcp:list"),
                None
            ),
            "Bearer resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp/db\", \
             scope=\"mcp:call mcp:list\""
        );
    }

    #[test]
    fn challenge_quotes_what_could_break_out() {
        assert_eq!(
            challenge(
                "https://h/a\"b\\c d\r\né",
                Some("a\"b"),
                Some(("invalid_token", "bad \"x\"\\ \r\nSet-Cookie: é"))
            ),
            "Bearer resource_metadata=\"https://h/a%22b%5Cc%20d%0D%0A%C3%A9\", scope=\"a'b\", error=\"invalid_token\", \
             error_description=\"bad 'x'/ ??Set-Cookie: ?\""
        );
    }

    #[test]
    fn metadata_document_and_its_place() {
        assert_eq!(
            protected_resource_metadata(
                "https://gw.example/mcp/db",
                &["https://idp.example"],
                &["mcp:call"]
            ),
            json!({"resource": "https://gw.example/mcp/db", "authorization_servers": ["https://idp.example"],
                   "bearer_methods_supported": ["header"], "scopes_supported": ["mcp:call"]})
        );
        let place = |resource| protected_resource_metadata_url(resource);
        assert_eq!(
            place("https://gw.example/mcp/db").unwrap(),
            "https://gw.example/.well-known/oauth-protected-resource/mcp/db"
        );
        assert_eq!(
            place("http://127.0.0.1:7600").unwrap(),
            "http://127.0.0.1:7600/.well-known/oauth-protected-resource"
        );
        assert_eq!(
            place("http://127.0.0.1:7600/").unwrap(),
            "http://127.0.0.1:7600/.well-known/oauth-protected-resource"
        );
        assert_eq!(place("urn:x"), None);
    }

    proptest! {
        #[test]
        fn every_challenge_is_one_ascii_line_with_paired_quotes(url in ".{0,40}", scope in ".{0,40}", text in ".{0,40}") {
            let header = challenge(&url, Some(&scope), Some(("invalid_token", &text)));
            prop_assert!(header.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert!(!header.contains('\\'));
            prop_assert_eq!(header.matches('"').count() % 2, 0);
            // Between the quotes of one value and the next there is only `, name=`.
            for (index, part) in header.split('"').enumerate() {
                if index % 2 == 0 && index > 0 && !part.is_empty() {
                    prop_assert!(part.starts_with(", ") && part.ends_with('='));
                }
            }
        }
    }
}
