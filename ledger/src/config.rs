//! Configuration of the ledger: parsed whole, every mistake reported at once.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::tls::{TlsConfig, listener_mistakes};
use proto::{Duty, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::{Signer, VerifyingKey};

use crate::backup::BackupConfig;
use crate::folder;
use crate::limits::Limits;
use crate::log_keys::LogKeys;
use crate::publish::default_file;
use crate::registry::{self, MAX_MARK_BYTES};
use crate::retention::{Retention, RetentionClass};
use crate::witnessing::{WitnessConfig, Witnesses};

/// Table `[ledger]` of the configuration.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Address on which gRPC and HTTP are served.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Certificates, so that the doors speak TLS. Left out: they speak plain HTTP, on loopback only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Plain HTTP on an address that is not loopback: something in front of it speaks TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plaintext: bool,
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
    /// File with the log's signing key (`exhibit keygen`), mode 0600. The key's name is the log's origin. As every key
    /// file it holds the key, the key under a passphrase, or the name of a key in an ssh-agent.
    pub log_key_file: PathBuf,
    /// File with the key that is to follow the log's, of the same name. While it is named here every checkpoint is signed
    /// by both keys. To end the change, name it in `log_key_file` and leave this out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_log_key_file: Option<PathBuf>,
    /// File with the ledger's own recorder key, mode 0600: it records starts, marks and conflicts.
    pub recorder_key_file: PathBuf,
    /// vkeys of the recorders that may append, the ledger's own excepted. While a recorder changes its key two of one name
    /// may stand here.
    #[serde(default)]
    pub recorders: Vec<String>,
    /// What a recorder is, by its name: `gateway`, `query`, `evidence`, or `any`. It may record what such a part has to
    /// say, and nothing else. One that is not named here is `any`: whatever is not the ledger's own to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub duties: BTreeMap<String, String>,
    /// What one recorder, or one reader, may take.
    #[serde(default)]
    pub limits: Limits,
    /// Witnesses that cosign the log's checkpoints. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<WitnessConfig>,
    /// Backups that the ledger makes of itself while it runs. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupConfig>,
    /// How long disclosures are kept, by class. What is in no class is kept until somebody orders its erasure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retention: BTreeMap<String, RetentionClass>,
    /// Who may read entries: issuers of people, keys of followers. And who orders erasures and holds (role compliance), and
    /// who approves them (approver).
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
    pub(crate) log_keys: LogKeys,
    pub(crate) recorder_key: Arc<dyn Signer>,
    pub(crate) recorders: Vec<VerifyingKey>,
    pub(crate) duties: HashMap<String, Duty>,
    pub(crate) limits: Limits,
    pub(crate) witnesses: Option<Witnesses>,
    pub(crate) backup: Option<BackupConfig>,
    pub(crate) retention: Retention,
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
        let next_key = self
            .next_log_key_file
            .as_deref()
            .map(|file| read_key("next_log_key_file", file).map_err(&mut note).ok());
        let own_key =
            read_key("recorder_key_file", &self.recorder_key_file).map_err(&mut note).ok();
        let mut recorders: Vec<VerifyingKey> = Vec::new();
        for vkey in &self.recorders {
            match VerifyingKey::parse(vkey) {
                Ok(key) if !proto::names::is_leaf_name(key.name()) => note(format!(
                    "recorders: the name {:?} may not stand in a leaf; use A-Z a-z 0-9 _ - . / : + @",
                    key.name()
                )),
                Ok(key) if recorders.contains(&key) => {
                    note(format!("recorders: {vkey:?} is listed twice"));
                }
                Ok(key) if keys_of(&recorders, key.name()) == registry::MAX_KEYS => note(format!(
                    "recorders: {:?} has more than {} keys; while a recorder changes its key the old and the new are \
                     listed, and no third",
                    key.name(),
                    registry::MAX_KEYS
                )),
                Ok(key) => recorders.push(key),
                Err(error) => {
                    let vkey = tlog::without_keys(vkey);
                    note(format!("recorders: {vkey:?} is no vkey: {error}"));
                }
            }
        }
        listener_mistakes(self.listen, self.tls.as_ref(), self.plaintext)
            .into_iter()
            .chain(self.limits.mistakes())
            .for_each(&mut note);
        let mut duties = HashMap::new();
        for (name, duty) in &self.duties {
            if !recorders.iter().any(|key: &VerifyingKey| key.name() == name) {
                note(format!("duties: {name:?} is the name of no vkey in `recorders`"));
            }
            match duty.parse() {
                Ok(duty) => _ = duties.insert(name.clone(), duty),
                Err(error) => note(format!("duties.{name}: {duty:?}: {error}")),
            }
        }
        // Marks name them all, in leaves.
        for (field, key) in [("log_key_file", &log_key), ("recorder_key_file", &own_key)] {
            if let Some((_, key)) = key
                && !proto::names::is_leaf_name(key.name())
            {
                note(format!(
                    "{field}: the name {:?} may not stand in a leaf; use A-Z a-z 0-9 _ - . / : + @",
                    key.name()
                ));
            }
        }
        if let (Some((_, log)), Some((_, own))) = (&log_key, &own_key) {
            if log.public_key() == own.public_key() {
                note("log_key_file and recorder_key_file hold one key; keys are per role".into());
            }
            if recorders.iter().any(|key| key.name() == own.name()) {
                note(format!("recorders: {:?} is the ledger's own recorder", own.name()));
            }
            duties.insert(own.name().to_owned(), Duty::Ledger);
            recorders.push(own.clone());
            if let Some(Some((_, next))) = &next_key {
                next_key_mistakes(log, next, own).into_iter().for_each(&mut note);
            }
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
        let next_key = next_key.flatten();
        let witnesses = match (&self.witness, &log_key) {
            (Some(witness), Some((_, log))) => {
                let logs = std::iter::once(log).chain(next_key.iter().map(|(_, next)| next));
                witness.read(&logs.collect::<Vec<_>>()).map_err(&mut note).ok()
            }
            _ => None,
        };
        if let Some(mistake) = self.backup.as_ref().and_then(|b| b.mistake(&self.data_dir)) {
            note(mistake);
        }
        let retention = Retention::check(self.retention)
            .map_err(|mistakes| mistakes.into_iter().for_each(&mut note))
            .unwrap_or_default();
        let readers = identity::Verifier::new(self.identity)
            .map_err(|error| note(format!("identity: {error}")))
            .ok();
        match (log_key, own_key, readers) {
            (Some((log_key, _)), Some((recorder_key, _)), Some(readers)) if mistakes.is_empty() => {
                let next_key = next_key.map(|(next, _)| next);
                Ok(Checked {
                    checkpoint_file: self
                        .checkpoint_file
                        .unwrap_or_else(|| default_file(&self.data_dir)),
                    data_dir: self.data_dir,
                    public_url: self.public_url,
                    log_keys: LogKeys::new(log_key, next_key),
                    recorder_key,
                    recorders,
                    duties,
                    limits: self.limits,
                    witnesses,
                    backup: self.backup,
                    retention,
                    readers,
                })
            }
            _ => Err(ConfigError(mistakes)),
        }
    }
}

