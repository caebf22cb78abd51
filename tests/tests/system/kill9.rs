//! The ledger is killed again and again under load: nothing acknowledged is lost, nothing is there twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recorder::{RecordError, Recorder};
use tests::system::{Plan, Shape, System};
use tests::wait::until;

use crate::audit;
use crate::calls::{draft, start_recorder};

const KILLS: u32 = 24;
const RECORDERS: [&str; 3] = ["load-1", "load-2", "load-3"];
/// Callers of one recorder at a time.
const CALLERS: usize = 6;

type Acknowledged = Arc<Mutex<Vec<audit::Acknowledged>>>;

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

        audit::complete(&system, &acknowledged, &checkpoints).await?;
        system.stop("ledger").await?;
        let entries = audit::fsck(&system, &RECORDERS).await?;
        ensure!(entries >= acknowledged.len() as u64, "fsck saw {entries} entries");
        Ok(())
    })
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

    async fn stop(self) -> Result<Vec<audit::Acknowledged>> {
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
