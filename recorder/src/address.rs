//! Where a ledger is, and how it is reached: in the clear on this machine, over TLS elsewhere.

use std::time::Duration;

use identity::tls::ClientTls;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A half-open connection is noticed after interval and timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The address of a ledger, checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LedgerAddress {
    endpoint: Endpoint,
    /// For an `https` URL.
    tls: Option<ClientTls>,
}

impl LedgerAddress {
    /// Checks URL and files. `plaintext`: events and tokens may pass in the clear to another machine.
    ///
    /// # Errors
    /// Every mistake, one line each.
    pub fn new(url: &str, tls: Option<&ClientTls>, plaintext: bool) -> Result<Self, Vec<String>> {
        let looks = "it looks like https://ledger.example:7601, or http://127.0.0.1:7601";
        let parsed = Url::parse(url).map_err(|error| format!("{url:?}: {error}; {looks}"));
        let parsed = parsed.map_err(|mistake| vec![mistake])?;
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| vec![format!("{url:?}: {error}; {looks}")])?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let mut mistakes = Vec::new();
        let tls = match parsed.scheme() {
            "https" => Some(tls.cloned().unwrap_or_default()),
            "http" => {
                if tls.is_some() {
                    mistakes.push(format!("{url} is http, with ledger_tls beside it: write https"));
                } else if !plaintext && !identity::is_loopback(&parsed) {
                    mistakes.push(format!(
                        "{url} is http to another machine, where others could listen in: use https; or, when the way is \
                         protected otherwise, say ledger_plaintext = true"
                    ));
                }
                None
            }
            _ => {
                mistakes.push(format!("{url:?} is neither https nor http; {looks}"));
                None
            }
        };
        let address = Self { endpoint, tls };
        if mistakes.is_empty() {
            mistakes = address.try_endpoint().err().unwrap_or_default();
        }
        if mistakes.is_empty() { Ok(address) } else { Err(mistakes) }
    }

    /// Where to connect now. Certificates are read anew, so that renewed ones need no restart.
    ///
    /// # Errors
    /// What is wrong with the files now.
    pub fn endpoint(&self) -> Result<Endpoint, String> {
        self.try_endpoint().map_err(|mistakes| mistakes.join("; "))
    }

    /// The URL, for messages.
    pub fn uri(&self) -> &tonic::codegen::http::Uri {
        self.endpoint.uri()
    }

    fn try_endpoint(&self) -> Result<Endpoint, Vec<String>> {
        let endpoint = self.endpoint.clone();
        let Some(tls) = &self.tls else { return Ok(endpoint) };
        let files = tls.read().map_err(|mistakes| {
            mistakes.into_iter().map(|mistake| format!("ledger_tls.{mistake}")).collect::<Vec<_>>()
        })?;
        let mut config = ClientTlsConfig::new().timeout(CONNECT_TIMEOUT);
        config = match files.authorities {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => config.with_native_roots(),
        };
        if let Some((chain, key)) = files.shown {
            config = config.identity(Identity::from_pem(chain, key.as_bytes()));
        }
        if let Some(name) = &tls.server_name {
            config = config.domain_name(name);
        }
        endpoint.tls_config(config).map_err(|error| {
            vec![format!("ledger_tls cannot be used for {}: {}", self, root_cause(&error))]
        })
    }
}

impl std::fmt::Display for LedgerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.uri().to_string().trim_end_matches('/'))
    }
}

/// The innermost cause, which tells "connection refused" where the outer one says "transport error"; of a failed TLS
/// handshake also what to do.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    told(error, identity::tls::hint)
}

/// The same, of a connection that spoke no TLS.
pub fn root_cause_in_clear(error: &(dyn std::error::Error + 'static)) -> String {
    told(error, identity::tls::hint_in_clear)
}

fn told(
    error: &(dyn std::error::Error + 'static),
    hint: fn(&str) -> Option<&'static str>,
) -> String {
    let causes = || std::iter::successors(Some(error), |&cause| cause.source());
    let innermost = causes().last().unwrap_or(error).to_string();
    match causes().find_map(|cause| hint(&cause.to_string())) {
        Some(hint) => format!("{innermost}: {hint}"),
        None => innermost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_in_the_clear_is_said_by_name() {
        let new = |url: &str, tls: bool, plaintext| {
            let tls = tls.then(ClientTls::default);
            LedgerAddress::new(url, tls.as_ref(), plaintext).map(|_| ()).map_err(|m| m.join("; "))
        };
        for good in ["http://127.0.0.1:7601", "http://localhost:1", "http://[::1]:7601"] {
            assert_eq!(new(good, false, false), Ok(()));
        }
        let refused = new("http://10.0.0.7:7601", false, false).unwrap_err();
        assert!(refused.contains("ledger_plaintext"), "{refused}");
        assert_eq!(new("http://10.0.0.7:7601", false, true), Ok(()));
        assert!(new("http://127.0.0.1:7601", true, false).unwrap_err().contains("write https"));
        for bad in ["ledger", "ftp://127.0.0.1", ""] {
            assert!(new(bad, false, true).unwrap_err().contains("https://ledger.example"), "{bad}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let tls = ClientTls { ca_file: Some("/absent/ca.pem".into()), ..ClientTls::default() };
        let found = LedgerAddress::new("https://ledger.example", Some(&tls), false).unwrap_err();
        assert!(found[0].starts_with("ledger_tls.ca_file: /absent/ca.pem"), "{found:?}");
    }
}
