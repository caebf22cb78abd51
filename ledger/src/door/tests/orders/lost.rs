//! Disclosures that a store has lost.

use serde_json::json;
use tlog::LeafIndex;

use super::{Caller, House, ROLES, StatusCode, erase, fsck_of};
use crate::door::tests::eventually;
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
