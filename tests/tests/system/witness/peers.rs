//! Both ways against independent implementations: theirs cosigns our log, ours cosigns theirs.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::binary::Tool;
use tests::folder::copy;
use tests::peers::Go;
use tests::process::Process;
use tlog::Policy;

use super::house::{Witness, configure, cosigned, ledger, refuses};
use crate::calls::{draft, start_recorder};

#[test]
fn the_witness_of_transparency_dev_cosigns_our_log() -> Result<()> {
    tests::run(async {
        let Some(go) = Go::of("go-witness")? else { return Ok(()) };
        let mut system = ledger().await?;
        system.stop("ledger").await?;
        let mut command = Command::new(go.program("omniwitness"));
        command.args(["omni.example", system.vkey("log")]);
        let mut theirs = Process::start("omniwitness", command)?;
        let said = |text: &str| serde_json::from_str::<Value>(text.lines().next()?).ok();
        let said = theirs.says(said).await?;
        let (url, vkey) = (said["url"].as_str().context("url")?, said["vkey"].as_str());
        let line = format!("witness theirs {} {url}\n", vkey.context("vkey")?);
        configure(&system, &format!("{line}quorum theirs\n"))?;
        copy(&system.path("ledger"), &system.path("older"))?;
        system.start_part("ledger").await?;
        let recorder = start_recorder(&system, "load-1").await?;
        let mut size = 0;
        for number in 0..300 {
            let place = recorder.record(draft(number)).await?.place.context("a place")?;
            size = place.leaf_index.0 + 1;
        }
        cosigned(&system, size).await?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        // It remembers, over a restart of ours and against an older copy.
        system.start_part("ledger").await?;
        cosigned(&system, size).await?;
        system.stop("ledger").await?;
        std::fs::remove_dir_all(system.path("ledger"))?;
        std::fs::rename(system.path("older"), system.path("ledger"))?;
        refuses(&system, 1, "witness_contradicts").await?;
        Ok(())
    })
}

#[test]
fn our_witness_cosigns_a_log_of_tessera() -> Result<()> {
    tests::run(async {
        let Some(go) = Go::of("go-log")? else { return Ok(()) };
        let dir = tempfile::tempdir()?;
        let key = dir.path().join("log.key");
        let made = Tool::exhibit(["keygen", "tessera.example/log", "--out"])?.args([&key]);
        let log = made.succeed().await?.stdout.trim().to_owned();
        let mut lines = String::new();
        let mut witnesses = Vec::new();
        for name in ["w1", "w2"] {
            let witness = Witness::start(dir.path(), name, &log).await?;
            lines.push_str(&witness.line());
            witnesses.push(witness);
        }
        let text = format!("log {log}\n{lines}group both all w1 w2\nquorum both\n");
        let policy_file = dir.path().join("policy");
        std::fs::write(&policy_file, &text)?;
        let policy = Policy::parse(&text)?;
        let run = async |folder: &str, entries: &str| {
            let folder = dir.path().join(folder);
            let args = [folder.as_os_str(), key.as_ref(), policy_file.as_ref(), entries.as_ref()];
            Tool::new(go.program("tesseralog")).args(args).run().await
        };
        // A log that opens again goes on where the witnesses know it to be.
        for (entries, size) in [("3", 3), ("4", 7)] {
            let note = run("log", entries).await?.ended(0)?.stdout;
            let verified = policy.open_checkpoint(&note)?;
            ensure!(verified.checkpoint.size.0 == size, "{verified:?}");
            ensure!(verified.cosigned.len() == 2 && verified.quorum_satisfied, "{verified:?}");
        }
        // Another log under the same key gets no cosignature, and so publishes nothing.
        let split = run("other", "9").await?.ended(1)?;
        ensure!(split.stdout.is_empty(), "{split:?}");
        Ok(())
    })
}
