//! More waits to be recorded than one message may hold, while the ledger dies and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use proto::kind::Kind;
use proto::v1::{MediaType, Slot};
use recorder::{Draft, Limits, RecordError, Recorder, RecorderConfig};
use tests::system::{Plan, Shape, System};
use tests::wait::until;
use tlog::VerifyingKey;

use crate::calls::{address, draft};
use crate::log;

/// Together they pass the 40 MiB of one message.
const CALLS: usize = 3;
const CALL_BYTES: usize = 15_000_000;

#[test]
fn large_calls_in_flight_outlive_a_restart_of_the_ledger() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["caller".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let recorder = recorder(&system).await?;

        // Connected, but it takes nothing: the calls are numbered, and given up by whoever made them.
        system.part("ledger")?.signal("STOP")?;
        let calls = (0..CALLS).map(|number| {
            let recorder = recorder.clone();
            tokio::spawn(async move { recorder.record(large(number)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            let given_up = call.await?;
            ensure!(matches!(given_up, Err(RecordError::Unavailable { .. })), "{given_up:?}");
        }
        system.kill("ledger")?;
        system.start_part("ledger").await?;

        // What waited is resent first, so what is recorded now stands after all of it.
        let receipt = until("the recorder goes on", Duration::from_secs(60), || async {
            Ok(Some(recorder.record(draft(1)).await?))
        })
        .await?;
        let sequence = receipt.sequence;
        let is_last = |entries: &[log::Entry]| {
            entries.iter().any(|entry| chain(entry) == Some(("caller", sequence)))
        };
        let (entries, _) = log::read_until(&system, is_last).await?;
        let large = entries.iter().filter(|entry| {
            let is_call = matches!(entry.leaf.event.kind, Some(Kind::RequestReceived(_)));
            is_call && entry.openings.iter().any(|opening| opening.content.len() == CALL_BYTES)
        });
        ensure!(large.count() == CALLS, "each large call stands in the log once");
        recorder.readiness()?;
        recorder.stop(true).await;
        Ok(())
    })
}

async fn recorder(system: &System) -> Result<Recorder> {
    let limits = Limits {
        record_timeout: Duration::from_secs(3),
        publication_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let config = RecorderConfig {
        ledger: address(system)?,
        log: VerifyingKey::parse(system.vkey("log"))?,
        key: std::sync::Arc::new(system.key("caller")?),
        limits,
        checkpoint_file: None,
    };
    Ok(Recorder::start(config).await?)
}

fn large(number: usize) -> Draft {
    draft(number).disclose(Slot::Message, MediaType::Text, vec![b'x'; CALL_BYTES])
}

fn chain(entry: &log::Entry) -> Option<(&str, u64)> {
    let recorder = entry.leaf.event.recorder.as_ref()?;
    Some((&recorder.recorder_id, recorder.sequence))
}
