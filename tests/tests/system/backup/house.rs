//! A ledger that backs itself up, somebody who may ask for it, and a load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::entry::Leaf;
use proto::kind::Kind;
use proto::v1::evidence_accessed::Door;
use recorder::{RecordError, Recorder};
use serde_json::Value;
use tests::binary::Ran;
use tests::system::{Plan, Shape, System};
use tests::wait::until;

use crate::calls::{draft, start_recorder};
use crate::log;

pub(super) struct House {
    pub(super) system: System,
    /// Its configuration as the system made it.
    config: String,
}

impl House {
    /// A ledger with the table `[ledger.backup]`, which runs.
    pub(super) async fn build() -> Result<Self> {
        let plan = Plan {
            recorders: vec!["load-1".to_owned()],
            readers: vec![("admin".to_owned(), "admin".to_owned())],
            ..Plan::default()
        };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        system.stop("ledger").await?;
        let config = std::fs::read_to_string(system.path("exhibit.toml"))?;
        let mut house = Self { system, config };
        house.configure("")?;
        house.system.start_part("ledger").await?;
        Ok(house)
    }

    /// Writes the configuration with these further lines of `[ledger.backup]`.
    pub(super) fn configure(&self, lines: &str) -> Result<()> {
        let backup = format!("\n[ledger.backup]\nfolder = \"backups\"\n{lines}");
        Ok(std::fs::write(self.system.path("exhibit.toml"), self.config.clone() + &backup)?)
    }

    /// Another data folder, and if given another checkpoint file, log key, and so on (lines of `[ledger]`).
    pub(super) fn configure_folder(&self, folder: &str, lines: Option<&str>) -> Result<()> {
        let line = format!("data_dir = \"{folder}\"\n{}\n", lines.unwrap_or_default());
        let mut config = self.config.replacen("data_dir = \"ledger\"\n", &line, 1);
        ensure!(config != self.config, "no data_dir in the configuration");
        if lines.is_some_and(|lines| lines.contains("log_key_file")) {
            config = config.replacen("log_key_file = \"keys/log.key\"\n", "", 1);
        }
        let backup = "\n[ledger.backup]\nfolder = \"backups\"\n";
        Ok(std::fs::write(self.system.path("exhibit.toml"), config + backup)?)
    }

    /// A token of one who may ask for backups.
    pub(super) fn token(&self) -> Result<String> {
        Ok(log::machine(&self.system.key("admin")?, "admin")?.token(&self.system.ledger())?)
    }

    pub(super) async fn backup(&self) -> Result<Value> {
        self.backup_with(&[]).await
    }

    /// `exhibit backup`, with the ledger or without it.
    pub(super) async fn backup_with(&self, more: &[&str]) -> Result<Value> {
        let args = [&["--json", "backup", "--config", "exhibit.toml"], more].concat();
        self.system.exhibit(&self.token()?, &args)?.succeed().await?.json()
    }

    /// `exhibit ledger` must not start on this folder; the code that it gives.
    pub(super) async fn refuses(
        &self,
        folder: &str,
        lines: Option<&str>,
        more: &[&str],
    ) -> Result<String> {
        self.configure_folder(folder, lines)?;
        let args = [&["--json", "ledger", "--config", "exhibit.toml"], more].concat();
        let refused = self.system.exhibit("", &args)?.run().await?.ended(1)?;
        ensure!(refused.stderr.len() > 60, "it says little: {}", refused.stderr);
        refused.error_code()
    }

    /// `exhibit backup` must not make one; the code that it gives.
    pub(super) async fn refuses_backup(&self) -> Result<String> {
        let args = ["--json", "backup", "--config", "exhibit.toml"];
        let refused = self.system.exhibit(&self.token()?, &args)?.run().await?;
        ensure!(refused.code != 0, "a backup was made: {}", refused.stdout);
        refused.error_code()
    }
}

/// `exhibit restore` of the backups into a folder.
pub(super) async fn restore(system: &System, to: &str, more: &[&str]) -> Result<Ran> {
    let mut args = vec!["--json", "restore", "--from", "backups", "--to", to];
    args.extend(["--log", system.vkey("log")]);
    for recorder in ["ledger", "load-1"] {
        args.extend(["--recorder", system.vkey(recorder)]);
    }
    args.extend(more);
    system.exhibit("", &args)?.run().await
}

pub(super) fn is_backup(leaf: &Leaf) -> bool {
    matches!(&leaf.event.kind, Some(Kind::EvidenceAccessed(access)) if access.door() == Door::Backup)
}

/// Callers that record without pause.
pub(super) struct Load {
    recorder: Recorder,
    callers: Vec<tokio::task::JoinHandle<Result<()>>>,
    count: Arc<AtomicU64>,
    /// The largest index that was acknowledged.
    newest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub(super) async fn start(system: &System) -> Result<Self> {
        let recorder = start_recorder(system, "load-1").await?;
        let (count, newest) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let stop = Arc::<AtomicBool>::default();
        let callers = (0..8).map(|caller| {
            let (recorder, stop) = (recorder.clone(), Arc::clone(&stop));
            let (count, newest) = (Arc::clone(&count), Arc::clone(&newest));
            tokio::spawn(async move {
                let mut number = caller;
                while !stop.load(Ordering::Relaxed) {
                    number += 8;
                    match recorder.record(draft(number)).await {
                        Ok(receipt) => {
                            let place = receipt.place.context("a place")?;
                            newest.fetch_max(place.leaf_index.0, Ordering::Relaxed);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(RecordError::Overloaded) => tokio::task::yield_now().await,
                        Err(error) => return Err(error).context("the load"),
                    }
                }
                Ok(())
            })
        });
        let callers = callers.collect();
        Ok(Self { recorder, callers, count, newest, stop })
    }

    /// Waits until so many more events are acknowledged.
    pub(super) async fn goes_on(&self, more: u64) -> Result<()> {
        let target = self.count.load(Ordering::Relaxed) + more;
        until("the load goes on", Duration::from_secs(60), || async {
            Ok((self.count.load(Ordering::Relaxed) >= target).then_some(()))
        })
        .await
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await??;
        }
        self.recorder.stop(true).await;
        Ok(())
    }
}
