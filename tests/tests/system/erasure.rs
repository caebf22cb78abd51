//! Erasure as two people have it done with `exhibit erase`: at the ledger, in a follower's copy, and after a power cut.

mod cut;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use proto::v1::{Call, MediaType, RequestReceived, ResponseReturned, Slot};
use recorder::{Draft, Receipt, Recorder, random_id};
use serde_json::Value;
use tests::binary::{Ran, Tool};
use tests::system::{Plan, Shape, System};
use tests::wait::until;

use crate::calls::start_recorder;
use crate::policy_masking::holding;
use crate::{audit, log};

const RECORDER: &str = "caller";
/// Bytes of random text in each answer.
const ANSWER_BYTES: usize = 20_000;

#[test]
fn what_is_erased_is_gone_from_ledger_and_follower_and_all_else_still_verifies() -> Result<()> {
    tests::run(async {
        let mut system = house().await?;
        system.start_part("query").await?;
        let recorder = start_recorder(&system, RECORDER).await?;
        let (mut alices, mut bobs) = (Vec::new(), Vec::new());
        for number in 0..200 {
            alices.push(exchange(&recorder, "alice", &format!("of-alice-{number}-")).await?);
            if number % 10 == 0 {
                bobs.push(exchange(&recorder, "bob", &format!("of-bob-{number}-")).await?);
            }
        }
        let is_there = |what: &'static str, wanted: bool| {
            let folder = system.path("query/segments");
            async move {
                until(what, Duration::from_secs(30), || async {
                    Ok((sealed(&folder, what)? == wanted).then_some(()))
                })
                .await
            }
        };
        is_there("of-alice-7-", true).await?;
        is_there("of-bob-0-", true).await?;
        let erased: Vec<u64> = places(&alices)?;
        let last = erased.iter().max().copied().unwrap_or_default();
        let recorded = log::read_until(&system, |entries| entries.len() as u64 > last).await?.0;
        // Of some answers, and of who asked: how they begin in the ledger's tables and logs, where they are sealed.
        let entry = |index: &u64| recorded.get(usize::try_from(*index)?).context("an entry");
        let mut headers = Vec::new();
        for index in [0, 1, 200, 201, 398, 399] {
            let entry = entry(&erased[index])?;
            let slot = if index.is_multiple_of(2) { Slot::Principal } else { Slot::Message };
            headers.push(header(entry, slot));
        }
        let store = system.path("ledger/store");
        for header in &headers {
            // Files come and go while the ledger runs.
            until("a sealed disclosure is on the disk", Duration::from_secs(30), || async {
                Ok(holding(&store, header).ok().flatten().map(|_| ()))
            })
            .await?;
        }
        let before = system.checkpoint().await?;
        let bytes_before = folder_bytes(&system.path("ledger/store"))?;

        let args = ["erase", "--subject", "alice", "--reason", "she asked to"];
        let asked = erase(&system, "compliance", &args)?.run().await?.ended(0)?.json()?;
        ensure!(asked["leaves"] == 400 && asked["disclosures"] == 600, "{asked}");
        let order = asked["order"].as_str().context("an order")?.to_owned();
        let approve = ["erase", "--approve", &order];
        refused(erase(&system, "compliance", &approve)?.run().await?, "role_missing")?;
        let done = erase(&system, "approver", &approve)?.run().await?.ended(0)?.json()?;
        ensure!(done["purged"] == true && done["keys"] == 200, "{done}");
        refused(erase(&system, "approver", &approve)?.run().await?, "order_unknown")?;
        refused(erase(&system, "compliance", &args)?.run().await?, "nothing_to_erase")?;

        let bytes_after = folder_bytes(&system.path("ledger/store"))?;
        println!("the store had {bytes_before} bytes before, {bytes_after} after the erasure");
        // In hex each answer has twice as many; a little of it may be room for what comes.
        let answers = 200 * 2 * ANSWER_BYTES as u64;
        ensure!(bytes_after + answers * 9 / 10 < bytes_before, "it did not shrink");
        is_there("of-alice-7-", false).await?;
        is_there("of-bob-0-", true).await?;
        ensure!(holding(&system.path("query/segments"), b"of-bob-")?.is_some());

        // A follower that begins now is given what is left, and every leaf.
        let count = erased.len() + places(&bobs)?.len();
        let (entries, newest) = log::read_until(&system, |entries| entries.len() > count).await?;
        for (index, entry) in (0..).zip(&entries) {
            let is_gone = entry.openings.is_empty() && !entry.leaf.event.disclosures.is_empty();
            ensure!(is_gone == erased.contains(&index), "entry {index}: {:?}", entry.leaf.event);
            if !is_gone {
                proto::disclosure::check_openings(&entry.leaf.event, &entry.openings)?;
            }
        }
        let tiles = log::tiles(&system, newest.size).await?;
        log::prove_prefix(&before, &newest, &tiles)?;
        prove_inclusion(&system, &erased).await?;

        recorder.stop(true).await;
        system.stop("query").await?;
        system.stop("ledger").await?;
        for header in &headers {
            let found = holding(&store, header)?;
            ensure!(found.is_none(), "{found:?} still holds what was erased");
        }
        let found = holding(&system.path("query"), b"of-alice-")?;
        ensure!(found.is_none(), "{found:?} still holds what was erased");
        let report = fsck(&system).await?;
        ensure!(report["erased"] == 600 && report["purge_pending"] == false, "{report}");
        Ok(())
    })
}

