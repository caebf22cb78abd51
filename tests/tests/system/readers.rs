//! Readers of the log at the ledger's own doors: who may read, what of it, and how soon.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use proto::kind::Kind;
use proto::v1::Slot;
use tests::system::{Plan, Shape, System};
use tests::wait::until;
use tlog::SigningKey;
use tonic::{Code, Status};

use crate::calls::{draft, start_recorder};
use crate::log;

/// `readers` are names; each is also the role.
async fn ledger(readers: &[&str]) -> Result<System> {
    let readers = readers.iter().map(|role| ((*role).to_owned(), (*role).to_owned())).collect();
    let plan = Plan { recorders: vec!["caller".to_owned()], readers, ..Plan::default() };
    System::start(Shape::LedgerAlone, &plan, None).await
}

#[test]
fn a_role_reads_what_it_may_see_of_each_entry() -> Result<()> {
    tests::run(async {
        let system = ledger(&["auditor", "siem", "approver"]).await?;
        let recorder = start_recorder(&system, "caller").await?;
        let told = b"{\"sub\":\"erin\"}".to_vec();
        let call = draft(1).disclose(Slot::Principal, proto::v1::MediaType::Json, told);
        recorder.record(call).await?;

        let mut seen = Vec::new();
        for role in ["auditor", "siem"] {
            let token = log::machine(&system.key(role)?, role)?.token(&system.ledger())?;
            let is_request = |entry: &log::Entry| {
                matches!(entry.leaf.event.kind, Some(Kind::RequestReceived(_)))
            };
            let there = |entries: &[log::Entry]| entries.iter().any(is_request);
            let (entries, _) = log::read_with(&system, &token, there).await?;
            let request = entries.iter().find(|entry| is_request(entry)).context("the request")?;
            // The commitments stand in the leaf for everybody.
            ensure!(request.leaf.event.disclosures.len() == 2, "{:?}", request.leaf.event);
            let slots: Vec<Slot> =
                request.openings.iter().filter_map(|o| Slot::try_from(o.slot).ok()).collect();
            seen.push(slots);
        }
        ensure!(seen[0] == [Slot::Principal, Slot::Message], "an auditor saw {:?}", seen[0]);
        ensure!(seen[1] == [Slot::Principal], "a SIEM saw {:?}", seen[1]);

        let approver = log::machine(&system.key("approver")?, "approver")?;
        refuses(&system, &approver.token(&system.ledger())?, 0, Code::PermissionDenied).await?;
        let auditor = log::machine(&system.key("auditor")?, "auditor")?;
        refuses(&system, &auditor.token("http://elsewhere")?, 0, Code::Unauthenticated).await?;
        refuses(&system, &auditor.token(&system.ledger())?, 4711, Code::OutOfRange).await?;
        let stranger = log::machine(&SigningKey::from_seed("auditor", [7; 32])?, "auditor")?;
        refuses(&system, &stranger.token(&system.ledger())?, 0, Code::Unauthenticated).await?;
        recorder.stop(true).await;
        Ok(())
    })
}

#[test]
fn a_wrong_path_is_told() -> Result<()> {
    tests::run(async {
        let system = ledger(&[]).await?;
        for path in ["health", "v1/", "metrics2"] {
            let answer = reqwest::get(format!("{}/{path}", system.ledger())).await?;
            ensure!(answer.status() == 404, "{path}: {}", answer.status());
            let told: serde_json::Value = answer.json().await?;
            ensure!(told["code"] == "not_found", "{path}: {told}");
        }
        Ok(())
    })
}

#[test]
fn an_acknowledged_event_is_published_within_a_second() -> Result<()> {
    tests::run(async {
        let system = ledger(&[]).await?;
        let recorder = start_recorder(&system, "caller").await?;
        let mut slowest = Duration::ZERO;
        for number in 0..40 {
            let receipt = recorder.record(draft(number)).await?;
            let acknowledged = Instant::now();
            let place = receipt.place.context("a place")?;
            until("the event is published", Duration::from_secs(10), || async {
                let size = system.checkpoint().await?.size.0;
                Ok((size > place.leaf_index.0).then_some(()))
            })
            .await?;
            slowest = slowest.max(acknowledged.elapsed());
        }
        println!("the slowest of 40 was published {slowest:?} after its acknowledgement");
        ensure!(slowest <= Duration::from_secs(1), "it took {slowest:?}");
        recorder.stop(true).await;
        Ok(())
    })
}

async fn refuses(system: &System, token: &str, from: u64, code: Code) -> Result<()> {
    let refused = match log::subscribe(system, token, from).await {
        Ok(_) => bail!("the stream was opened, {code:?} was due"),
        Err(error) => error.downcast::<Status>()?,
    };
    ensure!(refused.code() == code && refused.message().len() > 20, "{refused:?}");
    Ok(())
}
