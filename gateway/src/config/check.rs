//! From a configuration to settings without mistakes, or to all mistakes at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use controls::{MaskingConfig, NamedText, Server, Snapshot, SnapshotError, SnapshotSource};
use identity::Verifier;
use identity::tls::listener_mistakes;
use recorder::LedgerAddress;
use url::Url;

use super::{GatewayConfig, RouteAuth};
use crate::http::Hosts;
use crate::route::Route;

/// What the gateway runs on.
pub(crate) struct Settings {
    pub(crate) ledger: LedgerAddress,
    pub(crate) log: tlog::VerifyingKey,
    pub(crate) key: Arc<dyn tlog::Signer>,
    pub(crate) verifier: Verifier,
    pub(crate) snapshot: Snapshot,
    pub(crate) hosts: Hosts,
    pub(crate) routes: BTreeMap<String, Arc<Route>>,
}

impl GatewayConfig {
    /// Every mistake that the gateway would refuse to start with, one line each. Reads the files that are named.
    pub fn mistakes(&self) -> Vec<String> {
        check(self).err().unwrap_or_default()
    }
}

/// Reads every file that the configuration names and checks all of it.
///
/// # Errors
/// One line for each mistake: where, what, what to do.
pub(crate) fn check(config: &GatewayConfig) -> Result<Settings, Vec<String>> {
    let mut problems = Vec::new();
    let public = public_url(&config.public_url, &mut problems);
    problems.extend(listener_mistakes(config.listen, config.tls.as_ref(), config.plaintext));
    let ledger =
        LedgerAddress::new(&config.ledger, config.ledger_tls.as_ref(), config.ledger_plaintext)
            .map_err(|found| problems.extend(found.iter().map(|what| format!("ledger: {what}"))));
    let log = tlog::VerifyingKey::parse(config.log_vkey.trim())
        .map_err(|error| problems.push(format!("log_vkey: {error}")));
    let key = signing_key(&config.recorder_key_file).map_err(|error| problems.push(error));
    let hosts =
        Hosts::new(config.listen, public.as_ref(), &config.allowed_hosts, &config.allowed_origins)
            .map_err(|mut found| problems.append(&mut found));
    let verifier = Verifier::new(config.identity.clone()).map_err(|error| {
        problems.extend(error.problems.into_iter().map(|line| format!("identity.{line}")));
    });
    let routes = routes(config, public.as_ref(), &mut problems);
    let snapshot = snapshot(config, &mut problems);
    limits(config, &mut problems);
    match (ledger, log, key, verifier, snapshot, hosts) {
        (Ok(ledger), Ok(log), Ok(key), Ok(verifier), Some(snapshot), Ok(hosts))
            if problems.is_empty() =>
        {
            Ok(Settings { ledger, log, key, verifier, snapshot, hosts, routes })
        }
        _ => Err(problems),
    }
}

fn public_url(text: &str, problems: &mut Vec<String>) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if url.is_none() {
        problems.push(format!(
            "public_url `{text}` must be scheme, host and port only, such as https://mcp.example.com"
        ));
    }
    url
}

fn signing_key(file: &Path) -> Result<Arc<dyn tlog::Signer>, String> {
    let key = keys::read(file).map_err(|error| format!("recorder_key_file: {error}"))?;
    Ok(key.into_signer())
}

fn routes(
    config: &GatewayConfig,
    public: Option<&Url>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Arc<Route>> {
    if config.servers.is_empty() {
        problems.push("servers is empty: name at least one MCP server".to_owned());
    }
    let base = public.map_or(config.public_url.as_str(), Url::as_str).trim_end_matches('/');
    let connect_wait = Duration::from_millis(config.limits.connect_wait_ms);
    let mut routes = BTreeMap::new();
    for (name, server) in &config.servers {
        if server.auth == RouteAuth::None && !config.listen.ip().is_loopback() {
            problems.push(format!(
                "servers.{name}.auth is \"none\" while the gateway listens on {}: open routes need a loopback address",
                config.listen
            ));
        }
        if server.auth == RouteAuth::Bearer
            && config.identity.issuers.is_empty()
            && config.identity.machines.is_empty()
        {
            problems.push(format!(
                "servers.{name}.auth is \"bearer\", but identity names no issuer whose tokens could be accepted"
            ));
        }
        if let Some(route) = Route::new(name, server, base, connect_wait, problems) {
            routes.insert(name.clone(), Arc::new(route));
        }
    }
    routes
}

fn snapshot(config: &GatewayConfig, problems: &mut Vec<String>) -> Option<Snapshot> {
    let policies = policies(&config.policy_dir).map_err(|error| problems.push(error)).ok();
    let detectors = config.detectors_file.as_deref().map(|file| {
        std::fs::read_to_string(file)
            .map_err(|error| format!("detectors_file {} cannot be read: {error}", file.display()))
    });
    let detectors = detectors.transpose().map_err(|error| problems.push(error)).ok();
    let servers = config
        .servers
        .iter()
        .map(|(name, server)| Server { name: name.clone(), open: server.auth == RouteAuth::None });
    let source = SnapshotSource {
        policies: policies?,
        entities: servers.collect(),
        detectors: detectors?,
        masking: MaskingConfig { disabled: config.disabled_detectors.clone() },
    };
    match Snapshot::build(source) {
        Ok(snapshot) => Some(snapshot),
        Err(SnapshotError::Mistakes(mistakes)) => {
            let dir = config.policy_dir.display();
            problems.extend(mistakes.iter().map(|mistake| {
                if mistake.file.ends_with(".cedar") {
                    format!("{dir}/{mistake}")
                } else {
                    mistake.to_string()
                }
            }));
            None
        }
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    }
}

/// The `*.cedar` files of a folder.
fn policies(dir: &Path) -> Result<Vec<NamedText>, String> {
    let unreadable = |path: &Path, error: std::io::Error| {
        format!("policy_dir: {} cannot be read: {error}", path.display())
    };
    let entries = std::fs::read_dir(dir).map_err(|error| unreadable(dir, error))?;
    let mut policies = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(dir, error))?.path();
        if path.extension().is_none_or(|extension| extension != "cedar") {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let name =
            name.ok_or_else(|| format!("policy_dir: the name of {} is not UTF-8", path.display()))?;
        policies.push(NamedText { name, text });
    }
    if policies.is_empty() {
        return Err(format!(
            "policy_dir {} holds no *.cedar file, so every call would be denied: add at least one policy",
            dir.display()
        ));
    }
    Ok(policies)
}

