//! The table `ledger_tls` of a component that connects.

use std::path::PathBuf;

use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{pem, provider};

/// How an `https` URL is trusted, and which certificate is shown there. The files are read at each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTls {
    /// File with certificates of the authorities that are trusted, PEM. Left out: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// File with the certificate to show, PEM, for a server that asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// File with that certificate's private key, PEM, mode 0600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Name that the server's certificate must bear. Left out: the host of the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// What stands in the files, checked; PEM. It has no `Debug`, so that no log shows a key.
pub struct ClientFiles {
    /// Certificates of the authorities.
    pub authorities: Option<String>,
    /// Certificate and key to show.
    pub shown: Option<(String, Zeroizing<String>)>,
}

impl ClientTls {
    /// Every file that is named, to be resolved.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.ca_file, &mut self.cert_file, &mut self.key_file].into_iter().flatten()
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Every mistake, one line each, with file and line.
    pub fn read(&self) -> Result<ClientFiles, Vec<String>> {
        let mut mistakes = Vec::new();
        let authorities = self.authorities().map_err(|mistake| mistakes.push(mistake));
        let shown = self.shown().map_err(|mistake| mistakes.push(mistake));
        match (authorities, shown) {
            (Ok(authorities), Ok(shown)) => Ok(ClientFiles { authorities, shown }),
            _ => Err(mistakes),
        }
    }

    fn authorities(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.ca_file else { return Ok(None) };
        pem::authorities("ca_file", file)?;
        pem::read("ca_file", file).map(Some)
    }

    fn shown(&self) -> Result<Option<(String, Zeroizing<String>)>, String> {
        let (cert, key) = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err("cert_file needs key_file beside it".to_owned()),
            (None, Some(_)) => return Err("key_file needs cert_file beside it".to_owned()),
        };
        let chain = pem::certificates("cert_file", cert)?;
        let (private, text) = pem::private_key("key_file", key)?;
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain, private)
            .map_err(|error| {
                format!(
                    "the certificate in {} and the key in {} do not go together: {error}",
                    cert.display(),
                    key.display()
                )
            })?;
        Ok(Some((pem::read("cert_file", cert)?, text)))
    }
}
