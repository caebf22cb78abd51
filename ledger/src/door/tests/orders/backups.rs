//! Backups when something is wrong: with the store, with their folder, or with the machine that had the list of them.

use std::fs;
use std::path::Path;

use super::{Caller, ROLES};
use crate::backup::{
    Backup, BackupConfig, BackupError, BackupKeys, ReadBack, Restore, Verdict, backup_stopped,
    backups_in, backups_made, restore,
};
use crate::door::tests::{House, ORIGIN, eventually, key};
use crate::store::RocksStore;
use crate::store::keyspace::DISCLOSURES;

/// A ledger with an exchange, that keeps one backup in this folder.
async fn house(folder: &Path) -> House {
    let folder = folder.to_owned();
    let house = House::build_with(&ROLES, |config| {
        config.backup =
            Some(BackupConfig { folder, keep: 1, every_minutes: None, verify_every: 1 });
    })
    .await;
    Caller::start(&house, 1).exchange(1, "alice", "crm", "the answer").await;
    house
}

async fn backup(house: &House, read_back: ReadBack) -> Result<Backup, BackupError> {
    house.doors().backups.unwrap().make(read_back).await
}

fn verdicts(folder: &Path) -> Vec<(u64, Option<Verdict>)> {
    let (listed, unreadable) = backups_in(folder).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    listed.iter().map(|made| (made.backup, made.verdict)).collect()
}

async fn stop(house: House) -> tempfile::TempDir {
    let House { dir, ledger, .. } = house;
    ledger.stop().await;
    let store = dir.path().join("ledger/store");
    eventually("the store is closed", || RocksStore::open(&store).is_ok()).await;
    dir
}

/// Break it: let `lets_go` in `depot/verdicts.rs` say yes, or `read_back` in `making.rs` keep no verdict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_backup_stays_until_another_one_is_good() {
    const GOOD: Option<Verdict> = Some(Verdict::Good);
    const BAD: Option<Verdict> = Some(Verdict::Bad);
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("backups");
    let house = house(&folder).await;
    let data_dir = house.dir.path().join("ledger");
    assert!(backup(&house, ReadBack::Now).await.unwrap().verified);
    // Of the next ones nobody knows what they are. They go in turn.
    assert_eq!(backup(&house, ReadBack::OneIn(0)).await.unwrap().purged, [] as [u64; 0]);
    assert_eq!(backup(&house, ReadBack::OneIn(0)).await.unwrap().purged, [2]);
    assert_eq!(verdicts(&folder), [(1, GOOD), (3, None)]);
    let named: Vec<_> = backups_made(&data_dir).unwrap().iter().map(|made| made.backup).collect();
    assert_eq!(
        named,
        [1, 3],
        "an erasure would name one that is gone, or not name one that is there"
    );

    // The first block of a table of disclosures rots.
    let tables = house.doors().backups.unwrap().store.files_of(DISCLOSURES);
    let table = data_dir.join("store").join(&tables[0]);
    let good = fs::read(&table).unwrap();
    let mut rotten = good.clone();
    rotten[20] ^= 1;
    fs::write(&table, rotten).unwrap();
    // Also one of which nobody asks it is read back from then on.
    for how in [ReadBack::Now, ReadBack::OneIn(0)] {
        assert_eq!(backup(&house, how).await.unwrap_err().code(), "backup_not_good");
    }
    let house = house.restart().await;
    let is_told = || house.doors().health.warnings().iter().any(|told| told.contains("not good"));
    eventually("the bad one is told after a restart", is_told).await;
    let refused = backup(&house, ReadBack::OneIn(0)).await.unwrap_err();
    assert_eq!(refused.code(), "backup_not_good");
    let all = [(1, GOOD), (3, None), (4, BAD), (5, BAD), (6, BAD)];
    assert_eq!(verdicts(&folder), all);

    // Without the ledger, and without a word of reading back.
    let _dir = stop(house).await;
    let made = backup_stopped(&data_dir, None, &folder, 1, None).unwrap();
    assert_eq!((made.purged, made.not_good), (Vec::new(), Some(6)));
    // The disk is mended.
    fs::write(&table, good).unwrap();
    let keys = BackupKeys { log: key(ORIGIN, 1).verifying_key(), recorders: Vec::new() };
    let made = backup_stopped(&data_dir, None, &folder, 1, Some(&keys)).unwrap();
    assert_eq!((made.purged, made.not_good), (vec![1, 3, 4, 5, 6, 7], None));
    assert_eq!(verdicts(&folder), [(8, GOOD)]);
}

/// Break it: let `read_back` in `making.rs` return what was in its way as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_could_not_be_read_back_was_made() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("backups");
    // No room for what a read-back needs; here for its verdict.
    let in_the_way = folder.join("backups/verdicts.json");
    fs::create_dir_all(&in_the_way).unwrap();
    let house = house(&folder).await;
    let refused = backup(&house, ReadBack::OneIn(3)).await.unwrap_err();
    assert_eq!(refused.code(), "backup_not_read_back");
    assert!(refused.to_string().contains("was made"), "{refused}");
    assert_eq!(verdicts(&folder), [(1, None)]);
    let listed = backups_made(&house.dir.path().join("ledger")).unwrap();
    assert!(listed.len() == 1 && !listed[0].unfinished, "{listed:?}");
    // The next one takes its turn.
    fs::remove_dir(in_the_way).unwrap();
    assert!(backup(&house, ReadBack::OneIn(3)).await.unwrap().verified);
}

/// Break it: let `bring_back` in `restore.rs` write the list of the manifests in the folder alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_came_back_names_every_backup_that_may_hold_what_it_has() {
    let scratch = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| scratch.path().join(name));
    let house = house(&first).await;
    let data_dir = house.dir.path().join("ledger");
    let _dir = stop(house).await;
    for folder in [&first, &second, &first] {
        backup_stopped(&data_dir, None, folder, 9, None).unwrap();
    }
    // The machine died while it made another one.
    fs::write(first.join("files/.tmpcut"), "some of it").unwrap();

    let to = scratch.path().join("copy");
    let log = key(ORIGIN, 1).verifying_key();
    let (from, recorders, new_log, newest) = (first.as_path(), &[][..], None, None);
    let ask = Restore { from, to: &to, backup: None, log: &log, recorders, new_log, newest };
    assert_eq!(restore(&ask, &mut |_, _| {}).unwrap().backup, 2);
    let mut named: Vec<_> = backups_made(&to)
        .unwrap()
        .into_iter()
        .map(|made| (made.folder.ends_with("first"), made.backup, made.unfinished))
        .collect();
    named.sort_unstable();
    let all = [(false, 1, false), (true, 1, false), (true, 2, false), (true, 3, true)];
    assert_eq!(named, all);
}
