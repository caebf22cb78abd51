//! Disclosures that a store has lost.

use serde_json::json;
use tlog::LeafIndex;

use super::{Caller, DAY_NS, House, ROLES, StatusCode, code, erase, fsck_of};
use crate::clock::unix_now_ns;
use crate::door::tests::eventually;
use crate::retention::{Keep, RetentionClass};
use crate::store::RocksStore;
use crate::store::keyspace::{DISCLOSURES, disclosure_key};
use crate::{Ledger, Options};

/// Break it: let `disclosing` name what is stored alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_goes_with_its_exchange_and_is_named() {
    let house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    caller.exchange(2, "bob", "chat", "another").await;
    drop(caller);
    let of_first = |leaf: &proto::entry::Leaf| leaf.event.exchange_id.first() == Some(&1);
    // Between the two there may be one of the ledger's own.
    let leaves = house.leaves().into_iter().enumerate();
    let leaves: Vec<_> = leaves.filter(|(_, (leaf, _))| of_first(leaf)).collect();
    // Of its first leaf the MESSAGE, of the second all.
    let House { dir, config, ledger } = house;
    ledger.stop().await;
    let folder = dir.path().join("ledger/store");
    eventually("the store is closed", || RocksStore::open(&folder).is_ok()).await;
    let (store, _) = RocksStore::open_for_check(&folder).unwrap();
    for (index, _) in &leaves[..2] {
        let key = disclosure_key(LeafIndex(*index as u64), 2);
        store.overwrite(DISCLOSURES, &key, None);
    }
    drop(store);
    let ledger = Ledger::start(config.clone(), Options::default()).await.unwrap();
    let house = House { dir, config, ledger };
    let (status, done) = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    assert_eq!((status, &done["disclosures"]), (StatusCode::OK, &json!(1)), "{done}");
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}

/// Break it: let `each` take a PRINCIPAL that is lost for none, or `more` leave out leaves that are lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_whose_caller_is_lost_is_kept_by_every_hold_on_a_subject() {
    let house = House::build_with(&ROLES, |config| {
        let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(30) };
        config.retention = [("chats".to_owned(), class)].into();
    })
    .await;
    Caller::start(&house, 1).exchange(1, "alice", "chat", "the answer").await;
    let mut leaves = (0..).zip(house.leaves());
    let (request, _) = leaves.find(|(_, (leaf, _))| !leaf.event.exchange_id.is_empty()).unwrap();
    let house = house
        .restart_after(Options::default(), |store| {
            for slot in [1, 2] {
                store.overwrite(DISCLOSURES, &disclosure_key(LeafIndex(request), slot), None);
            }
        })
        .await;
    let hold = json!({ "kind": "hold", "scope": { "subject": "carol" }, "reason": "a lawsuit" });
    let (_, placed) = house.ordered(hold).await;
    let erasures = house.doors().erasures.unwrap();
    let later = unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(later).await.unwrap(), 0, "it may be carol's");
    let refused = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    assert_eq!(code(&refused), (409, "held"));
    let release = json!({ "kind": "release", "hold": placed["hold"], "reason": "over" });
    assert_eq!(house.ordered(release).await.0, StatusCode::OK);
    assert_eq!(erasures.retain(later).await.unwrap(), 1);
    drop(erasures);
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}
