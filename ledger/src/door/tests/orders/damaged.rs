//! Damage in what erasures rest on.

use proto::ids::Id;
use serde_json::{Value, json};

use super::{Caller, DAY_NS, House, ROLES, code, erase, fsck_of};
use crate::Options;
use crate::retention::{Keep, RetentionClass};
use crate::store::keyspace::{META, hold_key};

/// Break it: let `Work::check_holds` find nothing, or `Holds::load` fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_cannot_be_read_keeps_everything_from_being_erased_and_nothing_from_being_recorded()
 {
    let house = House::build_with(&ROLES, |config| {
        let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(30) };
        config.retention = [("chats".to_owned(), class)].into();
    })
    .await;
    Caller::start(&house, 1).exchange(1, "alice", "chat", "the answer").await;
    let hold = json!({ "kind": "hold", "scope": { "subject": "bob" }, "reason": "a lawsuit" });
    let (_, placed) = house.ordered(hold).await;
    let hold: Vec<u8> = hex::decode(placed["hold"].as_str().unwrap()).unwrap();
    let key = hold_key(Id::from_slice(&hold).unwrap());
    // Another leaf, which is none of its own; then no leaf at all.
    let mut house = house;
    for (epoch, value) in [(2, &[0; 8][..]), (3, &[0; 5][..])] {
        house = house
            .restart_after(Options::default(), |store| store.overwrite(META, &key, Some(value)))
            .await;
        let refused = house.ordered(erase(&json!({ "subject": "alice" }))).await;
        assert_eq!(code(&refused), (409, "holds_damaged"), "{}", refused.1);
        let erasures = house.doors().erasures.unwrap();
        let later = crate::clock::unix_now_ns() + 31 * DAY_NS;
        assert!(erasures.retain(later).await.is_err());
        let (_, listed) = house.order("auditor", "/v1/holds", Value::Null).await;
        assert_eq!(listed["holds"], json!([]));
        Caller::start(&house, epoch).exchange(epoch, "carol", "chat", "goes on").await;
    }
    assert_eq!(house.disclosed_exchanges(), [1, 2, 3]);
    let report = fsck_of(house).await;
    assert!(report.findings.iter().any(|found| found.code == "hold_damaged"), "{report:#?}");
}
