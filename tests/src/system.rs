//! A whole Exhibit: keys, configuration, processes, in a folder of its own, on free ports of loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{Tool, exhibit};
use crate::issuer::Issuer;
use crate::process::Process;
use crate::wait::until;

/// Origin of the log of every test.
pub const ORIGIN: &str = "log.tests.example/exhibit";

/// How a system is put together.
#[derive(Debug, Default)]
pub struct Plan {
    /// Servers behind the gateway: name, URL, open to everybody.
    pub servers: Vec<(String, String, bool)>,
    /// Text of the Cedar policies.
    pub policies: String,
    /// Names of recorders besides the gateway and the query node.
    pub recorders: Vec<String>,
    /// Machines that read the ledger besides the query node: name and role.
    pub readers: Vec<(String, String)>,
    /// Lines of `[query.limits]`.
    pub query_limits: String,
}

/// Which components run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Ledger, query node and gateway in one process.
    Together,
    /// Each in a process of its own.
    Apart,
    /// The ledger and nothing else.
    LedgerAlone,
}

/// A running system.
pub struct System {
    dir: TempDir,
    ports: Ports,
    vkeys: BTreeMap<String, String>,
    running: BTreeMap<&'static str, Process>,
    http: reqwest::Client,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    ledger: u16,
    gateway: u16,
    query: u16,
}

impl Plan {
    /// Servers with these policies.
    pub fn new(servers: &[(&str, &str, bool)], policies: &str) -> Self {
        let owned =
            |&(name, url, open): &(&str, &str, bool)| (name.to_owned(), url.to_owned(), open);
        let servers = servers.iter().map(owned).collect();
        Self { servers, policies: policies.to_owned(), ..Self::default() }
    }
}

impl System {
    /// Makes keys and configuration, starts the processes, and waits until they are ready.
    ///
    /// # Errors
    /// When a step fails; five times over when a port that was free is taken meanwhile.
    pub async fn start(shape: Shape, plan: &Plan, issuer: Option<&Issuer>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("exhibit-test-").tempdir()?;
        let mut names = vec![
            ("log".to_owned(), ORIGIN.to_owned()),
            ("ledger".to_owned(), "ledger".to_owned()),
            ("gateway".to_owned(), "gateway".to_owned()),
            ("query".to_owned(), "query".to_owned()),
            ("packages".to_owned(), "packages.tests.example".to_owned()),
        ];
        let readers = plan.readers.iter().map(|(name, _)| name);
        names.extend(plan.recorders.iter().chain(readers).map(|name| (name.clone(), name.clone())));
        let vkeys = keys(dir.path(), &names).await?;
        std::fs::create_dir(dir.path().join("policies"))?;
        std::fs::write(dir.path().join("policies/tests.cedar"), &plan.policies)?;
        let ports = Ports { ledger: 0, gateway: 0, query: 0 };
        let http = reqwest::Client::new();
        let mut system = Self { dir, ports, vkeys, running: BTreeMap::new(), http };
        std::fs::write(system.path("trust"), system.trust())?;
        for _ in 0..5 {
            system.ports =
                Ports { ledger: free_port()?, gateway: free_port()?, query: free_port()? };
            std::fs::write(system.path("exhibit.toml"), system.config(plan, issuer))?;
            match system.start_parts(shape).await {
                Ok(()) => return Ok(system),
                Err(error) if format!("{error:#}").contains("cannot listen") => {
                    system.running.clear();
                    for data in ["ledger", "query"] {
                        remove_folder(&system.path(data))?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        bail!("no ports were free for five attempts")
    }

    /// Folder of everything; `ledger` and `query` below it are the data folders.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// URL of a route of the gateway.
    pub fn mcp(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.gateway())
    }

    /// URL of the gateway.
    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.gateway)
    }

    /// URL of the query node, which is also the audience of its tokens.
    pub fn query(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.query)
    }

