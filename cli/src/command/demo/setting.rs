//! The demo's folder and what runs in it: keys, policies, tokens, a real configuration, listeners.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use demo::{Issuer, PEOPLE, POLICIES, Shop};
use serde::Serialize;
use tlog::VerifyingKey;
use tokio::net::TcpListener;

use crate::command::keygen::write_key;
use crate::config::Config;
use crate::failure::{self, Failure};
use crate::serve;
use crate::stack::{Listeners, Stack};

/// Id of the gateway's recorder.
pub(super) const GATEWAY: &str = "gateway-1";

/// Everything that is there before a component starts.
pub(super) struct Setting {
    pub(super) dir: PathBuf,
    pub(super) trust: PathBuf,
    pub(super) addresses: Addresses,
    pub(super) log: VerifyingKey,
    pub(super) recorders: Vec<String>,
    pub(super) shop: Shop,
    /// By name of the person.
    pub(super) tokens: BTreeMap<String, String>,
    pub(super) expired_token: String,
    pub(super) elsewhere_token: String,
}

/// URLs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Addresses {
    pub(super) gateway: String,
    pub(super) ledger: String,
    pub(super) query: String,
    pub(super) issuer: String,
    pub(super) shop: String,
}

/// A [`Setting`] whose ports are bound but not served.
pub(super) struct Prepared {
    setting: Setting,
    listeners: Listeners,
    config: Config,
}

/// Public keys by role.
struct Keys {
    log: String,
    ledger: String,
    gateway: String,
    query: String,
    packages: String,
}

impl Setting {
    /// Makes the folder and all files in it, binds all ports, and starts what stands outside Exhibit: the issuer
    /// and the MCP server.
    pub(super) async fn prepare(dir: Option<&Path>) -> Result<Prepared, Failure> {
        let dir = folder(dir)?;
        let [issuer_port, shop_port, ledger_port, query_port, gateway_port] = ports().await?;
        let addresses = Addresses {
            gateway: url(&gateway_port)?,
            ledger: url(&ledger_port)?,
            query: url(&query_port)?,
            issuer: url(&issuer_port)?,
            shop: url(&shop_port)?,
        };
        let issuer = Issuer::new(addresses.issuer.as_str())?;
        let shop = Shop::new()?;
        outside(issuer_port, issuer.router());
        outside(shop_port, shop.router());

        let keys = Keys::make(&dir)?;
        for (name, text) in POLICIES {
            write(&dir.join("policies").join(name), text, 0o644)?;
        }
        let config = dir.join("exhibit.toml");
        write(&config, &configuration(&addresses, &keys), 0o644)?;
        let trust = dir.join("trust.txt");
        write(&trust, &keys.trust(), 0o644)?;

        let door = format!("{}/mcp/{}", addresses.gateway, demo::SERVER);
        let doors = [door, addresses.query.clone(), addresses.ledger.clone()];
        let mut tokens = BTreeMap::new();
        for person in &PEOPLE {
            let token = issuer.token(person, &doors);
            write(&dir.join("tokens").join(format!("{}.token", person.name)), &token, 0o600)?;
            tokens.insert(person.name.to_owned(), token);
        }
        let [alice, bob, ..] = &PEOPLE;
        let setting = Self {
            expired_token: issuer.expired_token(alice, &doors),
            elsewhere_token: issuer.token(bob, &["https://another-service.example".to_owned()]),
            log: VerifyingKey::parse(&keys.log).map_err(|error| Failure::failed("vkey", error))?,
            recorders: vec![keys.ledger, keys.gateway, keys.query],
            dir,
            trust,
            addresses,
            shop,
            tokens,
        };
        let listeners = Listeners {
            ledger: Some(ledger_port),
            gateway: Some(gateway_port),
            query: Some(query_port),
        };
        Ok(Prepared { setting, listeners, config: Config::read(&config)? })
    }

    /// Where clients reach the MCP server: through the gateway.
    pub(super) fn mcp_url(&self) -> String {
        format!("{}/mcp/{}", self.addresses.gateway, demo::SERVER)
    }

    pub(super) fn package(&self) -> PathBuf {
        self.dir.join("package")
    }

    pub(super) fn ledger_data(&self) -> PathBuf {
        self.dir.join("data/ledger")
    }

    pub(super) fn query_data(&self) -> PathBuf {
        self.dir.join("data/query")
    }

    pub(super) fn token_file(&self, person: &str) -> PathBuf {
        self.dir.join("tokens").join(format!("{person}.token"))
    }
}

impl Prepared {
    /// Starts ledger, query node and gateway.
    pub(super) async fn start(self, stack: &mut Stack) -> Result<Setting, Failure> {
        let options = ledger::Options::default();
        stack.start(self.config, options, self.listeners).await?;
        Ok(self.setting)
    }
}