fn limits(config: &GatewayConfig, problems: &mut Vec<String>) {
    let limits = &config.limits;
    let share = |share: Option<u32>| share.map_or(1, u64::from);
    for (name, value) in [
        ("record_wait_ms", limits.record_wait_ms),
        ("connect_wait_ms", limits.connect_wait_ms),
        ("answer_wait_ms", limits.answer_wait_ms),
        ("body_wait_ms", limits.body_wait_ms),
        ("stall_wait_ms", limits.stall_wait_ms),
        ("open_exchanges", u64::from(limits.open_exchanges)),
        ("open_exchanges_per_caller", share(limits.open_exchanges_per_caller)),
        ("listening_streams", share(limits.listening_streams)),
        ("listening_streams_per_caller", share(limits.listening_streams_per_caller)),
        ("sessions", u64::from(limits.sessions)),
        ("sessions_per_caller", share(limits.sessions_per_caller)),
    ] {
        if value == 0 {
            problems.push(format!("limits.{name} is 0: nothing would ever pass"));
        }
    }
    if limits.message_bytes < proto::MAX_MESSAGE_BYTES as u64 {
        problems.push(format!(
            "limits.message_bytes is {}: at least one message of {} bytes must fit",
            limits.message_bytes,
            proto::MAX_MESSAGE_BYTES
        ));
    }
    // tokio's timers and semaphores hold far more; this keeps sums of waits from overflowing.
    const LONGEST_MS: u64 = 30 * 24 * 3_600_000;
    for (name, value) in [
        ("record_wait_ms", limits.record_wait_ms),
        ("connect_wait_ms", limits.connect_wait_ms),
        ("answer_wait_ms", limits.answer_wait_ms),
        ("body_wait_ms", limits.body_wait_ms),
        ("abandoned_wait_ms", limits.abandoned_wait_ms),
        ("stall_wait_ms", limits.stall_wait_ms),
        ("drain_wait_ms", limits.drain_wait_ms),
    ] {
        if value > LONGEST_MS {
            problems.push(format!(
                "limits.{name} is {value}: at most {LONGEST_MS} (30 days) is accepted"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bad.cedar"), "permit(principal, action, resource)\nwhen")
            .unwrap();
        let text = format!(
            r#"
            listen = "10.0.0.1:7600"
            public_url = "https://gw.example/base"
            ledger = "nowhere"
            log_vkey = "nonsense"
            recorder_key_file = "/nonexistent/key"
            policy_dir = "{}"
            detectors_file = "/nonexistent/detectors.toml"
            allowed_hosts = ["a b"]
            limits.sessions = 0
            limits.listening_streams = 0
            limits.message_bytes = 1000
            [identity]
            leeway_seconds = 9999
            [servers.open]
            url = "http://127.0.0.1:1/mcp"
            auth = "none"
            [servers.db]
            url = "x"
            "#,
            dir.path().display()
        );
        let config: GatewayConfig = toml::from_str(&text).unwrap();
        let problems = check(&config).err().unwrap().join("\n");
        for part in [
            "public_url",
            "ledger",
            "log_vkey",
            "recorder_key_file",
            "detectors_file",
            "allowed_hosts[0]",
            "limits.sessions",
            "limits.listening_streams",
            "limits.message_bytes",
            "identity.leeway_seconds",
            "servers.open.auth",
            "servers.db.url",
            "no issuer",
        ] {
            assert!(problems.contains(part), "{part} not in\n{problems}");
        }
    }

    #[test]
    fn a_broken_policy_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bad.cedar"), "permit(principal, action,\n resource) when")
            .unwrap();
        let text = format!(
            "public_url = 'http://127.0.0.1:1'\nlog_vkey = 'x'\nrecorder_key_file = 'x'\npolicy_dir = '{}'\n[servers]\n",
            dir.path().display()
        );
        let config: GatewayConfig = toml::from_str(&text).unwrap();
        let problems = check(&config).err().unwrap().join("\n");
        assert!(problems.contains("/bad.cedar:2:"), "{problems}");
    }
}
