//! A power cut, or a disk that fails, at calls all through an erasure: it is whole or not at all, and its event with it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use proto::v1::Slot;
use tests::disk::{Disk, Fault, Unsynced};
use tests::folder::copy;
use tests::system::System;

use super::{RECORDER, erase, exchange, fsck, header, house, places};
use crate::calls::start_recorder;
use crate::log;
use crate::policy_masking::holding;

/// So many of the calls are hit, evenly.
const POINTS: usize = 24;

#[test]
fn a_power_cut_leaves_an_erasure_whole_or_not_at_all() -> Result<()> {
    at_calls(Fault::Kill)
}

#[test]
fn a_disk_error_leaves_an_erasure_whole_or_not_at_all() -> Result<()> {
    at_calls(Fault::IoError)
}

fn at_calls(fault: Fault) -> Result<()> {
    tests::run(async move {
        let mut system = house().await?;
        let recorder = start_recorder(&system, RECORDER).await?;
        let mut alices = Vec::new();
        for subject in ["alice", "bob", "alice"] {
            let receipts = exchange(&recorder, subject, "text").await?;
            if subject == "alice" {
                alices.push(receipts);
            }
        }
        let alices = places(&alices)?;
        let last = alices.iter().max().copied().unwrap_or_default();
        let recorded = log::read_until(&system, |entries| entries.len() as u64 > last).await?.0;
        // How her disclosures begin where they are sealed.
        let headers = alices.iter().zip([Slot::Principal, Slot::Message].into_iter().cycle());
        let headers = headers.map(|(index, slot)| {
            anyhow::Ok(header(recorded.get(usize::try_from(*index)?).context("an entry")?, slot))
        });
        let headers = headers.collect::<Result<Vec<_>>>()?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        copy(&system.path("ledger"), &system.path("base"))?;

        let disk = Disk::below(system.dir())?;
        system.set_environment(disk.environment(0, Fault::Kill)?);
        ensure!(erased_on(&mut system, &disk).await?, "nothing was armed");
        let calls = disk.calls()?.len();
        ensure!(calls > 20, "only {calls} calls were counted: is the layer loaded?");
        let (mut before, mut after) = (0, 0);
        for point in 0..POINTS {
            let at = 1 + point * calls / POINTS;
            put_back(&system, "base")?;
            let disk = Disk::below(system.dir())?;
            system.set_environment(disk.environment(at, fault)?);
            let is_told = erased_on(&mut system, &disk).await?;
            let left = system.path("left");
            let unsynced = if point.is_multiple_of(2) { Unsynced::Lost } else { Unsynced::Torn };
            disk.after_power_cut(&system.path("ledger"), unsynced, &left)?;
            put_back(&system, "left")?;
            std::fs::remove_dir_all(&left)?;
            system.set_environment(Vec::new());
            let is_erased = restarted(&mut system, &headers)
                .await
                .with_context(|| format!("{fault:?} at call {at} of {calls}"))?;
            ensure!(is_erased || !is_told, "it was told to be done at call {at}, and is not");
            if is_erased { after += 1 } else { before += 1 }
        }
        println!(
            "{fault:?} at {POINTS} of {calls} calls: {before} not erased, {after} erased whole"
        );
        ensure!(before > 0 && after > 0, "the calls were all before the commit, or all behind it");
        Ok(())
    })
}

/// Starts the ledger, asks for an erasure, and has it approved on the armed disk; whether it was told to be done.
async fn erased_on(system: &mut System, disk: &Disk) -> Result<bool> {
    system.start_part("ledger").await?;
    let ask = ["erase", "--subject", "alice", "--reason", "she asked to"];
    let asked = erase(system, "compliance", &ask)?.run().await?.ended(0)?.json()?;
    let order = asked["order"].as_str().context("an order")?.to_owned();
    disk.arm()?;
    let approving = erase(system, "approver", &["erase", "--approve", &order])?.run();
    // A ledger that cannot go on may never answer.
    let told = tokio::time::timeout(Duration::from_secs(5), approving).await;
    let is_told = matches!(told, Ok(Ok(ran)) if ran.code == 0);
    system.kill("ledger")?;
    Ok(is_told)
}

/// Starts on what is left; whether it is erased, which the log, the disclosures and the bytes on the disk must say alike.
async fn restarted(system: &mut System, headers: &[Vec<u8>]) -> Result<bool> {
    system.start_part("ledger").await?;
    // Up to the third start, which is this one: what was there before is published then.
    let is_start = |entry: &&log::Entry| {
        let by = entry.leaf.event.recorder.as_ref().map(|by| by.recorder_id.as_str());
        by == Some("ledger") && matches!(entry.leaf.event.kind, Some(Kind::RecorderStarted(_)))
    };
    let all = |entries: &[log::Entry]| entries.iter().filter(is_start).count() == 3;
    let (entries, _) = log::read_until(system, all).await?;
    let events = entries
        .iter()
        .filter(|entry| matches!(entry.leaf.event.kind, Some(Kind::DisclosureErased(_))))
        .count();
    let gone = entries
        .iter()
        .filter(|entry| entry.openings.is_empty() && !entry.leaf.event.disclosures.is_empty())
        .count();
    ensure!(events == gone && (events == 0 || events == 4), "{events} events, {gone} leaves");
    // What was cut off is purged before the stop, or at the next start; an idle ledger has nothing left to purge.
    let mut is_pending = true;
    for _ in 0..5 {
        system.stop("ledger").await?;
        is_pending = fsck(system).await?["purge_pending"] == true;
        if !is_pending {
            break;
        }
        system.start_part("ledger").await?;
    }
    ensure!(!is_pending, "what was erased is not purged");
    // Break it: strike the note of the purge out in `purge.rs` before the files are gone.
    for header in headers {
        let found = holding(&system.path("ledger"), header)?;
        ensure!(found.is_none() == (events > 0), "{events} events, and on the disk: {found:?}");
    }
    Ok(events > 0)
}

/// Makes the ledger's folder a copy of another.
fn put_back(system: &System, from: &str) -> Result<()> {
    let ledger = system.path("ledger");
    if ledger.exists() {
        std::fs::remove_dir_all(&ledger)?;
    }
    copy(&system.path(from), &ledger)
}
