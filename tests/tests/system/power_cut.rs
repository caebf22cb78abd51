//! Power cuts and failing disks at every call of an append and of its publication.
//!
//! A kill leaves what was written in the page cache, so it cannot show that a sync is missing. Here the ledger runs on a
//! disk that forgets, and starts again on what is left.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recorder::Recorder;
use tests::disk::{Disk, Fault, Unsynced};
use tests::folder::copy;
use tests::system::{Plan, Shape, System};
use tests::wait::until;
use tlog::Checkpoint;

use crate::audit::{self, Acknowledged};
use crate::calls::{draft, start_recorder};

const RECORDER: &str = "caller";

#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged() -> Result<()> {
    at_every_call(Fault::Kill)
}

#[test]
fn a_disk_error_at_any_call_stops_the_ledger_and_loses_nothing() -> Result<()> {
    at_every_call(Fault::IoError)
}

#[test]
fn a_full_disk_at_any_call_stops_the_ledger_and_loses_nothing() -> Result<()> {
    at_every_call(Fault::Full)
}

/// Every kind of file that is synced from a start to a published append, by a part of its path, and whether the start after
/// a power cut must miss what a disk lied about. A sync of a folder is of names: one that is lost leaves what had the name
/// before, which the store satisfies.
/// The first that fits is the one.
const SYNCED: [(&str, bool); 7] = [
    // The write-ahead log; the checkpoint before its rename.
    (".log", true),
    ("ledger/.tmp", true),
    // The engine's own, written at an open: tables of what stood in the log, the list of tables, and before its rename the
    // file that says which list it is.
    (".sst", true),
    ("MANIFEST-", true),
    // What nothing is read from: its options, and an identity that is made anew.
    ("OPTIONS-", false),
    ("IDENTITY", false),
    (".dbtmp", true),
];

fn sort_of(path: &str) -> Option<&'static str> {
    SYNCED.iter().map(|(sort, _)| *sort).find(|sort| path.contains(sort))
}

