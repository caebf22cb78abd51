//! Readers that read nothing, and what they can take from the rest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use proto::v1::{Call, Fact, RequestReceived};
use recorder::{Draft, Limits, Recorder, RecorderConfig};
use tests::system::{Plan, Shape, System};
use tests::wait::until;
use tlog::VerifyingKey;

use crate::calls::address;
use crate::log;

const EVENTS: usize = 100_000;
/// A reader's share of the streams.
const STALLED: usize = 32;
/// Held for each stalled stream, the events would take more than a gigabyte.
const MAX_GROWTH_MIB: u64 = 400;

#[test]
fn readers_that_read_nothing_hold_up_nobody() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["busy".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let token = log::machine(&system.key("query")?, "query")?.token(&system.ledger())?;
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            stalled.push(log::subscribe(&system, &token, 0).await?);
        }
        let over = log::subscribe(&system, &token, 0).await;
        let refused = over.err().context("one stream more than the reader's share")?;
        ensure!(format!("{refused:#}").contains("limits.subscriptions"), "{refused:#}");

        let pid = system.part("ledger")?.pid();
        let before = resident_mib(pid)?;
        let recorder = recorder(&system).await?;
        for batch in 0..EVENTS / 1_000 {
            let calls = [0, 1].map(|_| recorder.record_all((0..500).map(draft).collect()));
            let [first, second] = calls;
            let (first, second) = tokio::try_join!(first, second)?;
            ensure!(first.len() + second.len() == 1_000, "batch {batch}");
        }
        let growth = resident_mib(pid)?.saturating_sub(before);
        println!("{EVENTS} events beside {STALLED} stalled readers: memory grew by {growth} MiB");
        ensure!(growth < MAX_GROWTH_MIB, "memory grew by {growth} MiB");

        let http = reqwest::Client::new();
        until("all of it is published", Duration::from_secs(20), || {
            let note = http.get(format!("{}/checkpoint", system.ledger())).send();
            async move {
                let note = note.await?.text().await?;
                let size: usize = note.lines().nth(1).context("a size")?.parse()?;
                Ok((size > EVENTS).then_some(()))
            }
        })
        .await?;
        // They are served all the same, once they read.
        let mut first = stalled.remove(0);
        let mut read = 0;
        while read < EVENTS {
            let message = first.message().await?.context("the stream ended")?;
            if let Some(proto::v1::subscribe_response::Item::Entries(entries)) = message.item {
                read += entries.entries.len();
            }
        }
        recorder.stop(true).await;
        Ok(())
    })
}

async fn recorder(system: &System) -> Result<Recorder> {
    let limits = Limits {
        record_timeout: Duration::from_secs(30),
        publication_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let config = RecorderConfig {
        ledger: address(system)?,
        log: VerifyingKey::parse(system.vkey("log"))?,
        key: std::sync::Arc::new(system.key("busy")?),
        limits,
        checkpoint_file: None,
    };
    Ok(Recorder::start(config).await?)
}

/// A leaf of about 300 bytes.
fn draft(number: usize) -> Draft {
    let fact = |label: &str| Fact { kind: 2, label: label.to_owned(), count: 1 };
    let call = Call {
        server: "records".to_owned(),
        method: "tools/call".to_owned(),
        name: format!("tool-{number}"),
        policy_ids: vec!["engineers-may-use-records".to_owned()],
        facts: vec![fact("delete"), fact("select")],
        definition_digest: vec![7; 32].into(),
        snapshot_digest: vec![8; 32].into(),
        ..Call::default()
    };
    Draft::new(Kind::RequestReceived(RequestReceived { call: Some(call), ..Default::default() }))
}

fn resident_mib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1_024)
}
