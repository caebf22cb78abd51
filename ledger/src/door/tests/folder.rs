//! What a start makes of the folder that it finds.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{ORIGIN, config, eventually, key};
use crate::store::{RocksStore, StoreError};
use crate::{Ledger, LedgerConfig, Options, StartError, fsck};

/// Starts it once the ledger before has let go of the store.
async fn start(config: &LedgerConfig) -> Result<Ledger, StartError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match Ledger::start(config.clone(), Options::default()).await {
            Err(StartError::Store(StoreError::InUse { .. })) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            started => return started,
        }
    }
}

/// Starts and stops it; that alone is several events.
async fn run(config: &LedgerConfig) {
    start(config).await.unwrap().stop().await;
    let store = config.data_dir.join("store");
    eventually("the store is closed", || RocksStore::open(&store).is_ok()).await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_kept_elsewhere_tells_that_the_whole_folder_was_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, older) = (dir.path().join("ledger"), dir.path().join("older"));
    let kept = dir.path().join("elsewhere/checkpoint");
    let config =
        LedgerConfig { checkpoint_file: Some(kept.clone()), ..config(dir.path(), &["auditor"]) };
    let mistakes = config.mistakes();
    assert!(mistakes[0].contains("checkpoint_file"), "{mistakes:?}");
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    run(&config).await;
    assert!(kept.exists() && !data.join("checkpoint").exists());
    copy(&data, &older);
    run(&config).await;
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&older, &data).unwrap();

    let refused = start(&config).await.err().unwrap();
    assert!(matches!(refused, StartError::Behind { .. }), "{refused}");
    let log = key(ORIGIN, 1).verifying_key();
    let store = data.join("store");
    eventually("the store is closed", || RocksStore::open(&store).is_ok()).await;
    let report = fsck(&data, Some(&kept), &log, &[], &mut |_, _| {}).unwrap();
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["store_behind"]);
}