#[test]
fn a_hold_keeps_what_somebody_wants_erased() -> Result<()> {
    tests::run(async {
        let mut system = house().await?;
        let recorder = start_recorder(&system, RECORDER).await?;
        exchange(&recorder, "alice", "of-alice-").await?;
        let token = token(&system, "approver")?;
        let file = system.path("approver.token");
        std::fs::write(&file, token)?;
        let file = file.to_str().context("a path")?;
        let hold =
            ["hold", "place", "--subject", "alice", "--reason", "a lawsuit", "--approved-by", file];
        let placed = erase(&system, "compliance", &hold)?.run().await?.ended(0)?.json()?;
        let hold = placed["hold"].as_str().context("a hold")?.to_owned();
        let wanted =
            ["erase", "--subject", "alice", "--reason", "she asked to", "--approved-by", file];
        let held = erase(&system, "compliance", &wanted)?.run().await?;
        ensure!(held.stderr.contains(&hold), "the hold is not named: {}", held.stderr);
        refused(held, "held")?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        system.start_part("ledger").await?;
        refused(erase(&system, "compliance", &wanted)?.run().await?, "held")?;
        let listed = erase(&system, "auditor", &["hold", "list"])?.run().await?.ended(0)?.json()?;
        ensure!(listed["holds"][0]["hold"] == hold.as_str(), "{listed}");
        let release = ["hold", "release", &hold, "--reason", "settled", "--approved-by", file];
        erase(&system, "compliance", &release)?.run().await?.ended(0)?;
        let done = erase(&system, "compliance", &wanted)?.run().await?.ended(0)?.json()?;
        ensure!(done["purged"] == true && done["leaves"] == 2, "{done}");
        system.stop("ledger").await?;
        fsck(&system).await?;
        Ok(())
    })
}

/// A ledger with people who order and approve.
async fn house() -> Result<System> {
    let readers = ["compliance", "approver", "auditor"];
    let readers = readers.map(|role| (role.to_owned(), role.to_owned())).into();
    let plan = Plan {
        recorders: vec![RECORDER.to_owned()],
        readers,
        query_limits: "segment_rows = 16".to_owned(),
        ..Plan::default()
    };
    System::start(Shape::LedgerAlone, &plan, None).await
}

fn token(system: &System, role: &str) -> Result<String> {
    Ok(log::machine(&system.key(role)?, role)?.token(&system.ledger())?)
}

/// `exhibit --json` at the ledger's doors, as somebody with this role.
fn erase(system: &System, role: &str, args: &[&str]) -> Result<Tool> {
    let args = [&["--json"], args].concat();
    let tool = system.exhibit(&token(system, role)?, &args)?;
    Ok(tool.env("EXHIBIT_LEDGER", system.ledger()))
}

