//! Fetching an issuer's documents: OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3,
//! JWKS.
//!
//! Bounds: no redirects, [`REQUEST_TIMEOUT`] per request, [`MAX_DOCUMENT_BYTES`] per body, three
//! places for the metadata. An https issuer is reached by https alone.

use std::error::Error as _;
use std::time::Duration;

use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use url::Url;

use crate::config::Issuer;
use crate::foreign::shown;
use crate::jwk::KeySet;
use crate::secure_url::{is_loopback, secure_url};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// The HTTP client for one issuer.
pub(crate) fn client(issuer: &Url) -> Result<Client, String> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .timeout(REQUEST_TIMEOUT)
        .connect_timeout(REQUEST_TIMEOUT)
        .https_only(issuer.scheme() == "https")
        .user_agent(concat!("exhibit/", env!("CARGO_PKG_VERSION")));
    // A proxy would take loopback for its own.
    let builder = if is_loopback(issuer) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| reason(&error))
}

/// The issuer's keys as they are now. The error is a reason without foreign text.
pub(crate) async fn fetch_keys(client: &Client, issuer: &Issuer) -> Result<KeySet, String> {
    let location = match &issuer.jwks_uri {
        Some(configured) => configured.clone(),
        None => discover(client, issuer).await?,
    };
    let document = match fetch(client, location.clone()).await? {
        Document::Found(bytes) => bytes,
        Document::Status(status) => {
            return Err(format!("HTTP {status} at {}", shown(location.as_str())));
        }
    };
    KeySet::parse(&document).map_err(str::to_owned)
}

async fn discover(client: &Client, issuer: &Issuer) -> Result<Url, String> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let mut answers = Vec::new();
    for place in metadata_places(&issuer.url) {
        let document = match fetch(client, place.clone()).await? {
            Document::Found(bytes) => bytes,
            Document::Status(status) => {
                answers.push(format!("HTTP {status} at {}", shown(place.as_str())));
                continue;
            }
        };
        let metadata: Metadata = serde_json::from_slice(&document).map_err(|_| {
            format!("no `issuer` and `jwks_uri` in the metadata at {}", shown(place.as_str()))
        })?;
        if metadata.issuer != issuer.config.issuer {
            return Err(format!(
                "the metadata at {} names another issuer, `{}`",
                shown(place.as_str()),
                shown(&metadata.issuer)
            ));
        }
        let keys = secure_url(&metadata.jwks_uri)
            .map_err(|why| format!("the metadata's jwks_uri {why}"))?;
        if issuer.url.scheme() == "https" && keys.scheme() != "https" {
            return Err("the metadata's jwks_uri is not https, as the issuer is".to_owned());
        }
        return Ok(keys);
    }
    Err(answers.join(", "))
}

/// Where metadata may stand, in the order they are asked: appended to the issuer, then inserted
/// before its path.
fn metadata_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![format!("{path}/.well-known/openid-configuration")];
    paths.push(format!("/.well-known/oauth-authorization-server{path}"));
    if !path.is_empty() {
        paths.push(format!("/.well-known/openid-configuration{path}"));
    }
    paths
        .into_iter()
        .map(|path| {
            let mut place = issuer.clone();
            place.set_path(&path);
            place
        })
        .collect()
}

enum Document {
    Found(Vec<u8>),
    Status(u16),
}

async fn fetch(client: &Client, url: Url) -> Result<Document, String> {
    let request = client.get(url).header("accept", "application/json");
    let mut response = request.send().await.map_err(|error| reason(&error.without_url()))?;
    let status = response.status();
    if status != reqwest::StatusCode::OK {
        return Ok(Document::Status(status.as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error.without_url()))? {
        if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
            return Err(format!(
                "a document of the issuer is larger than {MAX_DOCUMENT_BYTES} bytes"
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Document::Found(body))
}

/// The innermost cause says most: "connection refused", not "error sending request".
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    shown(&causes.last().map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_metadata_where_the_specifications_put_it() {
        let places = |issuer: &str| -> Vec<String> {
            metadata_places(&Url::parse(issuer).unwrap()).into_iter().map(Into::into).collect()
        };
        let plain = [
            "https://idp.example/.well-known/openid-configuration",
            "https://idp.example/.well-known/oauth-authorization-server",
        ];
        assert_eq!(places("https://idp.example"), plain);
        assert_eq!(places("https://idp.example/"), plain);
        assert_eq!(
            places("https://idp.example/realms/one"),
            [
                "https://idp.example/realms/one/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server/realms/one",
                "https://idp.example/.well-known/openid-configuration/realms/one",
            ]
        );
    }
}
