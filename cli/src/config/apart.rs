//! What no two parts may share, and what only a look beyond the file can tell: keys, folders, agents, servers of other files.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::Config;
use super::agree::vkey_of;

const READER: &str = "[query] reader_key_file";
const BACKUPS: &str = "[ledger.backup] folder";

impl Config {
    /// Keys and folders that two parts would both use, one line each: a key signs for one role, and two processes that
    /// record under one key fork its chain; a folder has one owner.
    pub(super) fn shared(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut keys = BTreeMap::new();
        for (field, path) in self.key_files() {
            let Some(key) = vkey_of(path) else { continue };
            if let Some(other) = keys.insert(*key.public_key(), field) {
                // The ledger tells of its own keys itself, and a query node may read with the key that it records with.
                let is_both = |table| field.starts_with(table) && other.starts_with(table);
                if !is_both("[ledger]") && !is_both("[query]") {
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
        let backups = self.ledger.as_ref().and_then(|ledger| ledger.backup.as_ref());
        let backups = backups.map(|backup| (BACKUPS, &*backup.folder));
        let folders: Vec<_> = [ledger, query, work, backups].into_iter().flatten().collect();
        for (at, (field, path)) in folders.iter().enumerate() {
            for (other, taken) in &folders[..at] {
                // The ledger tells of these two itself.
                if *field == BACKUPS && other.starts_with("[ledger]") {
                    continue;
                }
                let (real, other_real) = (real(path), real(taken));
                if real.starts_with(&other_real) || other_real.starts_with(&real) {
                    found.push(format!(
                        "{other} ({}) and {field} ({}) are one folder, or one lies in the other: give each a folder of its own",
                        taken.display(),
                        path.display()
                    ));
                }
            }
        }
        found.extend(self.shared_checkpoint());
        found
    }

    /// A gateway's memory of the log where the ledger keeps what it published: by that file the ledger notices an old store.
    fn shared_checkpoint(&self) -> Option<String> {
        let ledger = self.ledger.as_ref()?;
        let file = self.gateway.as_ref()?.checkpoint_file.as_deref()?;
        let published = ledger.checkpoint_file.as_deref();
        let is_published = published.is_some_and(|published| real(published) == real(file));
        (is_published || real(file).starts_with(real(&ledger.data_dir))).then(|| {
            format!(
                "[gateway] checkpoint_file ({}) is the ledger's checkpoint_file, or lies in its data_dir: what a gateway \
                 remembers stands apart, so give it a file of its own",
                file.display()
            )
        })
    }

    /// Keys whose agent does not answer, or does not hold them, one line each.
    pub(super) fn agents_away(&self) -> Vec<String> {
        let away = |(field, path): (&'static str, &Path)| match keys::read(path) {
            Ok(keys::Key::Agent(key)) => {
                key.is_held().err().map(|error| format!("{field}: {error}"))
            }
            _ => None,
        };
        // One that signs tokens can be in no agent, which its own table tells.
        let of_others = self.key_files().into_iter().filter(|(field, _)| *field != READER);
        of_others.filter_map(away).collect()
    }

    /// What may be a mistake, and may be right when there are other files, one line each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let backup = self.ledger.as_ref().and_then(|ledger| ledger.backup.as_ref()?.doubt());
        let mut told: Vec<_> =
            backup.map(|doubt| format!("[ledger] {doubt}")).into_iter().collect();
        told.extend(self.classes_of_nobody());
        told
    }

    /// Servers of retention classes that the gateway does not name.
    fn classes_of_nobody(&self) -> Vec<String> {
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
            files.extend(query.reader_key_file.iter().map(|f| (READER, &**f)));
        }
        if let Some(evidence) = &self.evidence {
            files.push(("[evidence] package_key_file", &evidence.package_key_file));
        }
        files
    }
}

/// A folder by its true name, as far as it is there.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let mut components = path.components();
    let last = components.next_back();
    let above = components.as_path();
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    match last {
        Some(Component::Normal(name)) => real(above).join(name),
        Some(Component::ParentDir) => real(above).parent().unwrap_or(path).to_owned(),
        _ => path.to_owned(),
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
            (
                "\"query.key\"",
                "\"query.key\"\nreader_key_file = \"gateway.key\"",
                ["[gateway] recorder_key_file", "[query] reader_key_file"],
            ),
            (
                "[ledger.retention",
                "[ledger.backup]\nfolder = \"data/query\"\n[ledger.retention",
                ["[query] data_dir", "[ledger.backup] folder"],
            ),
            (
                "[ledger.retention",
                "[ledger.backup]\nfolder = \"data/../data/packages\"\n[ledger.retention",
                ["[evidence] work_dir", "[ledger.backup] folder"],
            ),
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
    fn a_gateway_remembers_the_log_in_a_file_of_its_own() {
        let keeps = |ledgers: &str, gateways: &str| {
            let ledger = format!("log_key_file = \"log.key\"\ncheckpoint_file = \"{ledgers}\"");
            let (dir, mut config) = config("log_key_file = \"log.key\"", &ledger);
            if let Some(gateway) = &mut config.gateway {
                gateway.checkpoint_file = Some(dir.path().join(gateways));
            }
            config.shared()
        };
        assert!(keeps("kept", "gateway.checkpoint").is_empty());
        for (ledgers, gateways) in [("kept", "kept"), ("kept", "data/ledger/checkpoint")] {
            let told = keeps(ledgers, gateways);
            assert!(told.len() == 1 && told[0].contains("of its own"), "{told:?}");
        }
    }

    #[test]
    fn a_query_node_may_read_with_the_key_that_it_records_with() {
        let reader = "\"query.key\"\nreader_key_file = \"query.key\"";
        let (_dir, config) = config("\"query.key\"", reader);
        assert!(config.shared().is_empty(), "{:?}", config.shared());
    }

    #[test]
    fn a_class_of_a_server_that_nobody_has_is_a_warning() {
        let (_dir, config) = config("", "");
        let told = config.warnings();
        assert!(told.len() == 1 && told[0].contains("\"brokr\""), "{told:?}");
    }

    /// Break it: leave the doubts of `[ledger.backup]` out of `warnings`.
    #[test]
    fn that_backups_go_before_one_is_read_back_is_a_warning() {
        let backup = "[ledger.backup]\nfolder = \"backups\"\nevery_minutes = 60\nkeep = 3\n";
        let (_dir, config) = config("[ledger.retention", &format!("{backup}[ledger.retention"));
        let told = config.warnings();
        assert!(told.len() == 2 && told[0].contains("verify_every"), "{told:?}");
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
    #[test]
    fn that_no_agent_signs_the_tokens_of_a_reader_is_told_once() {
        let reader = "\"query.key\"\nreader_key_file = \"agent.key\"";
        let (dir, config) = config("\"query.key\"", reader);
        let vkey = SigningKey::from_seed("agent", [9; 32]).unwrap().verifying_key();
        let line = keys::agent::line(&vkey, Some(&dir.path().join("socket")));
        write(&dir.path().join("agent.key"), &line);
        let mut told = config.mistakes();
        told.retain(|line| line.contains("reader_key_file"));
        assert_eq!(told.len(), 1, "{told:?}");
    }
}
