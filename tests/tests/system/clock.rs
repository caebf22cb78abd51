//! The wall clock is set while the ledger runs: a little is waited out, much stops it until a person confirms.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use recorder::{Place, Recorder};
use tests::clock::{Clock, now_ns};
use tests::system::{Plan, Shape, System};
use tests::wait::until;

use crate::calls::{draft, start_recorder};
use crate::{audit, log};

const RECORDER: &str = "caller";
const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_small_step_back_goes_on_by_nanoseconds() -> Result<()> {
    tests::run(async {
        let (mut system, clock, recorder) = house().await?;
        let before = place(&recorder, 1).await?;
        ensure!(before.recorded_at_ns.abs_diff(now_ns()?) < 20 * SECOND_NS, "{before:?}");
        clock.set(-50)?;
        let after = place(&recorder, 2).await?;
        let later = place(&recorder, 3).await?;
        // Entries of others may stand in between: each takes a nanosecond of its own.
        for (first, second) in [(before, after), (after, later)] {
            let entries = second.leaf_index.0 - first.leaf_index.0;
            let passed = second.recorded_at_ns - first.recorded_at_ns;
            ensure!(passed >= entries, "{first:?} {second:?}");
        }
        let passed = later.recorded_at_ns - after.recorded_at_ns;
        let entries = later.leaf_index.0 - after.leaf_index.0;
        ensure!(passed == entries, "{passed} ns for {entries} entries");
        // And forward again: the time is taken from the clock.
        clock.set(0)?;
        let right = place(&recorder, 4).await?;
        ensure!(right.recorded_at_ns - later.recorded_at_ns > SECOND_NS / 1_000, "{right:?}");
        good(&mut system, &recorder).await
    })
}

#[test]
fn a_large_step_back_stops_the_ledger_until_it_is_confirmed() -> Result<()> {
    tests::run(async {
        let (mut system, clock, recorder) = house().await?;
        let before = place(&recorder, 1).await?;
        clock.set(-90)?;
        stops(&mut system, &recorder).await?;
        refuses(&system).await?;
        system.start_part_with("ledger", &["--confirm-clock-step"]).await?;
        let after = place(&recorder, 2).await?;
        let entries = after.leaf_index.0 - before.leaf_index.0;
        let passed = after.recorded_at_ns - before.recorded_at_ns;
        ensure!(passed < SECOND_NS, "{passed} ns for {entries} entries");
        // It stops and starts as ever; a clock that went forward meanwhile is no step.
        system.stop("ledger").await?;
        clock.set(0)?;
        system.start_part("ledger").await?;
        confirmed(&system, -90).await?;
        good(&mut system, &recorder).await
    })
}

#[test]
fn a_large_step_forward_stops_the_ledger_until_it_is_confirmed() -> Result<()> {
    tests::run(async {
        let (mut system, clock, recorder) = house().await?;
        let before = place(&recorder, 1).await?;
        clock.set(90)?;
        stops(&mut system, &recorder).await?;
        refuses(&system).await?;
        // It was a mistake, and is mended: a person says so.
        clock.set(0)?;
        refuses(&system).await?;
        system.start_part_with("ledger", &["--confirm-clock-step"]).await?;
        let after = place(&recorder, 2).await?;
        ensure!(after.recorded_at_ns - before.recorded_at_ns < 80 * SECOND_NS, "{after:?}");
        confirmed(&system, 90).await?;
        // This time it is meant.
        clock.set(90)?;
        stops(&mut system, &recorder).await?;
        system.start_part_with("ledger", &["--confirm-clock-step"]).await?;
        let later = place(&recorder, 3).await?;
        ensure!(later.recorded_at_ns - after.recorded_at_ns > 80 * SECOND_NS, "{later:?}");
        good(&mut system, &recorder).await
    })
}

async fn house() -> Result<(System, Clock, Recorder)> {
    let plan = Plan { recorders: vec![RECORDER.to_owned()], ..Plan::default() };
    let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
    system.stop("ledger").await?;
    let clock = Clock::right()?;
    system.set_environment(clock.environment());
    system.start_part("ledger").await?;
    let recorder = start_recorder(&system, RECORDER).await?;
    Ok((system, clock, recorder))
}

/// Where and when an event was recorded.
async fn place(recorder: &Recorder, number: usize) -> Result<Place> {
    until("it is recorded", Duration::from_secs(20), || async {
        match recorder.record(draft(number)).await {
            Ok(receipt) => Ok(receipt.place),
            Err(error) if error.is_retryable() => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// At the next event the ledger ends, and says why; nothing is acknowledged.
async fn stops(system: &mut System, recorder: &Recorder) -> Result<()> {
    let recording = recorder.record(draft(9));
    let acknowledged = tokio::time::timeout(Duration::from_secs(2), recording).await;
    ensure!(!matches!(acknowledged, Ok(Ok(_))), "acknowledged at a time that nobody confirmed");
    let ledger = system.part("ledger")?;
    until("the ledger ends", Duration::from_secs(20), || {
        let ended = ledger.ended();
        async move { Ok(ended?.map(|status| status.code())) }
    })
    .await
    .and_then(|code| {
        ensure!(code == Some(1), "{code:?}");
        let said = ledger.stderr();
        ensure!(said.contains("stepped by") && said.contains("--confirm-clock-step"), "{said}");
        Ok(())
    })
}

/// It does not start without being told that the clock is right.
async fn refuses(system: &System) -> Result<()> {
    let mut start = system.exhibit("", &["--json", "ledger", "--config", "exhibit.toml"])?;
    for (name, value) in system.environment() {
        start = start.env(name, value);
    }
    let refused = start.run().await?.ended(1)?;
    ensure!(refused.error_code()? == "clock_stepped", "{}", refused.stdout);
    Ok(())
}

/// The log says that somebody confirmed, and of how many seconds the step was.
async fn confirmed(system: &System, seconds: i64) -> Result<()> {
    let is_confirmed = |entries: &[log::Entry]| {
        entries.iter().any(|entry| match &entry.leaf.event.kind {
            Some(Kind::ClockStepped(step)) => {
                step.confirmed && (step.step_ns - seconds * 1_000_000_000).abs() < 1_000_000_000
            }
            _ => false,
        })
    };
    log::read_until(system, is_confirmed).await.map(|_| ()).context("no ClockStepped")
}

async fn good(system: &mut System, recorder: &Recorder) -> Result<()> {
    recorder.stop(true).await;
    system.stop("ledger").await?;
    audit::fsck(system, &[RECORDER]).await.map(|_| ())
}
