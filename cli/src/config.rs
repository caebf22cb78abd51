//! The configuration file: one TOML, a table for each component.

use std::path::{Path, PathBuf};

use gateway::GatewayConfig;
use ledger::LedgerConfig;
use query::QueryConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// The whole file. A component that a command does not run needs no table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The ledger.
    pub(crate) ledger: Option<LedgerConfig>,
    /// The gateway.
    pub(crate) gateway: Option<GatewayConfig>,
    /// The query node.
    pub(crate) query: Option<QueryConfig>,
    /// Exports, served beside the query node.
    pub(crate) evidence: Option<EvidenceConfig>,
}

/// Table `[evidence]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceConfig {
    /// File with the key that signs packages, mode 0600.
    pub(crate) package_key_file: PathBuf,
    /// Folder in which packages are made; they are removed once sent.
    pub(crate) work_dir: PathBuf,
}

impl Config {
    /// Reads and parses the file. Relative paths in it are relative to the folder of the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::unusable("config", format!("{}: {error}", path.display())))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            Failure::unusable(
                "config",
                format!("{}: {}", path.display(), error.to_string().trim_end()),
            )
        })?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    pub(crate) fn missing(table: &str) -> Failure {
        Failure::unusable("config", format!("the configuration has no [{table}] table"))
    }

    fn resolve(&mut self, base: &Path) {
        let mut paths: Vec<&mut PathBuf> = Vec::new();
        if let Some(ledger) = &mut self.ledger {
            paths.extend([
                &mut ledger.data_dir,
                &mut ledger.log_key_file,
                &mut ledger.recorder_key_file,
            ]);
        }
        if let Some(gateway) = &mut self.gateway {
            paths.extend([&mut gateway.recorder_key_file, &mut gateway.policy_dir]);
            paths.extend(&mut gateway.detectors_file);
            for server in gateway.servers.values_mut() {
                paths.extend(server.headers.values_mut().filter_map(|header| header.file.as_mut()));
            }
        }
        if let Some(query) = &mut self.query {
            paths.extend([&mut query.recorder_key_file, &mut query.data_dir]);
            paths.extend(&mut query.reader_key_file);
        }
        if let Some(evidence) = &mut self.evidence {
            paths.extend([&mut evidence.package_key_file, &mut evidence.work_dir]);
        }
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

/// Reads a signing key that only its owner can read.
pub(crate) fn read_key(path: &Path) -> Result<tlog::SigningKey, Failure> {
    use std::os::unix::fs::PermissionsExt;
    let about = |what: String| Failure::unusable("key", format!("{}: {what}", path.display()));
    let mode =
        std::fs::metadata(path).map_err(|error| about(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(about(format!("mode {:04o} lets others read it; chmod 600", mode & 0o7777)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| about(error.to_string()))?;
    tlog::SigningKey::parse(text.trim_end()).map_err(|error| about(error.to_string()))
}