/// The test of these tests: with a sync missing they must see the loss, whichever it is.
#[test]
fn a_disk_that_lies_about_a_sync_is_found_out() -> Result<()> {
    tests::run(async {
        // Which files are synced at all: a new one belongs into the list, with what its loss means.
        let mut house = House::new().await?;
        let disk = house.disk()?;
        disk.arm()?;
        house.system.set_environment(disk.environment(0, Fault::Kill)?);
        house.append(&disk).await?;
        let mut sorts = BTreeSet::new();
        for call in disk.calls()? {
            let words: Vec<_> = call.splitn(3, ' ').collect();
            let [_, "fsync" | "fdatasync", path] = words[..] else { continue };
            if !Path::new(path).is_dir() {
                sorts.insert(sort_of(path).with_context(|| format!("{path} is in no list"))?);
            }
        }
        println!("synced: {sorts:?}");
        ensure!(sorts.contains(".log") && sorts.contains("ledger/.tmp"), "{sorts:?}");
        for (part, is_noticed) in SYNCED.into_iter().filter(|(sort, _)| sorts.contains(sort)) {
            let mut house = House::new().await?;
            let disk = house.disk()?;
            house.system.set_environment(disk.lying_environment(part)?);
            let seen = house.append(&disk).await?;
            let kept = house.restarts_on(&disk, Unsynced::Lost, &seen).await;
            if is_noticed {
                ensure!(kept.is_err(), "{part} was not synced, and nobody noticed");
            } else {
                kept.with_context(|| format!("{part} is needed, and its loss should be told"))?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_power_cut_at_any_call_of_the_first_start_leaves_a_folder_that_starts() -> Result<()> {
    tests::run(async {
        let mut house = House::new().await?;
        std::fs::remove_dir_all(house.system.path("base"))?;
        let mut at = 0;
        loop {
            at += 1;
            house.put_back(&house.system.path("base"))?;
            let disk = house.disk()?;
            disk.arm()?;
            house.system.set_environment(disk.environment(at, Fault::Kill)?);
            let started = house.system.start_part("ledger").await;
            if started.is_ok() {
                println!("{} calls of a first start", at - 1);
                ensure!(at > 20, "only {at} calls were counted: is the layer loaded?");
                return Ok(());
            }
            for unsynced in [Unsynced::Lost, Unsynced::Torn] {
                let seen = Seen::default();
                house.restarts_on(&disk, unsynced, &seen).await.with_context(|| {
                    format!("{unsynced:?} before call {at}: {:?}", disk.calls())
                })?;
            }
        }
    })
}

/// Each call of one append and its publication is hit once.
fn at_every_call(fault: Fault) -> Result<()> {
    tests::run(async move {
        let mut house = House::new().await?;
        let disk = house.disk()?;
        house.system.set_environment(disk.environment(0, Fault::Kill)?);
        house.append(&disk).await?;
        let calls = disk.calls()?;
        for call in &calls {
            println!("{call}");
        }
        for needed in ["fdatasync", "rename", "fsync"] {
            let is_there = calls.iter().any(|call| call.contains(needed));
            ensure!(is_there, "no {needed} was counted: is the layer loaded? {calls:?}");
        }
        for at in 1..=calls.len() {
            house.put_back(&house.system.path("base"))?;
            let disk = house.disk()?;
            house.system.set_environment(disk.environment(at, fault)?);
            let seen = house.append(&disk).await?;
            for unsynced in [Unsynced::Lost, Unsynced::Torn] {
                house
                    .restarts_on(&disk, unsynced, &seen)
                    .await
                    .with_context(|| format!("{fault:?}, {unsynced:?}, at {:?}", disk.calls()))?;
            }
        }
        println!("{fault:?} at {} calls, restarted twice each", calls.len());
        Ok(())
    })
}

/// What was acknowledged, and which checkpoints were published.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<Acknowledged>,
    checkpoints: Vec<Checkpoint>,
}

impl Seen {
    async fn record(&mut self, recorder: &Recorder, number: usize) -> bool {
        let Ok(receipt) = recorder.record(draft(number)).await else { return false };
        self.acknowledged.push((RECORDER.to_owned(), recorder.epoch(), receipt));
        true
    }
}

/// A ledger with some events, whose folder is kept to begin from.
struct House {
    system: System,
}

impl House {
    async fn new() -> Result<Self> {
        let plan = Plan { recorders: vec![RECORDER.to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let recorder = start_recorder(&system, RECORDER).await?;
        recorder.record(draft(1)).await?;
        recorder.stop(true).await;
        system.stop("ledger").await?;
        copy(&system.path("ledger"), &system.path("base"))?;
        Ok(Self { system })
    }

    fn disk(&self) -> Result<Disk> {
        Disk::below(self.system.dir())
    }

    /// Makes the ledger's folder a copy of another; an absent one is an absent one.
    fn put_back(&self, from: &Path) -> Result<()> {
        let ledger = self.system.path("ledger");
        if ledger.exists() {
            std::fs::remove_dir_all(&ledger)?;
        }
        if from.exists() {
            copy(from, &ledger)?;
        }
        Ok(())
    }

    /// Starts the ledger, appends, and at the armed append meets what the disk has ready; the ledger is dead then.
    async fn append(&mut self, disk: &Disk) -> Result<Seen> {
        let mut seen = Seen::default();
        self.system.start_part("ledger").await?;
        let recorder = start_recorder(&self.system, RECORDER).await?;
        ensure!(seen.record(&recorder, 2).await, "nothing was armed");
        until("it is published", Duration::from_secs(10), || async {
            let checkpoint = self.system.checkpoint().await?;
            let place = seen.acknowledged[0].2.place.context("a place")?;
            Ok((checkpoint.size.0 > place.leaf_index.0).then_some(checkpoint))
        })
        .await
        .map(|checkpoint| seen.checkpoints.push(checkpoint))?;
        disk.arm()?;
        let recording = seen.record(&recorder, 3);
        // A ledger that died does not answer, and the recorder waits for the next.
        let is_acknowledged =
            tokio::time::timeout(Duration::from_millis(700), recording).await.unwrap_or(false);
        if is_acknowledged {
            let published = until("it is published or dead", Duration::from_secs(5), || async {
                let Ok(checkpoint) = self.system.checkpoint().await else { return Ok(Some(None)) };
                let place = seen.acknowledged[1].2.place.context("a place")?;
                Ok((checkpoint.size.0 > place.leaf_index.0).then_some(Some(checkpoint)))
            })
            .await?;
            seen.checkpoints.extend(published);
        }
        self.system.kill("ledger")?;
        Ok(seen)
    }

    /// The ledger starts on what the power cut left, takes another event, and has everything that was seen.
    async fn restarts_on(&mut self, disk: &Disk, unsynced: Unsynced, seen: &Seen) -> Result<()> {
        let (ledger, left) = (self.system.path("ledger"), self.system.path("left"));
        if left.exists() {
            std::fs::remove_dir_all(&left)?;
        }
        disk.after_power_cut(&ledger, unsynced, &left)?;
        // What was on the disk at the cut stays for the next look at it.
        let before = self.system.path("before");
        if ledger.exists() {
            std::fs::rename(&ledger, &before)?;
        }
        if left.exists() {
            std::fs::rename(&left, &ledger)?;
        }
        self.system.set_environment(Vec::new());
        let checked = self.checked(seen).await;
        if checked.is_err() {
            self.system.kill("ledger").unwrap_or_default();
        }
        if ledger.exists() {
            std::fs::remove_dir_all(&ledger)?;
        }
        if before.exists() {
            std::fs::rename(&before, &ledger)?;
        }
        checked
    }

    async fn checked(&mut self, seen: &Seen) -> Result<()> {
        self.system.start_part("ledger").await?;
        let recorder = start_recorder(&self.system, RECORDER).await?;
        let mut acknowledged = seen.acknowledged.clone();
        let receipt = recorder.record(draft(4)).await?;
        acknowledged.push((RECORDER.to_owned(), recorder.epoch(), receipt));
        recorder.stop(true).await;
        audit::complete(&self.system, &acknowledged, &seen.checkpoints).await?;
        self.system.stop("ledger").await?;
        audit::fsck(&self.system, &[RECORDER]).await.map(|_| ())
    }
}
