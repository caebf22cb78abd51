//! Tables of disclosures and of keys in which a block cannot be read any more.

use serde_json::json;
use tlog::LeafIndex;

use super::{Caller, DAY_NS, House, Kind, ROLES, StatusCode, code, erase, fsck_of};
use crate::clock::unix_now_ns;
use crate::door::tests::eventually;
use crate::retention::{Keep, RetentionClass};
use crate::store::keyspace::{ENTRIES, entry_key};
use crate::store::{RocksStore, Store};
use crate::{Ledger, Options, vault};

/// Its chats are kept for 30 days.
async fn house() -> House {
    House::build_with(&ROLES, |config| {
        let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(30) };
        config.retention = [("chats".to_owned(), class)].into();
    })
    .await
}

/// More than a block of the engine.
fn long(text: &str) -> String {
    format!("{text}: {}", "é".repeat(20_000))
}

/// The same house after a stop, in whose tables a bit was flipped in these bytes.
async fn rotten(house: House, bytes: impl FnOnce(&RocksStore) -> Vec<u8>) -> House {
    let House { dir, config, ledger } = house;
    ledger.stop().await;
    let folder = dir.path().join("ledger/store");
    eventually("the store is closed", || RocksStore::open(&folder).is_ok()).await;
    let store = RocksStore::open(&folder).unwrap();
    store.flush();
    let bytes = bytes(&store);
    drop(store);
    assert!(RocksStore::rot(&folder, &bytes) > 0);
    let ledger = Ledger::start(config.clone(), Options::default()).await.unwrap();
    House { dir, config, ledger }
}

/// The first leaf of an exchange, and its event.
fn first_of(house: &House, exchange: u8) -> (u64, proto::v1::Event) {
    let is_of = |leaf: &proto::entry::Leaf| leaf.event.exchange_id.first() == Some(&exchange);
    let mut leaves = (0..).zip(house.leaves());
    leaves.find(|(_, (leaf, _))| is_of(leaf)).map(|(index, (leaf, _))| (index, leaf.event)).unwrap()
}

fn warns(house: &House, of: &str) -> bool {
    house.doors().health.warnings().iter().any(|warning| warning.contains(of))
}

fn erased(house: &House) -> usize {
    house.kinds().iter().filter(|kind| matches!(kind, Kind::DisclosureErased(_))).count()
}

/// Break it: let `disclosed` end with a rotten block, `lost_under` find nothing, or `candidates` count what is lost as erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_a_rotten_block_is_held_and_goes_with_its_exchange_and_all_else_goes_on() {
    let mut house = house().await;
    let mut caller = Caller::start(&house, 1);
    for (number, subject) in [(1, "alice"), (2, "alice"), (3, "bob")] {
        caller.exchange(number, subject, "chat", &long(subject)).await;
    }
    drop(caller);
    let (second, _) = first_of(&house, 2);
    house = rotten(house, |store| {
        let mut found = Vec::new();
        let mut see = |_: LeafIndex, _: i32, sealed: &[u8]| found.push(sealed[28..60].to_vec());
        store.disclosed(second..second + 1, &mut see).unwrap();
        found.remove(0)
    })
    .await;
    assert_eq!(house.disclosed_exchanges(), [1, 3]);
    let hold = json!({ "kind": "hold", "scope": { "subject": "alice" }, "reason": "a lawsuit" });
    let (status, placed) = house.ordered(hold).await;
    assert_eq!(status, StatusCode::OK, "{placed}");
    Caller::start(&house, 2).exchange(4, "bob", "chat", "goes on").await;

    let erasures = house.doors().erasures.unwrap();
    let later = unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(later).await.unwrap(), 4, "nobody's but bob's");
    drop(erasures);
    assert_eq!((house.disclosed_exchanges(), erased(&house)), (vec![1], 4));
    assert!(warns(&house, ".sst"), "of what could not be purged");
    let order = || erase(&json!({ "exchange": "02".repeat(16) }));
    assert_eq!(code(&house.ordered(order()).await), (409, "held"), "it may be alice's");

    let release = json!({ "kind": "release", "hold": placed["hold"], "reason": "over" });
    assert_eq!(house.ordered(release).await.0, StatusCode::OK);
    let (status, done) = house.ordered(order()).await;
    assert_eq!(
        (status, &done["leaves"], &done["purged"]),
        (StatusCode::OK, &json!(2), &json!(false))
    );
    assert_eq!(erased(&house), 6);
    house = house.restart().await;
    Caller::start(&house, 3).exchange(5, "bob", "chat", "goes on").await;
    assert_eq!(house.disclosed_exchanges(), [1, 5]);
    let report = fsck_of(house).await;
    assert!(!report.is_good() && report.is_readable(), "{:#?}", report.findings);
}

/// Break it: let the sealer, or `seal_anew`, end with a key that cannot be read, or `purge_ranges` compact keys whatever
/// `rot_within` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotten_block_of_keys_stops_neither_recording_nor_retention() {
    let mut house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    caller.exchange(2, "bob", "chat", "another").await;
    let (epoch, head) = (caller.epoch, caller.intake.head().copied());
    drop(caller);
    let id = vault::key_id(&first_of(&house, 1).1);
    house =
        rotten(house, |store| store.disclosure_key(&id).unwrap().usable().unwrap().to_vec()).await;
    assert!(house.disclosed_exchanges().is_empty(), "all keys stand in one block");
    let mut caller = Caller::continued(&house, epoch, head);
    let late = caller.message(2, "said later");
    caller.submit(late).await;
    caller.exchange(3, "bob", "chat", "goes on").await;
    assert_eq!(house.disclosed_exchanges(), [2, 3]);

    let erasures = house.doors().erasures.unwrap();
    let later = unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(later).await.unwrap(), 7);
    drop(erasures);
    assert!(warns(&house, ".sst"), "of what could not be purged");
    caller.exchange(4, "bob", "chat", "goes on").await;
    drop(caller);
    house = house.restart().await;
    Caller::start(&house, 2).exchange(5, "bob", "chat", "goes on").await;
    assert_eq!(house.disclosed_exchanges(), [4, 5]);
    let report = fsck_of(house).await;
    assert!(!report.is_good() && report.is_readable(), "{:#?}", report.findings);
}

/// Of a damage that nothing goes around. Break it: let `Erasures::run` only log what failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_of_retention_that_fails_is_told_in_words() {
    let mut house = house().await;
    // So many that the start needs no entry of before.
    Caller::start(&house, 1).messages(1, 600).await;
    house = house
        .restart_after(Options::default(), |store| {
            store.overwrite(ENTRIES, &entry_key(LeafIndex(0)), Some(b"x"));
        })
        .await;
    let is_told =
        || warns(&house, "retention failed") && warns(&house, "the store is damaged: entry 0");
    eventually("it is told", is_told).await;
}