/// A key wherever it is kept, and what verifies it.
type SignerAndKey = (Arc<dyn Signer>, VerifyingKey);

fn read_key(field: &str, path: &Path) -> Result<SignerAndKey, String> {
    let signer = keys::read(path).map_err(|error| format!("{field}: {error}"))?.into_signer();
    let key = signer.verifying_key();
    Ok((signer, key))
}

fn keys_of(recorders: &[VerifyingKey], name: &str) -> usize {
    recorders.iter().filter(|key| key.name() == name).count()
}

/// What is wrong with the key that is to follow the log's.
fn next_key_mistakes(log: &VerifyingKey, next: &VerifyingKey, own: &VerifyingKey) -> Vec<String> {
    let mut mistakes = Vec::new();
    if next.name() != log.name() {
        mistakes.push(format!(
            "next_log_key_file: its key is named {:?}, and the log {:?}: a log keeps its name, so make a key with \
             `exhibit keygen {}`",
            next.name(),
            log.name(),
            log.name()
        ));
    }
    if next.public_key() == log.public_key() {
        mistakes.push(
            "next_log_key_file and log_key_file hold one key; leave next_log_key_file out when the change is over"
                .to_owned(),
        );
    }
    if next.public_key() == own.public_key() {
        mistakes.push(
            "next_log_key_file and recorder_key_file hold one key; keys are per role".to_owned(),
        );
    }
    mistakes
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
