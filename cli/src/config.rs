//! The configuration file: one TOML, a table for each component.

mod agree;
mod apart;
mod unreadable;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::GatewayConfig;
use identity::tls::{ClientTls, TlsConfig};
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
    /// File with the key that signs packages, mode 0600: a key, an encrypted key, or the name of a key in an ssh-agent.
    pub(crate) package_key_file: PathBuf,
    /// Folder in which packages are made; they are removed once sent, and those that a killed process left over at the
    /// next start. One process owns it.
    pub(crate) work_dir: PathBuf,
    /// File with witnesses and their quorum (C2SP tlog-policy): only checkpoints that the quorum has cosigned are
    /// exported, and an export waits some seconds for that. It may be the ledger's. Left out: any checkpoint is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) witness_policy_file: Option<PathBuf>,
}

impl Config {
    /// Reads and parses the file. Relative paths in it are relative to the folder of the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::unusable("config", format!("{}: {error}", path.display())))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let what = unreadable::told(&text, &error);
            Failure::unusable("config", format!("{}: {what}", path.display()))
        })?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Every mistake for which a component would refuse to start, or could not work with the others, each with its
    /// table.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let ledger = self.ledger.as_ref().map(LedgerConfig::mistakes);
        let gateway = self.gateway.as_ref().map(GatewayConfig::mistakes);
        let query = self.query.as_ref().map(QueryConfig::mistakes);
        let evidence = self.evidence.as_ref().map(|evidence| {
            let key = read_key(&evidence.package_key_file).err();
            let policy = evidence.witness_policy().err();
            [("package_key_file", key), ("witness_policy_file", policy)]
                .into_iter()
                .filter_map(|(field, failure)| Some(format!("{field}: {}", failure?)))
                .collect()
        });
        [("ledger", ledger), ("gateway", gateway), ("query", query), ("evidence", evidence)]
            .into_iter()
            .flat_map(|(table, found)| {
                found.unwrap_or_default().into_iter().map(move |what| format!("[{table}] {what}"))
            })
            .chain(self.disagreements())
            .chain(self.shared())
            .chain(self.agents_away())
            .collect()
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
            paths.extend(&mut ledger.next_log_key_file);
            paths.extend(&mut ledger.checkpoint_file);
            paths.extend(ledger.backup.as_mut().map(|backup| &mut backup.folder));
            paths.extend(ledger.tls.iter_mut().flat_map(TlsConfig::files_mut));
            paths.extend(ledger.witness.as_mut().map(|witness| &mut witness.policy_file));
        }
        if let Some(gateway) = &mut self.gateway {
            paths.extend([&mut gateway.recorder_key_file, &mut gateway.policy_dir]);
            paths.extend(
                [&mut gateway.checkpoint_file, &mut gateway.detectors_file].into_iter().flatten(),
            );
            paths.extend(gateway.tls.iter_mut().flat_map(TlsConfig::files_mut));
            paths.extend(gateway.ledger_tls.iter_mut().flat_map(ClientTls::files_mut));
            for server in gateway.servers.values_mut() {
                paths.extend(server.headers.values_mut().filter_map(|header| header.file.as_mut()));
            }
        }
        if let Some(query) = &mut self.query {
            paths.extend([&mut query.recorder_key_file, &mut query.data_dir]);
            paths.extend(&mut query.reader_key_file);
            paths.extend(query.tls.iter_mut().flat_map(TlsConfig::files_mut));
            paths.extend(query.ledger_tls.iter_mut().flat_map(ClientTls::files_mut));
        }
        if let Some(evidence) = &mut self.evidence {
            paths.extend([&mut evidence.package_key_file, &mut evidence.work_dir]);
            paths.extend(&mut evidence.witness_policy_file);
        }
        for path in paths {
            *path = base.join(&*path);
        }
    }
}

/// All `mistakes` of `file` as one failure.
///
/// # Errors
/// When there are any.
pub(crate) fn refuse(file: &Path, mistakes: &[String]) -> Result<(), Failure> {
    if mistakes.is_empty() {
        return Ok(());
    }
    let lines = mistakes.join("\n  ");
    Err(Failure::unusable("config", format!("{}:\n  {lines}", file.display())))
}

impl EvidenceConfig {
    /// Whose quorum a checkpoint needs before it is exported, if anybody's.
    pub(crate) fn witness_policy(&self) -> Result<Option<tlog::Policy>, Failure> {
        let Some(path) = &self.witness_policy_file else { return Ok(None) };
        let about = |what: String| {
            Failure::unusable("witness_policy", format!("{}: {what}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| about(error.to_string()))?;
        tlog::Policy::parse(&text).map(Some).map_err(|error| about(error.to_string()))
    }
}

/// Opens the file of a signing key, wherever the key itself is.
pub(crate) fn read_key(path: &Path) -> Result<Arc<dyn tlog::Signer>, Failure> {
    let key = keys::read(path).map_err(|error| Failure::unusable("key", error))?;
    Ok(key.into_signer())
}
