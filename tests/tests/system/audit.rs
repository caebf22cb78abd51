//! Is everything in the log that recorders were told is durable, and is it the log that was published?

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use proto::ids::Id;
use recorder::Receipt;
use tests::system::{Plan, Shape, System};
use tlog::{Checkpoint, SigningKey};

use crate::calls::{draft, start_recorder};
use crate::log;

/// What a recorder was told is durable: its name, its epoch, and the receipt.
pub(crate) type Acknowledged = (String, Id, Receipt);

/// Every acknowledged event stands in the log exactly once, where its receipt says, in the order of its chain; every
/// checkpoint that was ever seen is a prefix of the log.
pub(crate) async fn complete(
    system: &System,
    acknowledged: &[Acknowledged],
    checkpoints: &[Checkpoint],
) -> Result<()> {
    let last = acknowledged
        .iter()
        .filter_map(|(_, _, receipt)| receipt.place)
        .map(|p| p.leaf_index.0)
        .max();
    let last = last.context("no receipt names its place")?;
    let (entries, newest) = log::read_until(system, |entries| entries.len() as u64 > last).await?;
    let mut places: HashMap<(String, Id, u64), (usize, Id)> = HashMap::new();
    let mut heads: HashMap<(String, Id), (u64, [u8; 32])> = HashMap::new();
    let mut recorded_at = 0;
    for (index, entry) in entries.iter().enumerate() {
        let event = &entry.leaf.event;
        ensure!(entry.leaf.recorded_at_ns > recorded_at, "time does not increase at {index}");
        recorded_at = entry.leaf.recorded_at_ns;
        let chain = event.recorder.clone().context("an event without recorder")?;
        let epoch = Id::from_slice(&chain.epoch).context("an epoch")?;
        let key = (chain.recorder_id, epoch);
        let (next, hash) = heads.get(&key).map_or((0, Vec::new()), |(s, h)| (s + 1, h.to_vec()));
        ensure!(
            chain.sequence == next && chain.previous_hash == hash,
            "the chain of {key:?} breaks at {index}"
        );
        heads.insert(key.clone(), (chain.sequence, proto::event_hash(&entry.leaf.event_bytes)));
        let event_id = Id::from_slice(&event.event_id).context("an event id")?;
        ensure!(entry.openings.len() == event.disclosures.len(), "entry {index} lost a disclosure");
        proto::disclosure::check_openings(event, &entry.openings)?;
        places.insert((key.0, key.1, chain.sequence), (index, event_id));
    }
    for (recorder, epoch, receipt) in acknowledged {
        let key = (recorder.clone(), *epoch, receipt.sequence);
        let (index, event_id) = places.get(&key).with_context(|| format!("lost: {key:?}"))?;
        ensure!(*event_id == receipt.event_id, "another event stands at {key:?}");
        let placed = receipt.place.map(|place| place.leaf_index.0);
        ensure!(
            placed.is_none_or(|placed| placed == *index as u64),
            "{key:?} was said to be at {placed:?}"
        );
    }
    let mut ids: Vec<Id> = places.values().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    ensure!(
        ids.len() == entries.len(),
        "{} of {} entries are there twice",
        entries.len() - ids.len(),
        entries.len()
    );

    let tiles = log::tiles(system, newest.size).await?;
    let mut tree = tlog::CompactRange::new(0);
    let mut roots = vec![tlog::Hash::empty_root()];
    for entry in &entries {
        tree.append(entry.hash);
        roots.extend(tree.root());
    }
    for old in checkpoints {
        log::prove_prefix(old, &newest, &tiles)
            .with_context(|| format!("checkpoint {}", old.size))?;
        let root = roots.get(old.size.0 as usize).context("a checkpoint beyond the log")?;
        ensure!(
            *root == old.root,
            "checkpoint {} has a root that the entries do not give",
            old.size
        );
    }
    Ok(())
}

/// `exhibit fsck` finds nothing; returns the number of entries.
pub(crate) async fn fsck(system: &System, recorders: &[&str]) -> Result<u64> {
    let mut args = vec!["--json", "fsck", "ledger", "--log", system.vkey("log")];
    for name in ["ledger", "gateway", "query"].iter().chain(recorders) {
        if !system.vkey(name).is_empty() {
            args.extend(["--recorder", system.vkey(name)]);
        }
    }
    let report = system.exhibit("", &args)?.run().await?.ended(0)?.json()?;
    ensure!(report["findings"] == serde_json::json!([]), "{report}");
    ensure!(report["seals"].as_u64() > Some(0), "no seal was verified: {report}");
    ensure!(report["seals_without_key"] == serde_json::json!({}), "{report}");
    report["entries"].as_u64().context("entries")
}

#[test]
fn seals_for_which_no_key_was_given_are_not_vouched_for() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["load-1".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let recorder = start_recorder(&system, "load-1").await?;
        recorder.record(draft(1)).await?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        fsck(&system, &["load-1"]).await?;
        let args = ["fsck", "ledger", "--log", system.vkey("log"), "--recorder"];
        let args = [&args[..], &[system.vkey("ledger")]].concat();
        let told = system.exhibit("", &args)?.succeed().await?.stdout;
        let unchecked = told.lines().filter(|line| line.contains("NOT CHECKED"));
        let unchecked: Vec<_> = unchecked.collect();
        ensure!(unchecked.len() == 1 && unchecked[0].contains("by load-1+"), "{told}");

        let namesake = SigningKey::from_seed("load-1", [7; 32])?.verifying_key().to_string();
        let args = [&["--json"][..], &args, &["--recorder", &namesake]].concat();
        let report = system.exhibit("", &args)?.run().await?.ended(0)?.json()?;
        let unchecked = report["seals_without_key"].as_object().context("seals_without_key")?;
        let is_hers = |key: &String| key.starts_with("load-1+") && !namesake.starts_with(key);
        ensure!(unchecked.len() == 1 && unchecked.keys().all(is_hers), "{report}");
        Ok(())
    })
}
