//! A named way to one MCP server.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proto::names::is_leaf_name;
use url::Url;

use crate::config::{HeaderSource, RouteAuth, ServerConfig};
use crate::upstream::Upstream;

/// A route: `/mcp/<name>`.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its name, which may stand in leaves.
    pub(crate) name: String,
    /// No credential is asked for.
    pub(crate) open: bool,
    /// What a token's `aud` must name.
    pub(crate) audience: String,
    /// What a token must grant.
    pub(crate) scopes: Vec<String>,
    /// Where the RFC 9728 document of the route is.
    pub(crate) metadata_url: String,
    /// The server.
    pub(crate) upstream: Upstream,
}

impl Route {
    /// The route of a configured server; mistakes are added to `problems`.
    pub(crate) fn new(
        name: &str,
        config: &ServerConfig,
        public_url: &str,
        connect_wait: Duration,
        problems: &mut Vec<String>,
    ) -> Option<Route> {
        let before = problems.len();
        let place = format!("servers.{name}");
        if !is_route_name(name) {
            problems.push(format!(
                "{place}: a server's name is 1 to 128 of A-Z a-z 0-9 _ - . and starts with a letter or digit"
            ));
        }
        let url = upstream_url(&config.url)
            .map_err(|why| problems.push(format!("{place}.url {why}")))
            .ok();
        for scope in &config.scopes {
            if scope.is_empty()
                || !scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
            {
                problems.push(format!(
                    "{place}.scopes: `{scope}` is not a scope (RFC 6749, section 3.3)"
                ));
            }
        }
        let mut credentials = HeaderMap::new();
        for (header, source) in &config.headers {
            match credential(header, source) {
                Ok((header, value)) => drop(credentials.insert(header, value)),
                Err(why) => problems.push(format!("{place}.headers.{header}: {why}")),
            }
        }
        let route_url = format!("{public_url}/mcp/{name}");
        let metadata_url = identity::protected_resource_metadata_url(&route_url);
        let upstream = Upstream::new(url?, credentials, connect_wait)
            .map_err(|why| problems.push(format!("{place}: no HTTP client: {why}")))
            .ok();
        if problems.len() > before {
            return None;
        }
        Some(Route {
            name: name.to_owned(),
            open: config.auth == RouteAuth::None,
            audience: config.audience.clone().unwrap_or(route_url),
            scopes: config.scopes.clone(),
            metadata_url: metadata_url?,
            upstream: upstream?,
        })
    }

    /// The scopes as one word list, when there are any.
    pub(crate) fn scope_words(&self) -> Option<String> {
        (!self.scopes.is_empty()).then(|| self.scopes.join(" "))
    }
}

fn is_route_name(name: &str) -> bool {
    is_leaf_name(name)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

fn upstream_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text)
        .map_err(|_| "is not a URL: write it in full, such as http://127.0.0.1:9000/mcp")?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must be an http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password: put credentials into `headers`");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment");
    }
    Ok(url)
}

/// A header with the gateway's own credential. No error shows the value.
fn credential(name: &str, source: &HeaderSource) -> Result<(HeaderName, HeaderValue), String> {
    const RESERVED: [&str; 8] = [
        "host",
        "content-length",
        "content-type",
        "accept",
        "transfer-encoding",
        "connection",
        "accept-encoding",
        "origin",
    ];
    let header = HeaderName::try_from(name).map_err(|_| "this is not a header name".to_owned())?;
    if RESERVED.contains(&header.as_str()) || header.as_str().starts_with("mcp-") {
        return Err("this header is the protocol's own and cannot be set".to_owned());
    }
    let secret = match (&source.file, &source.env) {
        (Some(file), None) => std::fs::read_to_string(file)
            .map_err(|error| format!("the file {} cannot be read: {error}", file.display()))?,
        (None, Some(env)) => std::env::var(env)
            .map_err(|_| format!("the environment variable {env} is not set (or not UTF-8)"))?,
        _ => return Err("give exactly one of `file` and `env`".to_owned()),
    };
    let secret = secret.trim();
    if secret.is_empty() {
        return Err("the value is empty".to_owned());
    }
    let mut value = HeaderValue::try_from(format!("{}{secret}", source.prefix))
        .map_err(|_| "the value has characters that a header cannot hold".to_owned())?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn route(name: &str, config: &ServerConfig) -> Result<Route, Vec<String>> {
        let mut problems = Vec::new();
        Route::new(name, config, "https://gw.example", Duration::from_secs(1), &mut problems)
            .ok_or(problems)
    }

    fn config(url: &str) -> ServerConfig {
        ServerConfig {
            url: url.to_owned(),
            auth: RouteAuth::Bearer,
            audience: None,
            scopes: vec![],
            headers: Default::default(),
        }
    }

    #[test]
    fn audience_and_metadata_follow_the_public_url() {
        let route = route("db", &config("http://127.0.0.1:9000/mcp")).unwrap();
        assert_eq!(route.audience, "https://gw.example/mcp/db");
        assert_eq!(
            route.metadata_url,
            "https://gw.example/.well-known/oauth-protected-resource/mcp/db"
        );
    }

    #[test]
    fn every_mistake_is_told_and_no_secret_shown() {
        let mut bad = config("ftp://x");
        bad.scopes = vec!["a b".to_owned()];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "hunter\u{1}two").unwrap();
        let sources = [
            (
                "authorization",
                HeaderSource { file: Some(file.path().to_owned()), ..Default::default() },
            ),
            ("x-none", HeaderSource::default()),
            (
                "x-env",
                HeaderSource {
                    env: Some("EXHIBIT_NO_SUCH_VARIABLE".to_owned()),
                    ..Default::default()
                },
            ),
            ("mcp-session-id", HeaderSource::default()),
        ];
        bad.headers = sources.into_iter().map(|(name, source)| (name.to_owned(), source)).collect();
        let text = route("a b", &bad).unwrap_err().join("\n");
        for part in [
            "servers.a b: a server's name",
            "servers.a b.url must be",
            "scopes",
            "headers.authorization",
            "x-none",
            "EXHIBIT_NO_SUCH_VARIABLE",
            "headers.mcp-session-id",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
        assert!(!text.contains("hunter"), "{text}");
    }

    #[test]
    fn a_credential_is_trimmed_and_prefixed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "token").unwrap();
        let source = HeaderSource {
            file: Some(file.path().to_owned()),
            prefix: "Bearer ".to_owned(),
            ..Default::default()
        };
        let (name, value) = credential("Authorization", &source).unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer token"));
        assert!(value.is_sensitive());
    }
}
