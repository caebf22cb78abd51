//! The table `tls` of a component that listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{pem, provider};

/// Certificates of a listener, which then speaks TLS and nothing else. The files are read again when they change, and on
/// SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// File with the listener's certificate and, after it, those between it and its authority; PEM.
    pub cert_file: PathBuf,
    /// File with the certificate's private key, PEM, mode 0600.
    pub key_file: PathBuf,
    /// File with certificates of authorities, PEM: whoever connects must show a certificate of one of them, health checks
    /// too. Left out: nobody must show one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert_file, &self.key_file].into_iter().chain(&self.client_ca_file)
    }

    /// The same, to be resolved.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.cert_file, &mut self.key_file].into_iter().chain(&mut self.client_ca_file)
    }

    /// Reads the files: TLS 1.3 and 1.2, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// Every mistake, one line each, with file and line.
    pub fn read(&self) -> Result<Arc<ServerConfig>, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut note = |mistake: String| mistakes.push(mistake);
        let chain = pem::certificates("tls.cert_file", &self.cert_file).map_err(&mut note).ok();
        let key = pem::private_key("tls.key_file", &self.key_file).map_err(&mut note).ok();
        let clients = match &self.client_ca_file {
            Some(file) => {
                pem::authorities("tls.client_ca_file", file).map(Some).map_err(&mut note).ok()
            }
            None => Some(None),
        };
        let (Some(chain), Some((key, _)), Some(clients)) = (chain, key, clients) else {
            return Err(mistakes);
        };
        let unusable = |what: &dyn std::fmt::Display| vec![format!("tls: {what}")];
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match clients {
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(|error| unusable(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            vec![format!(
                "tls: the certificate in {} and the key in {} do not go together: {error}",
                self.cert_file.display(),
                self.key_file.display()
            )]
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// What is wrong with how a component listens: its certificates, or that it has none where others can listen in.
pub fn listener_mistakes(
    listen: SocketAddr,
    tls: Option<&TlsConfig>,
    plaintext: bool,
) -> Vec<String> {
    match tls {
        Some(_) if plaintext => {
            vec!["plaintext = true stands beside tls: leave one out".to_owned()]
        }
        Some(tls) => tls.read().err().unwrap_or_default(),
        None if listen.ip().is_loopback() || plaintext => Vec::new(),
        None => vec![format!(
            "listen: {listen} is not loopback, and without TLS tokens and records would pass in the clear: give \
             tls.cert_file and tls.key_file; or, when something in front of it speaks TLS, say plaintext = true"
        )],
    }
}
