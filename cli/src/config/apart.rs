//! What no two parts may share, and what only a look beyond the file can tell: keys, folders, agents, servers of other files.

use std::collections::BTreeMap;
use std::path::Path;

use super::Config;
use super::agree::vkey_of;

impl Config {
    /// Keys and folders that two parts would both use, one line each: a key signs for one role, and two processes that
    /// record under one key fork its chain; a folder has one owner.
    pub(super) fn shared(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut keys = BTreeMap::new();
        for (field, path) in self.key_files() {
            let Some(key) = vkey_of(path) else { continue };
            if let Some(other) = keys.insert(*key.public_key(), field) {
                // The ledger tells of its own keys itself.
                if !(field.starts_with("[ledger]") && other.starts_with("[ledger]")) {
                    found.push(format!(
                        "{other} and {field} hold one key ({}): each part needs a key of its own, so make one with \
                         `exhibit keygen`",
                        key.name()
                    ));
                }
            }
        }
        let ledger = self.ledger.as_ref().map(|ledger| ("[ledger] data_dir", &*ledger.data_dir));
        let query = self.query.as_ref().map(|query| ("[query] data_dir", &*query.data_dir));
        let work = self.evidence.as_ref().map(|made| ("[evidence] work_dir", &*made.work_dir));
        let folders: Vec<_> = [ledger, query, work].into_iter().flatten().collect();
        for (at, (field, path)) in folders.iter().enumerate() {
            for (other, taken) in &folders[..at] {
                if path.starts_with(taken) || taken.starts_with(path) {
                    found.push(format!(
                        "{other} ({}) and {field} ({}) are one folder, or one lies in the other: give each a folder of its own",
                        taken.display(),
                        path.display()
                    ));
                }
            }
        }
        found
    }

    /// Keys whose agent does not answer, or does not hold them, one line each.
    pub(super) fn agents_away(&self) -> Vec<String> {
        let away = |(field, path): (&'static str, &Path)| match keys::read(path) {
            Ok(keys::Key::Agent(key)) => {
                key.is_held().err().map(|error| format!("{field}: {error}"))
            }
            _ => None,
        };
        self.key_files().into_iter().filter_map(away).collect()
    }

    /// What may be a mistake, and may be right when there are other files, one line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let (Some(ledger), Some(gateway)) = (&self.ledger, &self.gateway) else {
            return Vec::new();
        };
        let classes = ledger.retention.iter();
        let named =
            classes.flat_map(|(class, of)| of.servers.iter().map(move |server| (class, server)));
        let missing = named.filter(|(_, server)| !gateway.servers.contains_key(*server));
        let told = missing.map(|(class, server)| {
            let there: Vec<_> = gateway.servers.keys().map(String::as_str).collect();
            format!(
                "[ledger] retention.{class}: no server of [gateway] is named {server:?} (there are: {}). If no gateway of \
                 another file has it, the class covers nothing",
                there.join(", ")
            )
        });
        told.collect()
    }

    /// Every file with a key that signs.
    fn key_files(&self) -> Vec<(&'static str, &Path)> {
        let mut files: Vec<(&'static str, &Path)> = Vec::new();
        if let Some(ledger) = &self.ledger {
            files.push(("[ledger] log_key_file", &ledger.log_key_file));
            files.extend(
                ledger.next_log_key_file.iter().map(|f| ("[ledger] next_log_key_file", &**f)),
            );
            files.push(("[ledger] recorder_key_file", &ledger.recorder_key_file));
        }
        if let Some(gateway) = &self.gateway {
            files.push(("[gateway] recorder_key_file", &gateway.recorder_key_file));
        }
        if let Some(query) = &self.query {
            files.push(("[query] recorder_key_file", &query.recorder_key_file));
        }
        if let Some(evidence) = &self.evidence {
            files.push(("[evidence] package_key_file", &evidence.package_key_file));
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use tlog::SigningKey;

    use crate::config::Config;

    const TEXT: &str = r#"
        [ledger]
        data_dir = "data/ledger"
        log_key_file = "log.key"
        recorder_key_file = "ledger.key"
        [ledger.retention.trading]
        servers = ["broker", "brokr"]
        keep = 400
        [gateway]
        public_url = "http://127.0.0.1:7600"
        log_vkey = ""
        recorder_key_file = "gateway.key"
        policy_dir = "policies"
        servers = { broker = { url = "http://127.0.0.1:9000/mcp" } }
        [query]
        public_url = "http://127.0.0.1:7602"
        ledger = "http://127.0.0.1:7601"
        log_vkey = ""
        recorder_key_file = "query.key"
        data_dir = "data/query"
        [evidence]
        package_key_file = "package.key"
        work_dir = "data/packages"
    "#;

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    fn config(from: &str, to: &str) -> (tempfile::TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        for (seed, name) in (1..).zip(["log", "ledger", "gateway", "query", "package"]) {
            let key = SigningKey::from_seed(name, [seed; 32]).unwrap();
            write(&dir.path().join(format!("{name}.key")), &key.encode());
        }
        let file = dir.path().join("exhibit.toml");
        fs::write(&file, TEXT.replace(from, to)).unwrap();
        let config = Config::read(&file).unwrap();
        (dir, config)
    }

    #[test]
    fn parts_share_neither_keys_nor_folders() {
        let (_dir, good) = config("", "");
        assert!(good.shared().is_empty(), "{:?}", good.shared());
        for (from, to, both) in [
            (
                "query.key",
                "gateway.key",
                ["[gateway] recorder_key_file", "[query] recorder_key_file"],
            ),
            ("package.key", "log.key", ["[ledger] log_key_file", "[evidence] package_key_file"]),
            ("data/query", "data/ledger", ["[ledger] data_dir", "[query] data_dir"]),
            ("data/packages", "data/query/packages", ["[query] data_dir", "[evidence] work_dir"]),
        ] {
            let (_dir, config) = config(from, to);
            let told = config.shared();
            assert!(
                told.len() == 1 && both.iter().all(|field| told[0].contains(field)),
                "{told:?}"
            );
            assert!(config.mistakes().contains(&told[0]), "the check of the file does not tell it");
        }
    }

    #[test]
    fn a_class_of_a_server_that_nobody_has_is_a_warning() {
        let (_dir, config) = config("", "");
        let told = config.warnings();
        assert!(told.len() == 1 && told[0].contains("\"brokr\""), "{told:?}");
    }

    #[test]
    fn a_key_in_an_agent_that_is_away_is_a_mistake() {
        let (dir, config) = config("log.key", "agent.key");
        assert!(config.agents_away().is_empty(), "what cannot be read is told elsewhere");
        let vkey = SigningKey::from_seed("agent", [9; 32]).unwrap().verifying_key();
        let line = keys::agent::line(&vkey, Some(&dir.path().join("socket")));
        write(&dir.path().join("agent.key"), &line);
        let told = config.agents_away();
        assert!(
            told.len() == 1 && told[0].contains("log_key_file") && told[0].contains("socket"),
            "{told:?}"
        );
    }
}
