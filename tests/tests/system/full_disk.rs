//! A disk that is really full: the ledger stops and says so, and goes on when there is room again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recorder::Recorder;
use tests::folder::copy;
use tests::system::{Plan, Shape, System};
use tests::wait::until;

use crate::audit::{self, Acknowledged};
use crate::calls::{draft, start_recorder};

const RECORDERS: [&str; 2] = ["load-1", "load-2"];

#[test]
fn a_full_disk_stops_the_ledger_and_loses_nothing() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: RECORDERS.map(str::to_owned).into(), ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        system.stop("ledger").await?;
        copy(&system.path("ledger"), &system.path("base"))?;
        let Some(disk) = SmallDisk::mount(&system.path("ledger"), "size=8m")? else {
            println!("SKIPPED: no file system may be mounted here (needs root)");
            return Ok(());
        };
        copy(&system.path("base"), &system.path("ledger"))?;
        system.start_part("ledger").await?;
        let mut recorders = Vec::new();
        for name in RECORDERS {
            recorders.push(start_recorder(&system, name).await?);
        }
        let (first, second) = tokio::join!(fill(&recorders[0], 0), fill(&recorders[1], 1));
        let mut acknowledged = [first, second].concat();
        ensure!(acknowledged.len() > 100, "only {} events fit", acknowledged.len());
        let checkpoint = std::fs::read_to_string(system.path("ledger/checkpoint"))?;
        let log = tlog::VerifyingKey::parse(system.vkey("log"))?;
        let published = tlog::open_checkpoint(&checkpoint, &log)?;

        let ledger = system.part("ledger")?;
        let code = until("the ledger ends", Duration::from_secs(20), || {
            let ended = ledger.ended();
            async move { Ok(ended?.map(|status| status.code())) }
        });
        ensure!(code.await? == Some(1), "another exit code");
        let said = ledger.stderr();
        ensure!(said.contains("No space left on device"), "{said}");
        ensure!(said.contains("start again"), "it does not say what to do: {said}");
        println!("{} events acknowledged before the disk was full", acknowledged.len());

        // As long as it is full the ledger does not start, or it stops again; it never acknowledges.
        let started = system.start_part("ledger").await;
        for recorder in &recorders {
            let recording = recorder.record(draft(30_000));
            let told = tokio::time::timeout(Duration::from_secs(2), recording).await;
            if let Ok(Ok(receipt)) = told {
                acknowledged.push((recorder.recorder_id().to_owned(), recorder.epoch(), receipt));
            }
        }
        if started.is_ok() {
            system.kill("ledger")?;
        }

        disk.resize("size=64m")?;
        system.start_part("ledger").await?;
        for recorder in &recorders {
            let receipt = until("recording goes on", Duration::from_secs(20), || async {
                match recorder.record(draft(7)).await {
                    Ok(receipt) => Ok(Some(receipt)),
                    Err(error) if error.is_retryable() => Ok(None),
                    Err(error) => Err(error.into()),
                }
            });
            let receipt = receipt.await?;
            acknowledged.push((recorder.recorder_id().to_owned(), recorder.epoch(), receipt));
            recorder.stop(true).await;
        }
        audit::complete(&system, &acknowledged, &[published]).await?;
        system.stop("ledger").await?;
        let entries = audit::fsck(&system, &RECORDERS).await?;
        ensure!(entries >= acknowledged.len() as u64, "fsck saw {entries} entries");
        Ok(())
    })
}

/// Records until nothing is acknowledged any more.
async fn fill(recorder: &Recorder, which: usize) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for number in 0..20_000 {
        let recording = recorder.record(draft(number * 2 + which));
        match tokio::time::timeout(Duration::from_secs(3), recording).await {
            Ok(Ok(receipt)) => {
                let name = recorder.recorder_id().to_owned();
                acknowledged.push((name, recorder.epoch(), receipt));
            }
            _ => break,
        }
    }
    acknowledged
}

/// A file system in memory, as small as it is told; unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` when this user may not mount.
    fn mount(at: &Path, size: &str) -> Result<Option<Self>> {
        let mounted = mount(size, at)?;
        Ok(mounted.then(|| Self(at.to_owned())))
    }

    fn resize(&self, size: &str) -> Result<()> {
        ensure!(mount(&format!("remount,{size}"), &self.0)?, "it cannot be resized");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.display());
        }
    }
}

fn mount(options: &str, at: &Path) -> Result<bool> {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
    Ok(mount.status().context("mount")?.success())
}
