//! Exchanges that are over, and what can come behind their end.

use proto::v1::{
    AuthenticationFailed, CallDenied, PolicyActivated, RequestReceived, ResponseReturned, Slot,
};
use serde_json::json;

use super::{Caller, DAY_NS, House, Kind, ROLES, StatusCode, code, erase, fresh_id, fsck_of};
use crate::retention::{Keep, RetentionClass};

async fn house() -> House {
    House::build_with(&ROLES, |config| {
        let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(30) };
        config.retention = [("chats".to_owned(), class)].into();
    })
    .await
}

/// No key is destroyed with a disclosure that no event names, whatever a recorder sends: what would look like another exchange
/// of the same id does not come in, and every answer behind the first counts. Break it: let `Sealer::seal` go without its look
/// at what begins, or `Late::see` take a closing event for a part of what has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_cannot_be_carried_on_behind_its_end_unseen() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    let (epoch, head) = (caller.epoch, caller.intake.head().copied());
    let asked = Kind::RequestReceived(RequestReceived::default());
    let refused = Kind::CallDenied(CallDenied::default());
    for kind in [asked, refused] {
        let again = caller.try_sealed(1, kind, &[(Slot::Message, "again")], fresh_id());
        assert!(again.is_err_and(|error| error.to_string().contains(&"01".repeat(16))));
        drop(caller);
        caller = Caller::continued(&house, epoch, head);
    }
    // A second answer, which names no request, comes in.
    let answer = Kind::ResponseReturned(ResponseReturned::default());
    let answer = caller.sealed(1, answer, &[(Slot::Message, "a second answer")], fresh_id());
    let late_ns = caller.submit(answer).await;
    let erasures = house.doors().erasures.unwrap();
    assert_eq!(erasures.retain(late_ns + 30 * DAY_NS).await.unwrap(), 0);
    assert_eq!(house.disclosed_exchanges(), [1]);
    assert_eq!(erasures.retain(late_ns + 1 + 30 * DAY_NS).await.unwrap(), 3);
    drop((erasures, caller));
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 4, "{:#?}", report.findings);
}

/// Break it: let `Sealer::key` not ask `has_own_key`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_erased_stays_whatever_exchange_it_names() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "mallory", "chat").await;
    let policy = PolicyActivated { snapshot_digest: vec![8; 32].into(), ..Default::default() };
    caller.record(1, Kind::PolicyActivated(policy), &[(Slot::Snapshot, "{}")]).await;
    caller.close(1, "chat").await;
    let (status, done) = house.ordered(erase(&json!({ "subject": "mallory" }))).await;
    assert_eq!((status, &done["leaves"]), (StatusCode::OK, &json!(2)), "{done}");
    let leaves = house.leaves();
    let is_policy = |kind: &Option<Kind>| matches!(kind, Some(Kind::PolicyActivated(_)));
    let policy = leaves.iter().find(|(leaf, _)| is_policy(&leaf.event.kind)).unwrap();
    assert_eq!(policy.1[0].content, "{}");
    drop(caller);
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}

/// Whoever knocks without a token must not be able to hold up retention. Break it: let `Unit::add` not ask `is_alone`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_alone_in_its_exchange_is_over_while_its_gateway_runs() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    for number in [1, 2] {
        let failed = AuthenticationFailed { server: "chat".into(), ..Default::default() };
        let failed = Kind::AuthenticationFailed(failed);
        caller.record(number, failed, &[(Slot::Client, "{}")]).await;
    }
    let (status, done) = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    assert_eq!((status, &done["open_exchanges"]), (StatusCode::OK, &json!(0)), "{done}");
    let erasures = house.doors().erasures.unwrap();
    let in_31_days = crate::clock::unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(in_31_days).await.unwrap(), 1);
    assert!(house.disclosed_exchanges().is_empty());
    drop((erasures, caller));
}

/// Break it: let `Ended::look` not ask whether the recorder is suspended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_suspended_recorder_left_open_is_over() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "alice", "chat").await;
    let wanted = erase(&json!({ "subject": "alice" }));
    caller.lease.suspend();
    assert_eq!(code(&house.ordered(wanted.clone()).await), (409, "exchanges_open"), "its stream");
    drop(caller);
    let (status, done) = house.ordered(wanted).await;
    assert_eq!((status, &done["leaves"]), (StatusCode::OK, &json!(1)), "{done}");
    assert!(house.disclosed_exchanges().is_empty());
}
