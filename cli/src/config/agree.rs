//! What the tables of one file say of each other: `exhibit up` runs them together, so they must mean one log.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ledger::LedgerConfig;
use proto::kind::Kind;
use proto::v1::{EvidenceAccessed, RequestReceived};
use query::QueryConfig;
use tlog::VerifyingKey;

use super::{Config, read_key};

impl Config {
    /// What in `[ledger]` keeps a table of this file from recording or reading there, one line each. What cannot be read
    /// is a mistake of its own table, and is told there. A table that names another host or port means another ledger.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        let Some(ledger) = &self.ledger else { return Vec::new() };
        let gateway = self.gateway.as_ref().map(|gateway| Recording {
            table: "gateway",
            ledger: &gateway.ledger,
            log_vkey: &gateway.log_vkey,
            recorder_key_file: &gateway.recorder_key_file,
        });
        let query = self.query.as_ref().map(|query| Recording {
            table: "query",
            ledger: &query.ledger,
            log_vkey: &query.log_vkey,
            recorder_key_file: &query.recorder_key_file,
        });
        let log = vkey_of(&ledger.log_key_file);
        let next = ledger.next_log_key_file.as_deref().and_then(vkey_of);
        let parsed = ledger.recorders.iter().map(|vkey| VerifyingKey::parse(vkey).ok());
        let recorders: Option<Vec<VerifyingKey>> = parsed.collect();
        let mut found = Vec::new();
        for table in [gateway, query].into_iter().flatten() {
            if !table.means(ledger.listen) {
                continue;
            }
            if let Some(log) = &log {
                found.extend(table.other_log(log, next.as_ref(), &ledger.log_key_file));
            }
            found.extend(table.unfit_duty(ledger));
            if let Some(recorders) = &recorders {
                found.extend(table.unlisted(recorders));
            }
            if let (Some(query), "query") = (&self.query, table.table) {
                found.extend(no_follower(query, ledger));
                found.extend(other_audience(query, ledger));
            }
        }
        found
    }
}

/// What a table says of the ledger where it records.
struct Recording<'c> {
    table: &'static str,
    ledger: &'c str,
    log_vkey: &'c str,
    recorder_key_file: &'c Path,
}

impl Recording<'_> {
    fn means(&self, listen: SocketAddr) -> bool {
        let Ok(url) = reqwest::Url::parse(self.ledger) else { return false };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let address: Option<IpAddr> = host.parse().ok();
        let is_here = address.is_some_and(|host| host.is_loopback() || host == listen.ip());
        (is_here || host == "localhost") && url.port_or_known_default() == Some(listen.port())
    }

    /// While the log changes its key either is right.
    fn other_log(
        &self,
        log: &VerifyingKey,
        next: Option<&VerifyingKey>,
        log_key_file: &Path,
    ) -> Option<String> {
        let given = VerifyingKey::parse(self.log_vkey.trim()).ok()?;
        (given != *log && Some(&given) != next).then(|| {
            format!(
                "[{}] log_vkey is {given}, but log_key_file of [ledger], {}, holds the key of {log}: if that file is \
                 the right one, write its vkey in log_vkey; if not, name the right file in [ledger]",
                self.table,
                log_key_file.display()
            )
        })
    }

    /// Its recorder may say what this part has to say.
    fn unfit_duty(&self, ledger: &LedgerConfig) -> Option<String> {
        let name = vkey_of(self.recorder_key_file)?.name().to_owned();
        let duty: proto::Duty = ledger.duties.get(&name)?.parse().ok()?;
        let kind = match self.table {
            "gateway" => Kind::RequestReceived(RequestReceived::default()),
            _ => Kind::EvidenceAccessed(EvidenceAccessed::default()),
        };
        (!duty.may_record(&kind)).then(|| {
            format!(
                "duties of [ledger] let {name} record what {} {duty} does, but it is the recorder of [{1}], whose \
                 events would be refused: write {name} = \"{1}\"",
                if duty == proto::Duty::Evidence { "an" } else { "a" },
                self.table
            )
        })
    }

    fn unlisted(&self, recorders: &[VerifyingKey]) -> Option<String> {
        let key = vkey_of(self.recorder_key_file)?;
        (!recorders.contains(&key)).then(|| {
            let listed: Vec<String> = recorders.iter().map(ToString::to_string).collect();
            let listed = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
            format!(
                "[{}] recorder_key_file {} holds the key of {key}, but recorders of [ledger] has {listed}: add the \
                 key's vkey to recorders, or name the file of a key that stands there",
                self.table,
                self.recorder_key_file.display()
            )
        })
    }
}

