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
        refuses(&system, "store_behind").await?;

        std::fs::remove_dir_all(system.path("ledger/store"))?;
        std::fs::rename(system.path("newest"), system.path("ledger/store"))?;
        std::fs::rename(system.path("ledger/checkpoint"), system.path("checkpoint"))?;
        refuses(&system, "checkpoint_missing").await?;

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
        let said = until("the query node finds out", Duration::from_secs(20), || async {
            let answer = reqwest::get(format!("{}/readyz", system.query())).await?;
            let status = answer.status();
            let said = answer.text().await?;
            Ok((status == 503 && said.contains("contradict")).then_some(said))
        })
        .await?;
        ensure!(system.path("query/contradiction.json").exists(), "nothing was kept: {said}");
        // It does not forget.
        system.kill("query")?;
        system.spawn("query")?;
        until("the query node still knows", Duration::from_secs(20), || async {
            let answer = reqwest::get(format!("{}/readyz", system.query())).await?;
            let said = answer.text().await?;
            Ok(said.contains("contradict").then_some(()))
        })
        .await
    })
}

/// `exhibit ledger` must end with exit code 1 and this code.
async fn refuses(system: &System, code: &str) -> Result<()> {
    let started =
        system.exhibit("", &["--json", "ledger", "--config", "exhibit.toml"])?.run().await?;
    let refused = started.ended(1)?;
    ensure!(refused.error_code()? == code, "{}", refused.stdout);
    ensure!(refused.stderr.len() > 40, "it says little: {}", refused.stderr);
    Ok(())
}
