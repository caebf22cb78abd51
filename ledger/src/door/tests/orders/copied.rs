//! Erasures beside backups: whatever a backup holds, the erasure of it names that backup, or the backup is not made.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{DisclosureErased, EvidenceAccessed};
use serde_json::json;
use tlog::{Checkpoint, Hash, LeafIndex};

use super::disk::{Secrets, found_on_disk};
use super::{Caller, ROLES, erase};
use crate::backup::{
    BackupConfig, BackupMade, FolderState, ReadBack, Restore, backup_stopped, backups_made,
    folder_state, restore,
};
use crate::door::tests::{House, ORIGIN, eventually, key};
use crate::sequencer::Rider;
use crate::store::{RocksStore, StoredKey};

/// A ledger that may back itself up into this folder.
async fn house(folder: &Path) -> House {
    let folder = folder.to_owned();
    House::build_with(&ROLES, |config| {
        config.backup =
            Some(BackupConfig { folder, keep: 1_000, every_minutes: None, verify_every: 24 });
    })
    .await
}

/// Break it: leave out `must_purge` in `making.rs`, or tell no `backups` in `carry_out`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_holds_nothing_of_an_earlier_erasure_and_is_named_by_a_later_one() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("backups");
    let house = house(&folder).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "crm", "the answer").await;
    caller.exchange(2, "bob", "crm", "another answer").await;
    let doors = house.doors();
    let (alice, bob) = (Secrets::of(&*doors.store, &[1]), Secrets::of(&*doors.store, &[2]));
    let backups = doors.backups.unwrap();

    // Whoever erases is first, and the backup waits for the moment of the store.
    let erasing = Arc::clone(&backups.moment).lock_owned().await;
    let waiting = Arc::clone(&backups);
    let making = tokio::spawn(async move { waiting.make(ReadBack::OneIn(0)).await });
    eventually("the backup has opened its folder", || folder.join("lock").exists()).await;
    let rider = Rider {
        erased: bob.places.iter().map(|(index, slot)| (LeafIndex(*index), *slot)).collect(),
        destroyed: bob.key_ids.clone(),
        ..Rider::default()
    };
    let event = |erased: &DisclosureErased| (Kind::DisclosureErased(erased.clone()), Vec::new());
    doors.own.record_with(bob.events.iter().map(event).collect(), rider).await.unwrap();
    drop(erasing);
    let refused = making.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), "purge_pending", "deleted is not off the disk");
    assert!(!bob.all().any(|secret| found_on_disk(&folder, secret)));
    let store = Arc::clone(&doors.store);
    tokio::task::spawn_blocking(move || store.purge()).await.unwrap().unwrap();

    // Now it is first.
    let made = backups.make(ReadBack::OneIn(0)).await.unwrap();
    assert!(alice.all().any(|secret| found_on_disk(&folder, secret)));
    assert!(!bob.all().any(|secret| found_on_disk(&folder, secret)));
    let (status, erased) = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert!(status.is_success(), "{erased}");
    let receipt = erased["backups"]["made"].as_array().unwrap();
    assert!(receipt.len() == 1 && receipt[0]["backup"] == made.backup, "{erased}");
    assert!(alice.all().any(|secret| found_on_disk(&folder, secret)), "it cannot reach a backup");
    let listed = backups_made(&house.dir.path().join("ledger")).unwrap();
    assert!(listed.iter().all(|made| !made.unfinished), "{listed:?}");
}

/// Break it: let `backups` in `receipt.rs` give the guard back at once, or read the list before it has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_names_whatever_is_written_down_before_its_commit() {
    let scratch = tempfile::tempdir().unwrap();
    let house = house(&scratch.path().join("backups")).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "crm", "the answer").await;
    let doors = house.doors();
    let key_id = Secrets::of(&*doors.store, &[1]).key_ids[0];
    let moment = Arc::clone(&doors.backups.unwrap().moment);
    let (store, list) = (doors.store, house.dir.path().join("ledger/backups"));
    let written = list.clone();
    // Each turn is a backup that is written down; the last one is right before the commit.
    let turns = tokio::spawn(async move {
        let mut last = 0_u64;
        loop {
            let alone = moment.lock().await;
            if store.disclosure_key(&key_id).unwrap() == StoredKey::Destroyed {
                return last;
            }
            last += 1;
            let line = BackupMade {
                folder: "elsewhere".into(),
                backup: last,
                made_at_ns: 5,
                size: 7,
                unfinished: false,
            };
            fs::write(&written, serde_json::to_vec(&line).unwrap()).unwrap();
            drop(alone);
            tokio::task::yield_now().await;
        }
    });
    eventually("something is written down", || list.exists()).await;
    let (status, erased) = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert!(status.is_success(), "{erased}");
    let last = tokio::time::timeout(Duration::from_secs(20), turns).await.unwrap().unwrap();
    assert_eq!(erased["backups"]["made"][0]["backup"], last, "{erased}");
}

