//! What the tests of witnesses are made of: a ledger, witnesses of ours, a log in memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::binary::{Tool, exhibit};
use tests::process::Process;
use tests::system::{ORIGIN, Plan, Shape, System, free_port};
use tests::wait::until;
use tlog::{Checkpoint, Policy, TreeSize, VerifiedCheckpoint};

/// A witness of ours.
pub(crate) struct Witness {
    name: String,
    pub(super) dir: PathBuf,
    vkey: String,
    port: u16,
    log: String,
    pub(super) process: Option<Process>,
}

impl Witness {
    /// Makes its key below `dir`, and starts it.
    pub(crate) async fn start(dir: &Path, name: &str, log: &str) -> Result<Self> {
        let dir = dir.join(name);
        std::fs::create_dir(&dir)?;
        let key = dir.join("key");
        let made = Tool::exhibit(["keygen", "--witness", name, "--out"])?.args([&key]);
        let made = made.succeed().await?;
        let vkey = made.stdout.trim().to_owned();
        let (name, log, port) = (name.to_owned(), log.to_owned(), free_port()?);
        let mut witness = Self { name, dir, vkey, port, log, process: None };
        witness.spawn(&[]).await?;
        Ok(witness)
    }

    /// Starts it, with this in its environment, and waits until it listens.
    pub(super) async fn spawn(&mut self, environment: &[(String, PathBuf)]) -> Result<()> {
        let mut command = Command::new(exhibit()?);
        command.args(["witness", "--log", &self.log, "--key"]).arg(self.dir.join("key"));
        command.arg("--state").arg(self.dir.join("state"));
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start(&self.name, command)?;
        process.says(|text| text.contains("policy ").then_some(())).await?;
        self.process = Some(process);
        Ok(())
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.process.take().context("it does not run")?.kill()
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its line in a policy.
    pub(crate) fn line(&self) -> String {
        format!("witness {} {} {}\n", self.name, self.vkey, self.url())
    }

    /// Submits a checkpoint; status and body of the answer.
    pub(super) async fn submit(
        &self,
        old: TreeSize,
        proof: &str,
        note: &str,
    ) -> Result<(u16, String)> {
        let request = format!("old {old}\n{proof}\n{note}");
        let url = format!("{}/add-checkpoint", self.url());
        let answer = reqwest::Client::new().post(url).body(request).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

/// A ledger that runs alone, without witnesses yet, and that one recorder may use.
pub(super) async fn ledger() -> Result<System> {
    let plan = Plan { recorders: vec!["load-1".to_owned()], ..Plan::default() };
    System::start(Shape::LedgerAlone, &plan, None).await
}

/// Writes the policy and names it in the configuration of the ledger, which is not running.
pub(super) fn configure(system: &System, lines: &str) -> Result<()> {
    std::fs::write(system.path("policy"), format!("log {}\n{lines}", system.vkey("log")))?;
    let path = system.path("exhibit.toml");
    let config = std::fs::read_to_string(&path)?;
    if !config.contains("[ledger.witness]") {
        std::fs::write(path, format!("{config}\n[ledger.witness]\npolicy_file = \"policy\"\n"))?;
    }
    Ok(())
}

pub(super) fn policy(system: &System) -> Result<Policy> {
    Ok(Policy::parse(&std::fs::read_to_string(system.path("policy"))?)?)
}

pub(super) async fn note(system: &System) -> Result<String> {
    let answer = reqwest::get(format!("{}/checkpoint", system.ledger())).await?;
    Ok(answer.error_for_status()?.text().await?)
}

/// Waits until the published checkpoint is at least so large and has the policy's quorum.
pub(super) async fn cosigned(system: &System, least: u64) -> Result<VerifiedCheckpoint> {
    let policy = policy(system)?;
    until("the quorum cosigns", Duration::from_secs(20), || async {
        let verified = policy.open_checkpoint(&note(system).await?)?;
        let enough = verified.quorum_satisfied && verified.checkpoint.size.0 >= least;
        ensure!(enough, "{verified:?}");
        Ok(Some(verified))
    })
    .await
}

/// `exhibit ledger` must end with this exit code and error code; what it said.
pub(super) async fn refuses(system: &System, exit: i32, code: &str) -> Result<String> {
    let started =
        system.exhibit("", &["--json", "ledger", "--config", "exhibit.toml"])?.run().await?;
    let refused = started.ended(exit)?;
    ensure!(refused.error_code()? == code, "{}", refused.stdout);
    Ok(refused.stderr)
}

/// A log in memory.
pub(super) struct Leaves(pub(super) u8);

impl Leaves {
    pub(super) fn node(&self, level: u8, index: u64) -> std::result::Result<tlog::Hash, String> {
        let Some(below) = level.checked_sub(1) else {
            return Ok(tlog::leaf_hash(&[&[self.0][..], &index.to_be_bytes()].concat()));
        };
        Ok(tlog::node_hash(&self.node(below, 2 * index)?, &self.node(below, 2 * index + 1)?))
    }

    pub(super) fn checkpoint(&self, size: u64) -> Checkpoint {
        let root = tlog::tree_root(TreeSize(size), &|level, index| self.node(level, index));
        Checkpoint { origin: ORIGIN.into(), size: TreeSize(size), root: root.unwrap_or_default() }
    }

    pub(super) fn proof(&self, old: u64, new: u64) -> String {
        let nodes = |level: u8, index: u64| self.node(level, index);
        let proof = tlog::prove_consistency(TreeSize(old), TreeSize(new), &nodes);
        tlog::format_hash_lines(&proof.unwrap_or_default())
    }
}
