//! The ledger is killed again and again under load: nothing acknowledged is lost, nothing is there twice.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::ids::Id;
use recorder::{Receipt, RecordError, Recorder};
use tests::system::{Plan, Shape, System};
use tests::wait::until;
use tlog::Checkpoint;

use crate::calls::{draft, start_recorder};
use crate::log;

const KILLS: u32 = 24;
const RECORDERS: [&str; 3] = ["load-1", "load-2", "load-3"];
/// Callers of one recorder at a time.
const CALLERS: usize = 6;

/// What the recorders were told is durable: recorder, epoch, and the receipt.
type Acknowledged = Arc<Mutex<Vec<(String, Id, Receipt)>>>;

#[test]
fn no_acknowledged_event_is_lost_or_doubled() -> Result<()> {
    tests::run(async {
        let mut random = Random::seeded()?;
        let plan = Plan { recorders: RECORDERS.map(str::to_owned).into(), ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let load = Load::start(&system).await?;

        let mut checkpoints = Vec::new();
        for kill in 0..KILLS {
            // After some more events, and then at any moment of whatever the ledger does just then.
            load.goes_on(kill, 1 + random.below(400)).await?;
            checkpoints.push(system.checkpoint().await?);
            tokio::time::sleep(Duration::from_micros(random.below(30_000))).await;
            system.kill("ledger")?;
            if random.below(3) == 0 {
                // Again, while it recovers.
                system.spawn("ledger")?;
                tokio::time::sleep(Duration::from_micros(random.below(200_000))).await;
                system.kill("ledger")?;
            }
            system.start_part("ledger").await?;
        }
        load.goes_on(KILLS, 100).await?;
        let acknowledged = load.stop().await?;
        println!("{KILLS} kills, {} events acknowledged", acknowledged.len());
        ensure!(acknowledged.len() > 500, "only {} events were acknowledged", acknowledged.len());

        check(&system, &acknowledged, &checkpoints).await?;
        system.stop("ledger").await?;
        let entries = fsck(&system).await?;
        ensure!(entries >= acknowledged.len() as u64, "fsck saw {entries} entries");
        Ok(())
    })
}

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
        fsck(&system).await?;
        Ok(())
    })
}

/// Every acknowledged event stands in the log exactly once, where its receipt says, in the order of its chain; every
/// checkpoint that was ever seen is a prefix of the log.
async fn check(
    system: &System,
    acknowledged: &[(String, Id, Receipt)],
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

/// Callers that record without pause.
struct Load {
    recorders: Vec<Recorder>,
    callers: Vec<tokio::task::JoinHandle<Result<()>>>,
    acknowledged: Acknowledged,
    stop: Arc<AtomicU64>,
}

impl Load {
    async fn start(system: &System) -> Result<Self> {
        let acknowledged = Acknowledged::default();
        let stop = Arc::new(AtomicU64::new(0));
        let (mut recorders, mut callers) = (Vec::new(), Vec::new());
        for name in RECORDERS {
            let recorder = start_recorder(system, name).await?;
            for caller in 0..CALLERS {
                let calls =
                    call(recorder.clone(), caller, Arc::clone(&acknowledged), Arc::clone(&stop));
                callers.push(tokio::spawn(calls));
            }
            recorders.push(recorder);
        }
        Ok(Self { recorders, callers, acknowledged, stop })
    }

    /// Waits until so many more events are acknowledged.
    async fn goes_on(&self, kills: u32, more: u64) -> Result<()> {
        let target = self.count() + more;
        let what = format!("the load goes on after {kills} kills");
        until(&what, Duration::from_secs(30), || async {
            Ok((self.count() >= target).then_some(()))
        })
        .await
    }

    fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    async fn stop(self) -> Result<Vec<(String, Id, Receipt)>> {
        self.stop.store(1, Ordering::Relaxed);
        for caller in self.callers {
            caller.await??;
        }
        for recorder in &self.recorders {
            recorder.readiness()?;
            recorder.stop(true).await;
        }
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(acknowledged.clone())
    }
}

/// One caller: it goes on while recording fails, and stops when recording can never succeed again.
async fn call(
    recorder: Recorder,
    caller: usize,
    acknowledged: Acknowledged,
    stop: Arc<AtomicU64>,
) -> Result<()> {
    let mut number = caller;
    while stop.load(Ordering::Relaxed) == 0 {
        number += CALLERS;
        // Now and then two events that must become durable together.
        let drafts = if number.is_multiple_of(5) {
            vec![draft(number), draft(number)]
        } else {
            vec![draft(number)]
        };
        match recorder.record_all(drafts).await {
            Ok(receipts) => {
                let named = receipts
                    .into_iter()
                    .map(|receipt| (recorder.recorder_id().to_owned(), recorder.epoch(), receipt));
                acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(named);
            }
            Err(error @ (RecordError::Unavailable { .. } | RecordError::Overloaded)) => {
                tokio::task::yield_now().await;
                ensure!(error.is_retryable(), "{error}");
            }
            Err(error) => return Err(error).context("a recorder gave up"),
        }
    }
    Ok(())
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

/// `exhibit fsck` finds nothing; returns the number of entries.
async fn fsck(system: &System) -> Result<u64> {
    let mut args = vec!["--json", "fsck", "ledger", "--log", system.vkey("log")];
    for name in ["ledger", "gateway", "query"].iter().chain(&RECORDERS) {
        if !system.vkey(name).is_empty() {
            args.extend(["--recorder", system.vkey(name)]);
        }
    }
    let report = system.exhibit("", &args)?.run().await?.ended(0)?.json()?;
    ensure!(report["findings"] == serde_json::json!([]), "{report}");
    ensure!(report["seals"].as_u64() > Some(0), "no seal was verified: {report}");
    report["entries"].as_u64().context("entries")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map(|_| ())?;
        }
    }
    Ok(())
}

/// xorshift64*, so that a seed repeats the choices of a run.
struct Random(u64);

impl Random {
    /// From `EXHIBIT_TEST_SEED`, or a new seed; printed, so that a failure can be repeated.
    fn seeded() -> Result<Self> {
        let seed = match std::env::var("EXHIBIT_TEST_SEED") {
            Ok(seed) => seed.parse().context("EXHIBIT_TEST_SEED")?,
            Err(_) => {
                let mut seed = [0; 8];
                getrandom::fill(&mut seed).ok().context("no randomness")?;
                u64::from_le_bytes(seed) | 1
            }
        };
        println!("EXHIBIT_TEST_SEED={seed}");
        Ok(Self(seed))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}
