//! `Host` and `Origin`: the defence against DNS rebinding (MCP, Streamable HTTP, security warning).
//!
//! A page of a stranger can make a browser send requests here, but it cannot choose these two headers.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use url::{Host, Url};

use super::headers;

/// Which hosts the gateway answers to, and which origins it lets in.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<Authority>,
    origins: Vec<String>,
}

/// A host and, when it matters, its port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// No `Host`, or one that is not ours.
    #[error(
        "the Host header does not name this gateway: call it by the host of its public URL (or add the host to allowed_hosts)"
    )]
    Host,
    /// An `Origin` that is not accepted.
    #[error("the Origin header names a site that is not accepted here: add it to allowed_origins")]
    Origin,
}

impl Hosts {
    /// The configured lists; without hosts, those of the public URL, of the address, and this machine's
    /// loopback names when the address is loopback.
    ///
    /// # Errors
    /// One line for each entry that cannot be read.
    pub(crate) fn new(
        listen: SocketAddr,
        public: Option<&Url>,
        hosts: &[String],
        origins: &[String],
    ) -> Result<Hosts, Vec<String>> {
        let mut problems = Vec::new();
        let mut known = Vec::new();
        for (index, text) in hosts.iter().enumerate() {
            match Authority::parse(text) {
                Some(authority) => known.push(authority),
                None => problems.push(format!(
                    "allowed_hosts[{index}] `{text}` is not a host: write a name or address, with or without port"
                )),
            }
        }
        let mut accepted = Vec::new();
        for (index, text) in origins.iter().enumerate() {
            match Url::parse(text).ok().filter(is_origin) {
                Some(url) => accepted.push(url.origin().ascii_serialization()),
                None => problems.push(format!(
                    "allowed_origins[{index}] `{text}` is not an origin: write scheme, host and port only, such as https://app.example.com"
                )),
            }
        }
        if known.is_empty() {
            known = derived(listen, public);
        }
        if problems.is_empty() {
            Ok(Hosts { hosts: known, origins: accepted })
        } else {
            Err(problems)
        }
    }

    /// Checks the two headers of a request; over HTTP/2 the host stands in `uri`.
    ///
    /// # Errors
    /// [`Stranger`] when one is not accepted.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Stranger> {
        let host = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers::text(headers, &HOST),
        };
        let host_is_ours = host
            .and_then(Authority::parse)
            .is_some_and(|asked| self.is_ours(&asked.host, asked.port));
        if !host_is_ours || headers.get_all(HOST).iter().count() > 1 {
            return Err(Stranger::Host);
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if origin.to_str().is_ok_and(|origin| self.accepts(origin)) => {
                Ok(())
            }
            _ => Err(Stranger::Origin),
        }
    }

    fn accepts(&self, origin: &str) -> bool {
        let Some(url) = Url::parse(origin).ok().filter(is_origin) else { return false };
        let listed = self.origins.contains(&url.origin().ascii_serialization());
        listed
            || url
                .host()
                .is_some_and(|host| self.is_ours(&host.to_owned(), url.port_or_known_default()))
    }

    fn is_ours(&self, host: &Host, port: Option<u16>) -> bool {
        self.hosts
            .iter()
            .any(|ours| ours.host == *host && ours.port.is_none_or(|ours| port == Some(ours)))
    }
}

impl Authority {
    fn parse(text: &str) -> Option<Authority> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if text.is_empty() || !text.bytes().all(allowed) {
            return None;
        }
        let url = Url::parse(&format!("http://{text}/")).ok()?;
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(Authority { host: url.host()?.to_owned(), port })
    }
}

fn derived(listen: SocketAddr, public: Option<&Url>) -> Vec<Authority> {
    let any_port = |host: Host| Authority { host, port: None };
    let address = match listen.ip() {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    };
    let mut hosts = vec![any_port(address)];
    hosts.extend(public.and_then(Url::host).map(|host| any_port(host.to_owned())));
    if listen.ip().is_loopback() {
        hosts.push(any_port(Host::Domain("localhost".to_owned())));
        hosts.push(any_port(Host::Ipv4(std::net::Ipv4Addr::LOCALHOST)));
        hosts.push(any_port(Host::Ipv6(std::net::Ipv6Addr::LOCALHOST)));
    }
    hosts
}

/// Scheme, host and port, and nothing else.
fn is_origin(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn check(hosts: &Hosts, host: &str, origin: Option<&str>) -> Result<(), Stranger> {
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(host) {
            headers.insert(HOST, host);
        }
        if let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok()) {
            headers.insert(ORIGIN, origin);
        }
        hosts.check(&headers, &Uri::from_static("/mcp/db"))
    }

    fn loopback() -> Hosts {
        let public = Url::parse("https://gw.example").unwrap();
        let origins = ["https://app.example:8443".to_owned()];
        Hosts::new("127.0.0.1:7600".parse().unwrap(), Some(&public), &[], &origins).unwrap()
    }

    #[test]
    fn our_names_are_accepted_with_any_port() {
        for host in [
            "127.0.0.1:7600",
            "localhost:1",
            "LOCALHOST",
            "[::1]:7600",
            "gw.example",
            "GW.example:443",
        ] {
            assert_eq!(check(&loopback(), host, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn strangers_are_refused() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil",
            "10.0.0.1",
            "localhost/x",
            "0",
        ] {
            assert_eq!(check(&loopback(), host, None), Err(Stranger::Host), "{host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "",
            "file:///x",
            "http://localhost.evil.example",
            "https://app.example",
        ] {
            assert_eq!(
                check(&loopback(), "localhost", Some(origin)),
                Err(Stranger::Origin),
                "{origin}"
            );
        }
    }

    #[test]
    fn own_and_listed_origins_are_accepted() {
        for origin in ["http://localhost:6274", "https://gw.example", "https://app.example:8443"] {
            assert_eq!(check(&loopback(), "localhost", Some(origin)), Ok(()), "{origin}");
        }
    }

    #[test]
    fn two_hosts_or_two_origins_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("localhost"));
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost"));
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost"));
        assert_eq!(loopback().check(&headers, &Uri::from_static("/")), Err(Stranger::Origin));
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert_eq!(loopback().check(&headers, &Uri::from_static("/")), Err(Stranger::Host));
    }

    #[test]
    fn a_configured_list_is_the_whole_list() {
        let listen = "127.0.0.1:7600".parse().unwrap();
        let hosts = Hosts::new(listen, None, &["gw.example:443".to_owned()], &[]).unwrap();
        assert_eq!(check(&hosts, "gw.example:443", None), Ok(()));
        assert_eq!(check(&hosts, "gw.example:80", None), Err(Stranger::Host));
        assert_eq!(check(&hosts, "gw.example:443", Some("https://gw.example")), Ok(()));
        assert_eq!(check(&hosts, "localhost", None), Err(Stranger::Host));
        let problems = Hosts::new(listen, None, &["a b".to_owned()], &["https://x/y".to_owned()]);
        assert_eq!(problems.unwrap_err().len(), 2);
    }

    proptest! {
        #[test]
        fn no_header_panics(host in "\\PC{0,20}", origin in "\\PC{0,20}") {
            let _outcome = check(&loopback(), &host, Some(&origin));
        }
    }
}