    /// URL of the ledger, which is also the audience of its tokens.
    pub fn ledger(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.ledger)
    }

    /// vkey of a key, by the name of its file: `log`, `ledger`, `gateway`, `query`, `packages`, or a recorder.
    pub fn vkey(&self, name: &str) -> &str {
        self.vkeys.get(name).map_or("", String::as_str)
    }

    /// The signing key of that name.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn key(&self, name: &str) -> Result<tlog::SigningKey> {
        let text = std::fs::read_to_string(self.path(&format!("keys/{name}.key")))?;
        tlog::SigningKey::parse(text.trim_end()).with_context(|| format!("key {name}"))
    }

    /// Starts a component: `up`, `ledger`, `query` or `gateway`; does not wait until it is ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self, part: &'static str) -> Result<()> {
        let mut command = Command::new(exhibit()?);
        command.arg(part).arg("--config").arg(self.path("exhibit.toml"));
        command.env("RUST_LOG", "info,h2=warn,hyper=warn").current_dir(self.dir());
        self.running.insert(part, Process::start(part, command)?);
        Ok(())
    }

    /// Starts a component and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_part(&mut self, part: &'static str) -> Result<()> {
        self.spawn(part)?;
        self.ready(part).await
    }

    /// The process of a component.
    ///
    /// # Errors
    /// When it does not run.
    pub fn part(&mut self, part: &str) -> Result<&mut Process> {
        self.running.get_mut(part).with_context(|| format!("{part} does not run"))
    }

    /// Kills a component as `kill -9` does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, part: &str) -> Result<()> {
        self.running.remove(part).with_context(|| format!("{part} does not run"))?.kill()
    }

    /// Stops a component as a service manager does.
    ///
    /// # Errors
    /// When it does not end well.
    pub async fn stop(&mut self, part: &str) -> Result<()> {
        self.running.remove(part).with_context(|| format!("{part} does not run"))?.stop().await
    }

    /// Waits until `/readyz` of a component (of all, for `up`) says that it is ready.
    ///
    /// # Errors
    /// When it does not, or the process ends.
    pub async fn ready(&mut self, part: &'static str) -> Result<()> {
        let urls = match part {
            "ledger" => vec![self.ledger()],
            "query" => vec![self.query()],
            "gateway" => vec![self.gateway()],
            _ => vec![self.ledger(), self.query(), self.gateway()],
        };
        let process = self.running.get_mut(part).with_context(|| format!("{part} does not run"))?;
        for url in urls {
            let (http, url) = (&self.http, format!("{url}/readyz"));
            let what = format!("{part} is ready");
            let ended = until(&what, Duration::from_secs(60), || {
                let ended = process.ended();
                let request = http.get(&url);
                async move {
                    if let Some(status) = ended? {
                        return Ok(Some(Some(status)));
                    }
                    let answer = request.send().await?;
                    let status = answer.status();
                    ensure!(status.is_success(), "{status} {}", answer.text().await?);
                    Ok(Some(None))
                }
            });
            if let Some(status) = ended.await? {
                bail!("{part} ended ({status}): {}", process.stderr());
            }
        }
        Ok(())
    }

    /// Asks SQL; the answer as JSON.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn sql(&self, token: &str, statement: &str) -> Result<Value> {
        let answer = self.ask_sql(token, statement, "application/json").await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status} for {statement}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Asks SQL; the HTTP response as it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask_sql(
        &self,
        token: &str,
        statement: &str,
        accept: &str,
    ) -> Result<reqwest::Response> {
        let request = self.http.post(format!("{}/v1/sql", self.query()));
        let request = request.bearer_auth(token).header("accept", accept);
        Ok(request.header("content-type", "text/plain").body(statement.to_owned()).send().await?)
    }

    /// Asks until the rows satisfy `enough`, since a query node follows a moment behind; then the rows.
    ///
    /// # Errors
    /// When they do not within 20 seconds, or the query is refused.
    pub async fn rows(
        &self,
        token: &str,
        statement: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>> {
        let enough = &enough;
        until(statement, Duration::from_secs(20), || async move {
            let answer = self.sql(token, statement).await?;
            let rows = answer["rows"].as_array().cloned().unwrap_or_default();
            ensure!(enough(&rows), "rows were {}", Value::from(rows));
            Ok(Some(rows))
        })
        .await
    }

    /// `exhibit` with this token and this query node.
    ///
    /// # Errors
    /// When it was not built.
    pub fn exhibit(&self, token: &str, args: &[&str]) -> Result<Tool> {
        let tool = Tool::exhibit(args)?.within(self.dir());
        Ok(tool.env("EXHIBIT_QUERY", self.query()).env("EXHIBIT_TOKEN", token))
    }

    /// A reader's HTTP client request to the query node.
    pub fn get(&self, token: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.query())).bearer_auth(token)
    }

    /// The checkpoint that the ledger publishes now.
    ///
    /// # Errors
    /// When it is not to be had, or is not signed by the log.
    pub async fn checkpoint(&self) -> Result<tlog::Checkpoint> {
        let url = format!("{}/checkpoint", self.ledger());
        let note = self.http.get(url).send().await?.error_for_status()?.text().await?;
        let log = tlog::VerifyingKey::parse(self.vkey("log"))?;
        Ok(tlog::open_checkpoint(&note, &log)?)
    }

    async fn start_parts(&mut self, shape: Shape) -> Result<()> {
        let parts: &[&'static str] = match shape {
            Shape::Together => &["up"],
            Shape::Apart => &["ledger", "query", "gateway"],
            Shape::LedgerAlone => &["ledger"],
        };
        for part in parts {
            self.start_part(part).await?;
        }
        Ok(())
    }

    fn config(&self, plan: &Plan, issuer: Option<&Issuer>) -> String {
        let (ledger, gateway, query) = (self.ledger(), self.gateway(), self.query());
        let Ports { ledger: ledger_port, gateway: gateway_port, query: query_port } = self.ports;
        let vkey = |name: &str| self.vkey(name);
        let recorders: Vec<String> = ["gateway", "query"]
            .into_iter()
            .chain(plan.recorders.iter().map(String::as_str))
            .map(|name| format!("  \"{}\",\n", vkey(name)))
            .collect();
        let recorders = recorders.concat();
        let identity = |table: &str| match issuer {
            None => String::new(),
            Some(issuer) => format!(
                "[[{table}.identity.issuers]]\nissuer = \"{}\"\nalgorithms = [\"ES256\"]\nkind_claim = \"kind\"\n",
                issuer.url()
            ),
        };
        let (gateway_identity, query_identity) = (identity("gateway"), identity("query"));
        let servers: Vec<String> = plan
            .servers
            .iter()
            .map(|(name, url, open)| {
                let auth = if *open { "none" } else { "bearer" };
                format!("[gateway.servers.{name}]\nurl = \"{url}\"\nauth = \"{auth}\"\n")
            })
            .collect();
        let servers = servers.concat();
        let log = vkey("log");
        let follower = ("query".to_owned(), "follower".to_owned());
        let machines: Vec<String> = std::iter::once(&follower)
            .chain(&plan.readers)
            .map(|(name, role)| {
                format!(
                    "[[ledger.identity.machines]]\nname = \"{name}\"\npublic_key = \"{}\"\nroles = [\"{role}\"]\n",
                    vkey(name)
                )
            })
            .collect();
        let machines = machines.concat();
        let limits = &plan.query_limits;
        // A gateway that guards nothing has no table.
        let gateway = match servers.as_str() {
            "" => String::new(),
            servers => format!(
                r#"
[gateway]
listen = "127.0.0.1:{gateway_port}"
public_url = "{gateway}"
ledger = "{ledger}"
log_vkey = "{log}"
recorder_key_file = "keys/gateway.key"
policy_dir = "policies"
{gateway_identity}[gateway.limits]
record_wait_ms = 2000
{servers}"#
            ),
        };
        format!(
            r#"[ledger]
listen = "127.0.0.1:{ledger_port}"
public_url = "{ledger}"
data_dir = "ledger"
log_key_file = "keys/log.key"
recorder_key_file = "keys/ledger.key"
recorders = [
{recorders}]
{machines}
[query]
listen = "127.0.0.1:{query_port}"
public_url = "{query}"
ledger = "{ledger}"
log_vkey = "{log}"
recorder_key_file = "keys/query.key"
data_dir = "query"
{query_identity}[query.limits]
{limits}

[evidence]
package_key_file = "keys/packages.key"
work_dir = "exports"
{gateway}"#
        )
    }

    /// The trust file that an auditor would get from the operator, apart from any package.
    fn trust(&self) -> String {
        let mut text =
            format!("log {}\nquorum none\nsigner {}\n", self.vkey("log"), self.vkey("packages"));
        for (name, vkey) in &self.vkeys {
            if !matches!(name.as_str(), "log" | "packages") {
                text.push_str(&format!("recorder {vkey}\n"));
            }
        }
        text
    }
}

/// A port of loopback that is free now, and that no other test of this process is told of.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    for _ in 0..100 {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return Ok(port);
        }
    }
    bail!("the system gave only ports that are in use by these tests")
}

/// Makes a key of each (file, name) with `exhibit keygen`; returns the vkeys by file.
async fn keys(dir: &Path, names: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    std::fs::create_dir(dir.join("keys"))?;
    let mut vkeys = BTreeMap::new();
    for (file, name) in names {
        let out = dir.join(format!("keys/{file}.key"));
        let args = ["keygen".as_ref(), name.as_ref(), "--out".as_ref(), out.as_os_str()];
        let made = Tool::exhibit(args)?.succeed().await?;
        vkeys.insert(file.clone(), made.stdout.trim().to_owned());
    }
    Ok(vkeys)
}

fn remove_folder(path: &Path) -> Result<()> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    Ok(())
}