/// Break it: leave out `remove_leftovers` in `backup_stopped`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_ledger_with_a_purge_to_do_and_a_moment_left_over_is_backed_up() {
    let scratch = tempfile::tempdir().unwrap();
    let house = house(&scratch.path().join("backups")).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "crm", "the answer").await;
    let gone = Secrets::of(&*house.doors().store, &[1]);
    drop(caller);
    let doors = house.doors();
    // That puts it into tables, and into a backup, which the next one pushes out.
    doors.backups.as_ref().unwrap().make(ReadBack::OneIn(0)).await.unwrap();
    assert!(gone.all().any(|secret| found_on_disk(scratch.path(), secret)));
    let rider = Rider {
        erased: gone.places.iter().map(|(index, slot)| (LeafIndex(*index), *slot)).collect(),
        destroyed: gone.key_ids.clone(),
        ..Rider::default()
    };
    let event = |erased: &DisclosureErased| (Kind::DisclosureErased(erased.clone()), Vec::new());
    doors.own.record_with(gone.events.iter().map(event).collect(), rider).await.unwrap();
    assert!(doors.store.must_purge().unwrap());
    // As a backup leaves it that was killed: tables under second names.
    let data_dir = Arc::new(house.dir.path().join("ledger"));
    let moment = data_dir.join("snapshot");
    drop(doors);
    let House { dir: _dir, ledger, .. } = house;
    ledger.stop().await;
    eventually("the store is closed", || RocksStore::open(&data_dir.join("store")).is_ok()).await;
    fs::create_dir(&moment).unwrap();
    for file in fs::read_dir(data_dir.join("store")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            fs::hard_link(&path, moment.join(path.file_name().unwrap())).unwrap();
        }
    }
    let log = key(ORIGIN, 1).verifying_key();
    let report = crate::fsck(&data_dir, None, &log, &[], &mut |_, _| {}).unwrap();
    assert!(report.moment_left && report.purge_pending && report.is_good());
    assert!(gone.all().any(|secret| found_on_disk(&data_dir, secret)), "deleted is not gone");

    let (from, to) = (Arc::clone(&data_dir), scratch.path().join("backups"));
    let making = tokio::task::spawn_blocking(move || backup_stopped(&from, None, &to, 1, None));
    making.await.unwrap().unwrap();
    for place in [&**data_dir, scratch.path()] {
        assert!(!gone.all().any(|secret| found_on_disk(place, secret)), "{}", place.display());
    }
    let report = crate::fsck(&data_dir, None, &log, &[], &mut |_, _| {}).unwrap();
    assert!(!report.moment_left && !report.purge_pending && report.is_good());
}

/// Break it: call `agree` in `restore.rs` for a good copy alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_can_only_be_looked_at_is_held_against_the_newest_checkpoint() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("backups");
    let house = house(&folder).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "crm", "the answer").await;
    let gone = Secrets::of(&*house.doors().store, &[1]);
    drop(caller);
    // A key is lost, and no event says why.
    let doors = house.doors();
    let rider = Rider { destroyed: gone.key_ids.clone(), ..Rider::default() };
    let access = EvidenceAccessed {
        door: Door::Backup.into(),
        result: Outcome::Allowed.into(),
        ..EvidenceAccessed::default()
    };
    let event = (Kind::EvidenceAccessed(access), Vec::new());
    doors.own.record_with(vec![event], rider).await.unwrap();
    eventually("something is published", || doors.published.borrow().checkpoint.size.0 > 1).await;
    let made = doors.backups.as_ref().unwrap().make(ReadBack::OneIn(0)).await.unwrap();

    let log = key(ORIGIN, 1);
    let bring_back = |to: &Path, newest: Option<&str>| {
        let log = log.verifying_key();
        let (from, recorders) = (folder.as_path(), &[][..]);
        let ask = Restore { from, to, backup: None, log: &log, recorders, new_log: None, newest };
        restore(&ask, &mut |_, _| {})
    };
    let to = scratch.path().join("copy");
    let report = bring_back(&to, None).unwrap().report;
    assert!(report.is_readable() && !report.is_good(), "{:#?}", report.findings);
    assert_eq!(folder_state(&to).unwrap(), FolderState::Readable);
    let other = Checkpoint { root: Hash([7; 32]), ..made.checkpoint }.sign(&log);
    let to = scratch.path().join("contradicted");
    let refused = bring_back(&to, Some(&other)).unwrap_err();
    assert_eq!(refused.code(), "checkpoint_contradicted");
    assert_eq!(folder_state(&to).unwrap(), FolderState::Unfinished);
}
