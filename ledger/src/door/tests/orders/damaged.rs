//! Damage in what erasures rest on.

use std::fs;
use std::path::Path;

use proto::ids::Id;
use proto::kind::Kind;
use serde_json::{Value, json};

use super::super::key;
use super::{Caller, DAY_NS, House, ORIGIN, ROLES, StatusCode, code, erase, eventually, fsck_of};
use crate::retention::{Keep, RetentionClass};
use crate::store::RocksStore;
use crate::store::keyspace::{META, hold_key};
use crate::{Ledger, Options, vault};

async fn house() -> House {
    House::build_with(&ROLES, |config| {
        let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(30) };
        config.retention = [("chats".to_owned(), class)].into();
    })
    .await
}

/// The id of a hold on somebody.
async fn placed(house: &House, subject: &str) -> Id {
    let hold = json!({ "kind": "hold", "scope": { "subject": subject }, "reason": "a lawsuit" });
    let (_, placed) = house.ordered(hold).await;
    let hold = hex::decode(placed["hold"].as_str().unwrap()).unwrap();
    Id::from_slice(&hold).unwrap()
}

/// What `exhibit hold list` is told of one that cannot be read.
async fn why_damaged(house: &House, hold: Id) -> Option<String> {
    let (_, listed) = house.order("auditor", "/v1/holds", Value::Null).await;
    let is_it = |told: &&Value| told["hold"] == hold.to_string();
    listed["holds"].as_array().unwrap().iter().find(is_it)?["damaged"].as_str().map(str::to_owned)
}

async fn released(house: &House, hold: Id) {
    let release = json!({ "kind": "release", "hold": hold.to_string(), "reason": "placed anew" });
    let (status, told) = house.ordered(release).await;
    assert_eq!((status, &told["released"]), (StatusCode::OK, &json!(hold.to_string())), "{told}");
}

fn warns(house: &House) -> bool {
    house.doors().health.warnings().iter().any(|warning| warning.contains("legal holds"))
}

/// Break it: let `Work::check_holds` find nothing, `Holds::load` keep no damaged one, or `Holds::release` leave it where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_cannot_be_read_keeps_everything_from_being_erased_until_two_people_release_it()
{
    let mut house = house().await;
    Caller::start(&house, 1).exchange(1, "alice", "chat", "the answer").await;
    // Another leaf, which is none of its own; then no leaf at all.
    for (epoch, value) in [(2, &[0; 8][..]), (3, &[0; 5][..])] {
        let (sound, hold) = (placed(&house, "bob").await, placed(&house, "carol").await);
        let change = |store: &RocksStore| store.overwrite(META, &hold_key(hold), Some(value));
        house = house.restart_after(Options::default(), change).await;
        let refused = house.ordered(erase(&json!({ "subject": "alice" }))).await;
        assert_eq!(code(&refused), (409, "holds_damaged"), "{}", refused.1);
        let erasures = house.doors().erasures.unwrap();
        let later = crate::clock::unix_now_ns() + 31 * DAY_NS;
        assert!(erasures.retain(later).await.is_err());
        drop(erasures);
        // It is recorded on, and told.
        Caller::start(&house, epoch).exchange(epoch, "dora", "chat", "goes on").await;
        assert!(warns(&house) && why_damaged(&house, hold).await.is_some());
        assert_eq!(why_damaged(&house, sound).await, None);
        released(&house, hold).await;
        assert!(!warns(&house));
        released(&house, sound).await;
        house = house.restart().await;
        assert!(!warns(&house) && why_damaged(&house, hold).await.is_none());
    }
    let (status, done) = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(house.disclosed_exchanges(), [2, 3]);
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
}

/// A table with the hold's key that does not read any more. Break it: let `Holds::load` fail with what the engine says, or fsck
/// not read what a hold keeps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotten_table_under_a_hold_keeps_no_ledger_from_starting() {
    let house = house().await;
    Caller::start(&house, 1).exchange(1, "alice", "chat", "the answer").await;
    let hold = placed(&house, "bob").await;
    let leaves = house.leaves();
    let is_hold = |kind: Option<&Kind>| matches!(kind, Some(Kind::HoldPlaced(of)) if of.hold_id == hold.0[..]);
    let leaf = leaves.iter().find(|(leaf, _)| is_hold(leaf.event.kind.as_ref())).unwrap();
    let id = vault::key_id(&leaf.0.event);
    let secret = house.doors().store.disclosure_key(&id).unwrap().usable().unwrap();
    let House { dir, config, ledger } = house;
    ledger.stop().await;
    let folder = dir.path().join("ledger");
    let store = folder.join("store");
    eventually("the store is closed", || RocksStore::open(&store).is_ok()).await;
    RocksStore::open(&store).unwrap().flush();
    assert_eq!(rot(&store, &secret), 1);

    let log = key(ORIGIN, 1).verifying_key();
    let report = crate::fsck(&folder, None, &log, &[], &mut |_, _| {}).unwrap();
    let names_it = |found: &crate::Finding| {
        found.code == "hold_unreadable" && found.place.contains(&hold.to_string())
    };
    assert!(report.findings.iter().any(names_it), "{:#?}", report.findings);
    assert!(report.is_readable() && !report.is_good(), "{:#?}", report.findings);

    let ledger = Ledger::start(config.clone(), Options::default()).await.unwrap();
    let house = House { dir, config, ledger };
    assert!(warns(&house) && why_damaged(&house, hold).await.is_some());
    Caller::start(&house, 2).exchange(2, "carol", "chat", "goes on").await;
    let refused = house.ordered(erase(&json!({ "exchange": "02".repeat(16) }))).await;
    assert_eq!(code(&refused), (409, "holds_damaged"), "{}", refused.1);
    released(&house, hold).await;
    assert!(!warns(&house));
}

/// Flips a bit of these bytes in whichever table holds them; in how many.
fn rot(store: &Path, bytes: &[u8]) -> usize {
    let mut found = 0;
    for file in fs::read_dir(store).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sst") {
            continue;
        }
        let mut content = fs::read(&path).unwrap();
        if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
            content[at] ^= 1;
            fs::write(&path, content).unwrap();
            found += 1;
        }
    }
    found
}