fn refused(ran: Ran, code: &str) -> Result<()> {
    let ran = ran.ended(2)?;
    ensure!(ran.error_code()? == code, "{}", ran.stdout);
    Ok(())
}

/// An exchange of two events: the request names who, the response holds `text` and some random text.
async fn exchange(recorder: &Recorder, subject: &str, text: &str) -> Result<[Receipt; 2]> {
    let mut random = vec![0; ANSWER_BYTES];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("{error}"))?;
    let id = random_id();
    let call = || {
        let (server, method) = ("records".to_owned(), "tools/call".to_owned());
        Some(Call { server, method, ..Call::default() })
    };
    let principal = serde_json::json!({ "issuer": "https://issuer", "subject": subject });
    let request = Kind::RequestReceived(RequestReceived { call: call(), ..Default::default() });
    let request = Draft::new(request)
        .exchange(id)
        .disclose(Slot::Principal, MediaType::Json, principal.to_string())
        .disclose(Slot::Message, MediaType::Json, "{}");
    let answer = format!("\"{text}{}\"", hex::encode(random));
    let response = Kind::ResponseReturned(ResponseReturned { call: call(), ..Default::default() });
    let response =
        Draft::new(response).exchange(id).disclose(Slot::Message, MediaType::Json, answer);
    Ok([recorder.record(request).await?, recorder.record(response).await?])
}

/// Whether a text stands in a segment of a follower.
fn sealed(folder: &Path, text: &str) -> Result<bool> {
    Ok(folder.is_dir() && holding(folder, text.as_bytes())?.is_some())
}

/// How the sealed form of a disclosure of an exchange begins: key id and nonce (docs/format.md §4).
fn header(entry: &log::Entry, slot: Slot) -> Vec<u8> {
    let event = &entry.leaf.event;
    let recorder = event.recorder.clone().unwrap_or_default();
    let mut hasher = blake3::Hasher::new_derive_key("exhibit 2026 disclosure key id v1");
    hasher.update(&recorder.epoch).update(recorder.recorder_id.as_bytes());
    hasher.update(b"/exchange/").update(&event.exchange_id);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    let slot = i32::from(slot).to_be_bytes();
    [&id[..], &recorder.sequence.to_be_bytes(), &slot].concat()
}

fn places(receipts: &[[Receipt; 2]]) -> Result<Vec<u64>> {
    let place = |receipt: &Receipt| Ok(receipt.place.context("a place")?.leaf_index.0);
    receipts.iter().flatten().map(place).collect()
}

/// Inclusion proofs of erased leaves, made of tiles that everybody can fetch.
async fn prove_inclusion(system: &System, indexes: &[u64]) -> Result<()> {
    let checkpoint = system.checkpoint().await?;
    let tiles = log::tiles(system, checkpoint.size).await?;
    let fetch =
        |tile: &tlog::Tile| tiles.get(tile).cloned().ok_or_else(|| format!("no tile {tile}"));
    let nodes = tlog::TileNodes::new(checkpoint.size, fetch);
    let (entries, _) = log::read_until(system, |_| true).await?;
    for index in indexes {
        let leaf = tlog::LeafIndex(*index);
        let proof = tlog::prove_inclusion(leaf, checkpoint.size, &nodes)?;
        let hash = entries.get(usize::try_from(*index)?).context("an entry")?.hash;
        tlog::verify_inclusion(leaf, checkpoint.size, &hash, &proof, &checkpoint.root)?;
    }
    println!("{} inclusion proofs of erased leaves verified", indexes.len());
    Ok(())
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for file in std::fs::read_dir(folder)? {
        // What it holds: the engine gives a new write-ahead log 70 MB of room in advance.
        sum += file?.metadata()?.len();
    }
    Ok(sum)
}

/// What `exhibit fsck` says of a good ledger.
async fn fsck(system: &System) -> Result<Value> {
    audit::fsck(system, &[RECORDER]).await?;
    let args = ["--json", "fsck", "ledger", "--log", system.vkey("log")];
    system.exhibit("", &args)?.run().await?.ended(0)?.json()
}
