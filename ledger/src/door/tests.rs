//! The doors of a ledger that runs in this process, without a network in between.

mod append;
mod bounds;
mod duties;
mod folder;
mod issuer;
mod knocking;
mod orders;
mod reading;
mod sealing;
mod signing;
mod strangers;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use identity::{IdentityConfig, MachineConfig, MachineKey};
use proto::entry::Leaf;
use proto::v1::{Opening, Slot};
use proto::{decode_entry, kind::Kind};
use tempfile::TempDir;
use tlog::{LeafIndex, SigningKey};

use super::{Doors, tiles};
use crate::store::RocksStore;
use crate::{Ledger, LedgerConfig, Options};

const ORIGIN: &str = "log.example";
const URL: &str = "http://127.0.0.1:7601";

/// A ledger in a folder of its own.
struct House {
    dir: TempDir,
    config: LedgerConfig,
    ledger: Ledger,
}

impl House {
    /// Its recorder is called `r`; machines bear the name of their role.
    async fn build(roles: &[&str]) -> Self {
        Self::build_with(roles, |_| {}).await
    }

    /// One whose configuration is changed first.
    async fn build_with(roles: &[&str], change: impl FnOnce(&mut LedgerConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), roles);
        change(&mut config);
        let ledger = Ledger::start(config.clone(), Options::default()).await.unwrap();
        Self { dir, config, ledger }
    }

    /// The same folder, after a stop.
    async fn restart(self) -> Self {
        self.restart_with(Options::default()).await
    }

    async fn restart_with(self, options: Options) -> Self {
        self.restart_after(options, |_| {}).await
    }

    /// The same folder, in which something was done to the store meanwhile.
    async fn restart_after(self, options: Options, change: impl FnOnce(&RocksStore)) -> Self {
        let (dir, config) = (self.dir, self.config);
        self.ledger.stop().await;
        let path = dir.path().join("ledger/store");
        eventually("the store is closed", || RocksStore::open(&path).is_ok()).await;
        change(&RocksStore::open(&path).unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Ledger::start(config.clone(), options).await {
                Ok(ledger) => return Self { dir, config, ledger },
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn doors(&self) -> Doors {
        self.ledger.doors.clone()
    }

    /// Everything that is stored, with the openings of each.
    fn leaves(&self) -> Vec<(Leaf, Vec<Opening>)> {
        leaves(&self.ledger.doors)
    }

    fn kinds(&self) -> Vec<Kind> {
        self.leaves().into_iter().filter_map(|(leaf, _)| leaf.event.kind).collect()
    }
}

fn config(dir: &Path, roles: &[&str]) -> LedgerConfig {
    LedgerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: URL.into(),
        data_dir: dir.join("ledger"),
        checkpoint_file: None,
        witness: None,
        backup: None,
        retention: Default::default(),
        log_key_file: write_key(dir, "log.key", &key(ORIGIN, 1)),
        next_log_key_file: None,
        recorder_key_file: write_key(dir, "ledger.key", &key("ledger", 2)),
        recorders: vec![recorder().verifying_key().to_string()],
        duties: Default::default(),
        limits: Default::default(),
        tls: None,
        plaintext: false,
        identity: IdentityConfig {
            machines: roles.iter().map(|role| machine_config(role)).collect(),
            ..IdentityConfig::default()
        },
    }
}

/// Stops it and checks its folder.
async fn fsck_of(house: House) -> crate::FsckReport {
    let House { dir, ledger, .. } = house;
    ledger.stop().await;
    let folder = dir.path().join("ledger");
    eventually("the store is closed", || RocksStore::open(&folder.join("store")).is_ok()).await;
    let log = key(ORIGIN, 1).verifying_key();
    crate::fsck(&folder, None, &log, &[], &mut |_, _| {}).unwrap()
}

fn leaves(doors: &Doors) -> Vec<(Leaf, Vec<Opening>)> {
    let entries = doors.store.entries(LeafIndex(0), 1_000, usize::MAX).unwrap();
    let end = LeafIndex(entries.len() as u64);
    let (openings, _) = doors.store.openings(LeafIndex(0), end, usize::MAX).unwrap();
    let of = |index: usize| {
        openings.iter().filter(move |(at, _)| at.0 == index as u64).map(|(_, o)| o.clone())
    };
    let decode = |(index, entry): (usize, &bytes::Bytes)| {
        (decode_entry(entry).unwrap(), of(index).collect())
    };
    entries.iter().enumerate().map(decode).collect()
}

/// What an event discloses in a slot, as text.
fn disclosed(openings: &[Opening], slot: Slot) -> String {
    let opening = openings.iter().find(|opening| opening.slot == slot as i32).unwrap();
    String::from_utf8_lossy(&opening.content).into_owned()
}

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, [seed; 32]).unwrap()
}

fn recorder() -> SigningKey {
    key("r", 3)
}

fn machine(role: &str) -> MachineKey {
    let mut seed = [9; 32];
    seed[..role.len()].copy_from_slice(role.as_bytes());
    MachineKey::new(role, &seed)
}

fn machine_config(role: &str) -> MachineConfig {
    let public_key = machine(role).vkey();
    MachineConfig { name: role.into(), public_key, roles: vec![role.into()] }
}

fn write_key(dir: &Path, name: &str, key: &SigningKey) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, &*key.encode()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_cannot_publish_is_not_ready_at_any_door() {
    let house = House::build(&[]).await;
    assert!(house.ledger.readiness().is_ok());
    assert_eq!(tiles::readyz(State(house.doors())).await.status(), StatusCode::OK);
    // Not while the start is still being published, which would write over it.
    let is_quiet = || {
        let size = house.doors().published.borrow().checkpoint.size.0;
        let leaves = house.leaves();
        let is_sealed =
            |(leaf, _): &(Leaf, _)| matches!(leaf.event.kind, Some(Kind::RecorderSeal(_)));
        size == leaves.len() as u64 && leaves.iter().any(is_sealed)
    };
    eventually("the start is published", is_quiet).await;
    // Somebody else writes the checkpoint file.
    fs::write(house.dir.path().join("ledger/checkpoint"), "another ledger's").unwrap();
    let mark = Kind::RecorderStopped(proto::v1::RecorderStopped { drained: false });
    house.doors().own.record(mark, Vec::new()).await.unwrap();
    eventually("the failure is noticed", || house.ledger.readiness().is_err()).await;
    let answer = tiles::readyz(State(house.doors())).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(house.ledger.failed().await.contains("another ledger runs"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_recorded_after_the_stop() {
    let house = House::build(&[]).await;
    let own = house.doors().own;
    own.stop().await.unwrap();
    let before = house.kinds().len();
    assert!(matches!(
        house.kinds()[before - 2..],
        [Kind::RecorderStopped(_), Kind::RecorderSeal(_)]
    ));
    let late = Kind::RecorderStopped(proto::v1::RecorderStopped { drained: false });
    assert!(own.record(late, Vec::new()).await.is_err());
    // The task that seals ends without an error.
    let running = house.doors().own.run();
    assert!(tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().is_ok());
    assert_eq!(house.kinds().len(), before);
    assert!(house.ledger.readiness().is_ok());
}
