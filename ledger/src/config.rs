//! Configuration of the ledger: parsed whole, every mistake reported at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{SigningKey, VerifyingKey};

use crate::folder;
use crate::publish::default_file;
use crate::registry::{self, MAX_MARK_BYTES};

/// Table `[ledger]` of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Address on which gRPC and HTTP are served.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// URL under which readers reach the ledger; the audience of their tokens.
    #[serde(default = "default_public_url")]
    pub public_url: String,
    /// Folder of the store and, unless `checkpoint_file` says otherwise, of the checkpoint file. One ledger owns it.
    pub data_dir: PathBuf,
    /// File that keeps the published checkpoint, by which a store that was brought back from an older copy is
    /// noticed at the start. Best on another disk that no backup of `data_dir` covers: a backup that holds both
    /// brings both back. Left out: `checkpoint` in `data_dir`. To change it, stop the ledger and move the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_file: Option<PathBuf>,
    /// File with the log's signing key (`exhibit keygen`), mode 0600. The key's name is the log's origin.
    pub log_key_file: PathBuf,
    /// File with the ledger's own recorder key, mode 0600: it records starts, marks and conflicts.
    pub recorder_key_file: PathBuf,
    /// vkeys of the recorders that may append, the ledger's own excepted.
    #[serde(default)]
    pub recorders: Vec<String>,
    /// Who may read entries: issuers of people, keys of followers.
    #[serde(default)]
    pub identity: identity::IdentityConfig,
}

/// Default address of the ledger.
pub fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7601))
}

fn default_public_url() -> String {
    "http://127.0.0.1:7601".to_owned()
}

/// Everything wrong with a `[ledger]` table.
#[derive(Debug, thiserror::Error)]
#[error("the ledger's configuration cannot be used:\n  - {}", .0.join("\n  - "))]
pub struct ConfigError(pub Vec<String>);

/// A configuration that was checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) data_dir: PathBuf,
    pub(crate) checkpoint_file: PathBuf,
    pub(crate) public_url: String,
    pub(crate) log_key: SigningKey,
    pub(crate) recorder_key: SigningKey,
    pub(crate) recorders: Vec<VerifyingKey>,
    pub(crate) readers: identity::Verifier,
}

impl LedgerConfig {
    /// Every mistake that the ledger would refuse to start with, one line each. Reads the files that are named.
    pub fn mistakes(&self) -> Vec<String> {
        self.clone().check().err().map(|error| error.0).unwrap_or_default()
    }

    /// Reads the keys and checks every value.
    ///
    /// # Errors
    /// [`ConfigError`] lists all mistakes.
    pub(crate) fn check(self) -> Result<Checked, ConfigError> {
        let mut mistakes = Vec::new();
        let mut note = |mistake: String| mistakes.push(mistake);
        let log_key = read_key("log_key_file", &self.log_key_file).map_err(&mut note).ok();
        let own_key =
            read_key("recorder_key_file", &self.recorder_key_file).map_err(&mut note).ok();
        let mut recorders = Vec::new();
        for vkey in &self.recorders {
            match VerifyingKey::parse(vkey) {
                Ok(key) if !proto::names::is_leaf_name(key.name()) => note(format!(
                    "recorders: the name {:?} may not stand in a leaf; use A-Z a-z 0-9 _ - . / : + @",
                    key.name()
                )),
                Ok(key) if recorders.iter().any(|k: &VerifyingKey| k.name() == key.name()) => {
                    note(format!("recorders: {:?} is listed twice", key.name()));
                }
                Ok(key) => recorders.push(key),
                Err(error) => note(format!("recorders: {vkey:?} is no vkey: {error}")),
            }
        }
        if let (Some(log), Some(own)) = (&log_key, &own_key) {
            if log.verifying_key().public_key() == own.verifying_key().public_key() {
                note("log_key_file and recorder_key_file hold one key; keys are per role".into());
            }
            if recorders.iter().any(|key| key.name() == own.name()) {
                note(format!("recorders: {:?} is the ledger's own recorder", own.name()));
            }
            recorders.push(own.verifying_key());
        }
        let mark = registry::largest_mark(&recorders);
        if mark > MAX_MARK_BYTES {
            note(format!(
                "recorders: {} recorders take {mark} bytes in a mark of them all, and at most {MAX_MARK_BYTES} can be \
                 recorded; use fewer, or shorter names, or a second ledger",
                recorders.len()
            ));
        }
        if let Some(file) = &self.checkpoint_file
            && !folder::above(file).is_dir()
        {
            note(format!(
                "checkpoint_file: the folder of {} does not exist; mount its disk, or create it",
                file.display()
            ));
        }
        for line in self.identity.unknown_roles(&Role::ALL.map(Role::as_str)) {
            note(format!("identity.{line}"));
        }
        let readers = identity::Verifier::new(self.identity)
            .map_err(|error| note(format!("identity: {error}")))
            .ok();
        match (log_key, own_key, readers) {
            (Some(log_key), Some(recorder_key), Some(readers)) if mistakes.is_empty() => {
                Ok(Checked {
                    checkpoint_file: self
                        .checkpoint_file
                        .unwrap_or_else(|| default_file(&self.data_dir)),
                    data_dir: self.data_dir,
                    public_url: self.public_url,
                    log_key,
                    recorder_key,
                    recorders,
                    readers,
                })
            }
            _ => Err(ConfigError(mistakes)),
        }
    }
}

fn read_key(field: &str, path: &Path) -> Result<SigningKey, String> {
    let text = identity::read_secret_file(path).map_err(|what| format!("{field}: {what}"))?;
    SigningKey::parse(&text).map_err(|error| format!("{field}: {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_of_machines_must_exist() {
        let machine = |roles: &[&str]| json!({"name": "m", "public_key": "", "roles": roles});
        let every = machine(&Role::ALL.map(Role::as_str));
        let config: LedgerConfig = serde_json::from_value(json!({
            "data_dir": "data", "log_key_file": "log.key", "recorder_key_file": "ledger.key",
            "identity": {"machines": [every, machine(&["folower"])]},
        }))
        .unwrap();
        let mut mistakes = config.mistakes();
        mistakes.retain(|mistake| mistake.contains(".roles"));
        assert_eq!(
            mistakes,
            [
                "identity.machines[1].roles: there is no role `folower`: use one of admin, auditor, compliance, siem, \
                 approver, follower"
            ]
        );
    }
}
