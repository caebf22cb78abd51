//! An older store is put back: by accident, when the ledger notices, and with its checkpoint too, when everybody else does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recorder::RecordError;
use tests::folder::copy;
use tests::system::{Plan, Shape, System};
use tests::wait::until;

use crate::audit::fsck;
use crate::calls::{draft, start_recorder};

#[test]
fn a_store_put_back_refuses_to_start() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["load-1".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        system.stop("ledger").await?;
        copy(&system.path("ledger/store"), &system.path("older"))?;

        system.start_part("ledger").await?;
        let recorder = start_recorder(&system, "load-1").await?;
        recorder.record(draft(1)).await?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        std::fs::rename(system.path("ledger/store"), system.path("newest"))?;
        std::fs::rename(system.path("older"), system.path("ledger/store"))?;
        refuses(&system, "ledger", "store_behind").await?;

        std::fs::remove_dir_all(system.path("ledger/store"))?;
        std::fs::rename(system.path("newest"), system.path("ledger/store"))?;
        std::fs::rename(system.path("ledger/checkpoint"), system.path("checkpoint"))?;
        refuses(&system, "ledger", "checkpoint_missing").await?;

        // With its own checkpoint the newest store starts again, and everything is there.
        std::fs::rename(system.path("checkpoint"), system.path("ledger/checkpoint"))?;
        system.start_part("ledger").await?;
        system.stop("ledger").await?;
        fsck(&system, &["load-1"]).await?;
        Ok(())
    })
}

#[test]
fn a_ledger_put_back_whole_is_found_out_by_its_recorders_and_readers() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["load-1".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        system.stop("ledger").await?;
        copy(&system.path("ledger"), &system.path("older"))?;

        system.start_part("ledger").await?;
        system.start_part("query").await?;
        let recorder = start_recorder(&system, "load-1").await?;
        let place = recorder.record(draft(1)).await?.place.context("a place")?;
        let index = place.leaf_index.0 as f64;
        until("the query node has read it", Duration::from_secs(20), || async {
            let metrics = reqwest::get(format!("{}/metrics", system.query())).await?.text().await?;
            let size =
                metrics.lines().find_map(|line| line.strip_prefix("exhibit_query_tree_size "));
            Ok(size.and_then(|size| size.parse().ok()).filter(|size: &f64| *size > index))
        })
        .await?;
        system.kill("ledger")?;
        std::fs::remove_dir_all(system.path("ledger"))?;
        std::fs::rename(system.path("older"), system.path("ledger"))?;
        system.start_part("ledger").await?;

        let refused = until("the recorder finds out", Duration::from_secs(20), || async {
            match recorder.record(draft(2)).await {
                Err(refused @ RecordError::Refused { .. }) => Ok(Some(refused)),
                other => anyhow::bail!("{other:?}"),
            }
        });
        ensure!(refused.await?.code() == "ledger_lost_events", "another reason");
        let said = is_red(&system, "the query node finds out").await?;
        ensure!(system.path("query/contradiction.json").exists(), "nothing was kept: {said}");
        // It does not forget.
        system.kill("query")?;
        system.spawn("query")?;
        is_red(&system, "the query node still knows").await?;
        Ok(())
    })
}

#[test]
fn a_ledger_put_back_while_its_readers_are_down_is_found_out_when_they_start() -> Result<()> {
    tests::run(async {
        let servers = [("records", "http://127.0.0.1:9/mcp", true)];
        let policies = "@id(\"open\")\npermit (principal, action, resource);";
        let plan = Plan { recorders: vec!["load-1".to_owned()], ..Plan::new(&servers, policies) };
        let mut system = System::start(Shape::Apart, &plan, None).await?;
        for part in ["gateway", "query", "ledger"] {
            system.stop(part).await?;
        }
        copy(&system.path("ledger"), &system.path("older"))?;

        for part in ["ledger", "query", "gateway"] {
            system.start_part(part).await?;
        }
        let recorder = start_recorder(&system, "load-1").await?;
        let mut last = None;
        for number in 0..50 {
            last = recorder.record(draft(number)).await?.place;
        }
        let index = last.context("a place")?.leaf_index.0;
        recorder.stop(true).await;
        for file in ["query/recorder.checkpoint", "gateway.checkpoint"] {
            until(&format!("{file} covers it"), Duration::from_secs(30), || async {
                let note = std::fs::read_to_string(system.path(file))?;
                let size: u64 = note.lines().nth(1).context("a size")?.parse()?;
                Ok((size > index).then_some(()))
            })
            .await?;
        }
        for part in ["gateway", "query", "ledger"] {
            system.stop(part).await?;
        }
        std::fs::remove_dir_all(system.path("ledger"))?;
        std::fs::rename(system.path("older"), system.path("ledger"))?;
        system.start_part("ledger").await?;

        refuses(&system, "gateway", "ledger_lost_events").await?;
        let known = std::fs::read_to_string(system.path("query/recorder.checkpoint"))?;
        system.spawn("query")?;
        let said = is_red(&system, "the query node finds out").await?;
        ensure!(said.contains("ledger_lost_events"), "{said}");
        let kept = std::fs::read(system.path("query/contradiction.json"))?;
        let kept: serde_json::Value = serde_json::from_slice(&kept)?;
        ensure!(kept["known_checkpoint"] == known, "{kept}");
        let offered = kept["offered_checkpoint"].as_str().context("the ledger's checkpoint")?;
        let log = tlog::VerifyingKey::parse(system.vkey("log"))?;
        let (known, offered) =
            (tlog::open_checkpoint(&known, &log)?, tlog::open_checkpoint(offered, &log)?);
        ensure!(offered.size < known.size, "{kept}");
        // What the recorder remembers is a trace as well, and stays.
        let after = std::fs::read_to_string(system.path("query/recorder.checkpoint"))?;
        ensure!(tlog::open_checkpoint(&after, &log)? == known, "{after}");
        system.stop("query").await
    })
}

/// Waits until the query node says that it is not ready, since the log contradicts itself.
async fn is_red(system: &System, what: &str) -> Result<String> {
    until(what, Duration::from_secs(20), || async {
        let answer = reqwest::get(format!("{}/readyz", system.query())).await?;
        let status = answer.status();
        let said = answer.text().await?;
        Ok((status == 503 && said.contains("contradict")).then_some(said))
    })
    .await
}

/// `exhibit` with this part must end with exit code 1 and this code.
async fn refuses(system: &System, part: &str, code: &str) -> Result<()> {
    let started = system.exhibit("", &["--json", part, "--config", "exhibit.toml"])?.run().await?;
    let refused = started.ended(1)?;
    ensure!(refused.error_code()? == code, "{}", refused.stdout);
    ensure!(refused.stderr.len() > 40, "it says little: {}", refused.stderr);
    Ok(())
}