/// The query node reads with its own key, and the ledger must know it as a follower.
fn no_follower(query: &QueryConfig, ledger: &LedgerConfig) -> Option<String> {
    let file = query.reader_key_file.as_ref().unwrap_or(&query.recorder_key_file);
    let key = vkey_of(file)?;
    let follows = ledger.identity.machines.iter().any(|machine| {
        machine.name == key.name()
            && machine.public_key.trim() == key.to_string()
            && machine.roles.iter().any(|role| role == "follower")
    });
    (!follows).then(|| {
        format!(
            "[query] reads the ledger with the key of {key} ({}), which no machine of [ledger] has: add \
             [[ledger.identity.machines]] with name = \"{}\", this public_key, and roles = [\"follower\"]",
            file.display(),
            key.name()
        )
    })
}

fn other_audience(query: &QueryConfig, ledger: &LedgerConfig) -> Option<String> {
    let audience = query.ledger_audience.as_ref().unwrap_or(&query.ledger);
    (*audience != ledger.public_url).then(|| {
        format!(
            "[query] reads the ledger with tokens for {audience}, but public_url of [ledger] is {}: make them equal, or \
             write that URL in ledger_audience",
            ledger.public_url
        )
    })
}

pub(super) fn vkey_of(file: &Path) -> Option<VerifyingKey> {
    read_key(file).ok().map(|key| key.verifying_key())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;
    use tlog::SigningKey;

    use super::*;

    const GOOD: &str = r#"
        [ledger]
        listen = "127.0.0.1:7601"
        data_dir = "data"
        log_key_file = "log.key"
        recorder_key_file = "ledger.key"
        recorders = ["<gateway>", "<query>"]
        [[ledger.identity.machines]]
        name = "query"
        public_key = "<query>"
        roles = ["follower"]
        [gateway]
        public_url = "http://127.0.0.1:7600"
        log_vkey = "<log>"
        recorder_key_file = "gateway.key"
        policy_dir = "policies"
        servers = {}
        [query]
        public_url = "http://127.0.0.1:7602"
        ledger = "http://127.0.0.1:7601"
        log_vkey = "<log>"
        recorder_key_file = "query.key"
        data_dir = "query"
    "#;

    const NAMES: [&str; 5] = ["log", "ledger", "gateway", "query", "other"];

    fn key(name: &str) -> SigningKey {
        let mut seed = [7; 32];
        seed[..name.len()].copy_from_slice(name.as_bytes());
        SigningKey::from_seed(name, seed).unwrap()
    }

    fn vkey(name: &str) -> String {
        key(name).verifying_key().to_string()
    }

    /// The file `text`, in which `<name>` is the vkey of that name, beside the keys of all names.
    fn config(text: &str) -> (TempDir, Config) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = text.to_owned();
        for name in NAMES {
            let path = dir.path().join(format!("{name}.key"));
            fs::write(&path, &*key(name).encode()).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            text = text.replace(&format!("<{name}>"), &vkey(name));
        }
        let file = dir.path().join("exhibit.toml");
        fs::write(&file, text).unwrap();
        let config = Config::read(&file).unwrap();
        (dir, config)
    }

    #[test]
    fn tables_of_one_log_agree() {
        let (_dir, config) = config(GOOD);
        assert!(config.disagreements().is_empty(), "{:?}", config.disagreements());
    }

    #[test]
    fn every_disagreement_is_told_at_once_with_both_values() {
        let text = GOOD.replace("<log>", "<other>");
        let (_dir, config) = config(&text.replace(r#"["<gateway>", "<query>"]"#, r#"["<other>"]"#));
        let told = config.disagreements();
        assert_eq!(told.len(), 4, "{told:?}");
        let expected = [
            ("[gateway] log_vkey", "log"),
            ("[gateway] recorder_key_file", "gateway"),
            ("[query] log_vkey", "log"),
            ("[query] recorder_key_file", "query"),
        ];
        for (line, (place, name)) in told.iter().zip(expected) {
            assert!(line.starts_with(place), "{line}");
            assert!(line.contains(&vkey(name)) && line.contains(&vkey("other")), "{line}");
            assert!(!line.contains("PRIVATE"), "{line}");
        }
        // The check of the whole file tells them, too.
        let mistakes = config.mistakes();
        assert!(told.iter().all(|line| mistakes.contains(line)), "{mistakes:?}");
    }

    #[test]
    fn either_key_is_right_while_the_log_changes_its_key() {
        let next = SigningKey::from_seed("log", [9; 32]).unwrap();
        let text = GOOD
            .replace("log_key_file =", "next_log_key_file = \"next.key\"\nlog_key_file =")
            .replacen("<log>", &next.verifying_key().to_string(), 1);
        let (dir, config) = config(&text);
        assert_eq!(config.disagreements().len(), 1, "the file is not there yet");
        let path = dir.path().join("next.key");
        fs::write(&path, &*next.encode()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(config.disagreements().is_empty(), "{:?}", config.disagreements());
    }

    #[test]
    fn a_duty_that_does_not_fit_is_told() {
        let duties = |duties: &str| {
            let line = format!("duties = {{ {duties} }}\n[[ledger.identity.machines]]");
            let (_dir, config) = config(&GOOD.replace("[[ledger.identity.machines]]", &line));
            config.disagreements()
        };
        assert!(duties("gateway = \"gateway\", query = \"query\"").is_empty());
        assert!(duties("gateway = \"any\"").is_empty());
        let told = duties("gateway = \"query\", query = \"gateway\"");
        assert!(told.len() == 2 && told.iter().all(|line| line.starts_with("duties")), "{told:?}");
    }

    #[test]
    fn a_name_alone_is_no_key() {
        let namesake = SigningKey::from_seed("gateway", [9; 32]).unwrap().verifying_key();
        let (_dir, config) = config(&GOOD.replace("<gateway>", &namesake.to_string()));
        let told = config.disagreements();
        assert!(told.len() == 1 && told[0].contains(&vkey("gateway")), "{told:?}");
    }

    #[test]
    fn another_host_or_port_is_another_ledger() {
        let text = GOOD.replace("<log>", "<other>");
        for other in ["https://log.example", "http://log.example:7601", "http://127.0.0.1:7691"] {
            let (_dir, config) = config(&text.replace("http://127.0.0.1:7601", other));
            let told = config.disagreements();
            assert!(told.len() == 1 && told[0].starts_with("[gateway] log_vkey"), "{told:?}");
        }
    }

    #[test]
    fn a_query_node_is_a_follower_and_names_the_ledger_as_it_is_called() {
        let stranger = GOOD.replace("name = \"query\"", "name = \"other\"");
        let reader = GOOD.replace("[\"follower\"]", "[\"siem\"]");
        let renamed =
            GOOD.replace("data_dir = \"data\"", "data_dir = \"data\"\npublic_url = \"https://a\"");
        for (text, place) in [
            (stranger, "[query] reads the ledger with the key"),
            (reader, "[query] reads the ledger with the key"),
            (renamed, "[query] reads the ledger with tokens"),
        ] {
            let (_dir, config) = config(&text);
            let told = config.disagreements();
            assert!(told.len() == 1 && told[0].starts_with(place), "{told:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_own_table_only() {
        let text = GOOD.replace("<log>", "<other>").replace(", \"<query>\"]", ", \"nonsense\"]");
        let (dir, config) = config(&text);
        fs::remove_file(dir.path().join("log.key")).unwrap();
        assert!(config.disagreements().is_empty(), "{:?}", config.disagreements());
        let mistakes = config.mistakes().join("\n");
        assert!(mistakes.contains("[ledger] log_key_file"), "{mistakes}");
        assert!(mistakes.contains("[ledger] recorders"), "{mistakes}");
    }
}
