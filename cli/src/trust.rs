//! Whom commands trust, and what they show, when a service is reached by `https`.

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::Args;
use identity::tls::ClientTls;
use reqwest::{Certificate, ClientBuilder, Identity};

use crate::failure::Failure;

/// Read once, before the command runs.
static TRUST: OnceLock<Trust> = OnceLock::new();

#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// File with the authorities whose certificates services must have, PEM; without it those of the system
    #[arg(long, global = true, env = "EXHIBIT_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the certificate to show, PEM
    #[arg(long, global = true, env = "EXHIBIT_CERT_FILE", value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// File with that certificate's private key, PEM, mode 0600
    #[arg(long, global = true, env = "EXHIBIT_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

#[derive(Default)]
struct Trust {
    authorities: Option<Vec<Certificate>>,
    shown: Option<Identity>,
}

impl TrustArgs {
    /// Reads the files.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        let files = ClientTls {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            server_name: None,
        };
        let read = files.read().map_err(|found| Failure::unusable("tls", found.join("\n  ")))?;
        let unusable = |error: reqwest::Error| Failure::unusable("tls", error);
        let authorities = read.authorities.map(|pem| Certificate::from_pem_bundle(pem.as_bytes()));
        let shown = read.shown.map(|(chain, key)| {
            Identity::from_pem(format!("{}\n{chain}", key.as_str()).as_bytes())
        });
        let trust = Trust {
            authorities: authorities.transpose().map_err(unusable)?,
            shown: shown.transpose().map_err(unusable)?,
        };
        // Commands run once in a process.
        TRUST.set(trust).map_err(|_| Failure::unusable("tls", "the certificates are read already"))
    }
}

/// A client that trusts and shows what was asked for.
pub(crate) fn apply(mut builder: ClientBuilder) -> ClientBuilder {
    let Some(trust) = TRUST.get() else { return builder };
    if let Some(authorities) = &trust.authorities {
        builder = builder.tls_certs_only(authorities.clone());
    }
    if let Some(shown) = &trust.shown {
        builder = builder.identity(shown.clone());
    }
    builder
}