impl Keys {
    fn make(dir: &Path) -> Result<Self, Failure> {
        // The name of a log is its own: two demos must not be taken for one log.
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| Failure::failed("randomness", error))?;
        let origin = format!("exhibit.demo/{:08x}", u32::from_le_bytes(random));
        let key = |name: &str, file: &str| write_key(name, &dir.join("keys").join(file));
        Ok(Self {
            log: key(&origin, "log.key")?,
            ledger: key("ledger-1", "ledger.key")?,
            gateway: key(GATEWAY, "gateway.key")?,
            query: key("query-1", "query.key")?,
            packages: key(&format!("{origin}/packages"), "packages.key")?,
        })
    }

    fn trust(&self) -> String {
        let Self { log, ledger, gateway, query, packages } = self;
        format!(
            "# Whose word counts for packages of this demo. In earnest it comes from a source other than the package.\n\
             log {log}\nquorum none\nsigner {packages}\n\
             recorder {ledger}\nrecorder {gateway}\nrecorder {query}\n"
        )
    }
}

fn configuration(addresses: &Addresses, keys: &Keys) -> String {
    let Addresses { gateway, ledger, query, issuer, shop } = addresses;
    let listen = |url: &str| url.trim_start_matches("http://").to_owned();
    let (gateway_port, ledger_port, query_port) = (listen(gateway), listen(ledger), listen(query));
    let Keys { log, gateway: gateway_key, query: query_key, .. } = keys;
    let server = demo::SERVER;
    format!(
        r#"# Written by `exhibit demo`. Relative paths are relative to this file.

[ledger]
listen = "{ledger_port}"
public_url = "{ledger}"
data_dir = "data/ledger"
log_key_file = "keys/log.key"
recorder_key_file = "keys/ledger.key"
recorders = [
    "{gateway_key}",
    "{query_key}",
]
# What each may record.
duties = {{ gateway-1 = "gateway", query-1 = "query" }}

[[ledger.identity.issuers]]
issuer = "{issuer}"
algorithms = ["EdDSA"]

# The query node reads the log as a machine, by a token that it signs with its own key.
[[ledger.identity.machines]]
name = "query-1"
public_key = "{query_key}"
roles = ["follower"]

[gateway]
listen = "{gateway_port}"
public_url = "{gateway}"
ledger = "{ledger}"
log_vkey = "{log}"
recorder_key_file = "keys/gateway.key"
checkpoint_file = "data/gateway.checkpoint"
policy_dir = "policies"

[[gateway.identity.issuers]]
issuer = "{issuer}"
algorithms = ["EdDSA"]

[gateway.servers.{server}]
url = "{shop}/mcp"

[query]
listen = "{query_port}"
public_url = "{query}"
ledger = "{ledger}"
log_vkey = "{log}"
recorder_key_file = "keys/query.key"
data_dir = "data/query"

[[query.identity.issuers]]
issuer = "{issuer}"
algorithms = ["EdDSA"]

[evidence]
package_key_file = "keys/packages.key"
work_dir = "data/packages"
"#
    )
}

/// A new or empty folder, for this user alone, by its full path.
fn folder(dir: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match dir {
        Some(dir) => {
            make(dir)?;
            let mut entries = std::fs::read_dir(dir).map_err(|error| failure::file(dir, &error))?;
            if entries.next().is_some() {
                let message = format!("{} is not empty; nothing is overwritten", dir.display());
                return Err(Failure::unusable("place_taken", message));
            }
            dir.to_owned()
        }
        None => tempfile::Builder::new()
            .prefix("exhibit-demo-")
            .tempdir()
            .map_err(|error| failure::file(&std::env::temp_dir(), &error))?
            .keep(),
    };
    for inner in ["keys", "policies", "tokens", "data"] {
        make(&dir.join(inner))?;
    }
    dir.canonicalize().map_err(|error| failure::file(&dir, &error))
}

fn make(dir: &Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).map_err(|error| failure::file(dir, &error))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| failure::file(path, &error))
}

async fn ports<const N: usize>() -> Result<[TcpListener; N], Failure> {
    let mut ports = Vec::with_capacity(N);
    for _ in 0..N {
        ports.push(serve::bind("demo", ([127, 0, 0, 1], 0).into()).await?.0);
    }
    ports.try_into().map_err(|_| Failure::failed("listen", "a port is missing"))
}

fn url(port: &TcpListener) -> Result<String, Failure> {
    let address = port.local_addr().map_err(|error| Failure::failed("listen", error))?;
    Ok(format!("http://{address}"))
}

/// Serves what stands outside Exhibit, for as long as the process runs.
fn outside(port: TcpListener, router: axum::Router) {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(port, router).await {
            tracing::error!(%error, "the demo's issuer or MCP server ended");
        }
    });
}
