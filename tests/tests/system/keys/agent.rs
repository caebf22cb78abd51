//! Keys that OpenSSH's own agent holds.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::binary::Tool;
use tests::process::Process;
use tests::system::{ORIGIN, Plan, Shape, System};
use tests::wait::until;

use super::{edit, keygen, trouble};
use crate::audit;
use crate::calls::{draft, start_recorder};

const PATIENCE: Duration = Duration::from_secs(20);

/// `ssh-agent` on a socket of its own.
struct Agent {
    socket: PathBuf,
    process: Process,
}

impl Agent {
    async fn start(socket: PathBuf) -> Result<Self> {
        // A killed one leaves its socket behind.
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket);
        let process = Process::start("ssh-agent", command)?;
        let there = || async { Ok(socket.exists().then_some(())) };
        until("the agent listens", PATIENCE, there).await?;
        Ok(Self { socket, process })
    }

    async fn add(&self, file: PathBuf) -> Result<()> {
        let add = Tool::new("ssh-add").args([file]).env("SSH_AUTH_SOCK", &self.socket);
        add.succeed().await?;
        Ok(())
    }

    fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}

fn is_installed() -> bool {
    let is_there = Command::new("ssh-add").arg("-V").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: OpenSSH's agent is not installed");
    }
    is_there
}

#[test]
fn the_keys_of_a_ledger_live_in_an_agent() -> Result<()> {
    tests::run(async {
        if !is_installed() {
            return Ok(());
        }
        let plan = Plan { recorders: vec!["caller".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        system.stop("ledger").await?;
        let socket = system.path("agent.socket");
        for name in ["log", "ledger"] {
            let from = format!("keys/{name}.key");
            let (openssh, out) = (format!("{name}.openssh"), format!("keys/{name}.agent"));
            let (from, openssh, out) = (from.as_str(), openssh.as_str(), out.as_str());
            let at = socket.to_string_lossy();
            let args = ["--from", from, "--openssh", openssh, "--out", out, "--agent-socket", &at];
            ensure!(keygen(&system, &args).await? == system.vkey(name), "another key");
            std::fs::remove_file(system.path(from))?;
            edit(&system, |text| text.replace(from, out))?;
        }
        keygen(&system, &[ORIGIN, "--openssh", "other.openssh", "--out", "other.agent"]).await?;

        // Without an agent it starts: what was published is shown, and nothing is signed otherwise.
        system.spawn("ledger")?;
        not_ready(&system, "no agent listens there").await?;
        let before = system.checkpoint().await?;
        let recorder = start_recorder(&system, "caller").await?;
        let mut receipts = vec![recorder.record(draft(0)).await?];
        ensure!(system.checkpoint().await? == before, "somebody signed");

        let agent = Agent::start(socket.clone()).await?;
        agent.add(system.path("log.openssh")).await?;
        agent.add(system.path("ledger.openssh")).await?;
        system.ready("ledger").await?;
        let published = published_beyond(&system, &receipts).await?;
        receipts.push(recorder.record(draft(1)).await?);

        // It goes away: recording goes on, publishing waits.
        agent.kill()?;
        receipts.push(recorder.record(draft(2)).await?);
        not_ready(&system, "ssh-agent").await?;
        receipts.push(recorder.record(draft(3)).await?);
        // One that holds another key of the log's name is no help.
        let other = Agent::start(socket.clone()).await?;
        other.add(system.path("other.openssh")).await?;
        not_ready(&system, "does not hold the key").await?;
        let last = receipts.last().and_then(|receipt| receipt.place);
        let size = system.checkpoint().await?.size.0;
        ensure!(last.is_some_and(|place| size <= place.leaf_index.0), "{size} were published");

        other.add(system.path("log.openssh")).await?;
        other.add(system.path("ledger.openssh")).await?;
        system.ready("ledger").await?;
        let again = published_beyond(&system, &receipts).await?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        system.start_part("ledger").await?;
        let epoch = recorder.epoch();
        let told: Vec<_> =
            receipts.into_iter().map(|receipt| ("caller".to_owned(), epoch, receipt)).collect();
        audit::complete(&system, &told, &[before, published, again]).await?;
        system.stop("ledger").await?;
        audit::fsck(&system, &["caller"]).await?;
        Ok(())
    })
}

/// `/readyz` becomes red for this reason, while the process answers.
async fn not_ready(system: &System, because: &str) -> Result<()> {
    until(because, PATIENCE, || async {
        let said = trouble(system).await?;
        ensure!(said.as_ref().is_some_and(|said| said.contains(because)), "{said:?}");
        Ok(Some(()))
    })
    .await
}

/// A checkpoint that covers the last of these.
async fn published_beyond(
    system: &System,
    receipts: &[recorder::Receipt],
) -> Result<tlog::Checkpoint> {
    let last = receipts.last().and_then(|receipt| receipt.place).map(|place| place.leaf_index.0);
    until("a checkpoint covers it", PATIENCE, || async {
        let checkpoint = system.checkpoint().await?;
        Ok(last.is_some_and(|last| checkpoint.size.0 > last).then_some(checkpoint))
    })
    .await
}
