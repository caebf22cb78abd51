//! A whole Exhibit: keys, configuration, processes, in a folder of its own, on free ports of loopback.

mod config;
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::binary::{Tool, exhibit};
use crate::issuer::Issuer;
use crate::process::Process;
use crate::wait::until;
pub use config::Plan;
use config::Ports;

/// Origin of the log of every test.
pub const ORIGIN: &str = "log.tests.example/exhibit";

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
    environment: Vec<(String, PathBuf)>,
    http: reqwest::Client,
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
        let mut system =
            Self { dir, ports, vkeys, running: BTreeMap::new(), environment: Vec::new(), http };
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

    /// What components get in their environment from now on, in place of what was set so before.
    pub fn set_environment(&mut self, variables: Vec<(String, PathBuf)>) {
        self.environment = variables;
    }

    /// Starts a component: `up`, `ledger`, `query` or `gateway`; does not wait until it is ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self, part: &'static str) -> Result<()> {
        self.spawn_with(part, &[])
    }

    /// What components get in their environment.
    pub fn environment(&self) -> &[(String, PathBuf)] {
        &self.environment
    }

    fn spawn_with(&mut self, part: &'static str, args: &[&str]) -> Result<()> {
        let mut command = Command::new(exhibit()?);
        command.arg(part).arg("--config").arg(self.path("exhibit.toml")).args(args);
        command.env("RUST_LOG", "info,h2=warn,hyper=warn").current_dir(self.dir());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
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

    /// The same, with more arguments.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_part_with(&mut self, part: &'static str, args: &[&str]) -> Result<()> {
        self.spawn_with(part, args)?;
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
