//! Which witnesses: a C2SP tlog-policy file with the URL of each.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{Policy, VerifyingKey};

use super::Witnesses;
use super::client::Client;

/// The most witnesses that are asked.
const MAX_WITNESSES: usize = 32;

/// Table `[ledger.witness]`: who cosigns the log's checkpoints.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WitnessConfig {
    /// File with the witnesses and the quorum of them that must cosign, as C2SP tlog-policy describes it: lines
    /// `witness <name> <vkey> <url>`, `group …` and `quorum …`. At the start the quorum must have cosigned the published
    /// checkpoint before anything is recorded (`exhibit ledger --without-quorum` starts without it).
    pub policy_file: PathBuf,
}

impl WitnessConfig {
    /// Reads the file, for the log with these keys.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(&self, logs: &[&VerifyingKey]) -> Result<Witnesses, String> {
        let about =
            |what: String| format!("witness.policy_file: {}: {what}", self.policy_file.display());
        let text = std::fs::read_to_string(&self.policy_file).map_err(|e| about(e.to_string()))?;
        let policy = Policy::parse(&text).map_err(|error| about(error.to_string()))?;
        check(&policy, logs).map_err(about)?;
        let http = super::client::http().map_err(|error| about(error.to_string()))?;
        let mut clients = Vec::new();
        for witness in &policy.witnesses {
            if let Some(url) = &witness.url {
                let client = Client::new(&witness.name, witness.key.clone(), url, http.clone());
                clients.push(client.map_err(about)?);
            }
        }
        Ok(Witnesses { policy: Arc::new(policy), clients })
    }
}

fn check(policy: &Policy, logs: &[&VerifyingKey]) -> Result<(), String> {
    let missing = logs.iter().find(|log| !policy.logs.contains(log));
    if let (Some(log), false) = (missing, policy.logs.is_empty()) {
        return Err(format!("it names logs, but not this one: add `log {log}`, or name none"));
    }
    let asked: Vec<_> = policy.witnesses.iter().filter(|witness| witness.url.is_some()).collect();
    if asked.is_empty() {
        return Err("it names no witness with a URL: `witness <name> <vkey> <url>`".to_owned());
    }
    if asked.len() > MAX_WITNESSES {
        return Err(format!("more than {MAX_WITNESSES} witnesses have a URL"));
    }
    if !policy.quorum_satisfied(asked.iter().map(|witness| witness.name.as_str())) {
        return Err("the witnesses that have a URL are not enough for the quorum".to_owned());
    }
    Ok(())
}
