//! What a recorder says of an exchange after it ended, or was erased.

use proto::v1::Slot;
use serde_json::{Value, json};

use super::{Caller, DAY_NS, House, ROLES, code, erase, fresh_id, fsck_of};
use super::{Kind, StatusCode};
use crate::retention::{Keep, RetentionClass};
use crate::sequencer::Rider;
use crate::store::StoredKey;
use crate::vault;

/// Texts of MESSAGE that are still disclosed of an exchange.
fn messages(house: &House, exchange: u8) -> Vec<String> {
    let leaves = house.leaves().into_iter();
    let of_exchange = leaves.filter(|(leaf, _)| leaf.event.exchange_id.first() == Some(&exchange));
    let message = |slot: i32| slot == i32::from(Slot::Message);
    of_exchange
        .flat_map(|(_, openings)| openings)
        .filter(|opening| message(opening.slot))
        .map(|opening| String::from_utf8(opening.content.to_vec()).unwrap())
        .collect()
}

/// Break it: let `Sealer::key` go by its cache alone, `Worker::seal_anew` do nothing, or `keyspace` delete keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_may_be_erased_while_its_stream_goes_on() {
    let mut house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    let on_its_way = caller.message(1, "sealed before the erasure");
    let (status, done) = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert_eq!((status, &done["leaves"]), (StatusCode::OK, &json!(2)), "{done}");
    caller.submit(on_its_way).await;
    let after = caller.message(1, "sealed after it");
    caller.submit(after).await;
    let both = ["sealed before the erasure", "sealed after it"];
    assert_eq!(messages(&house, 1), both);

    // The stream opens again after a restart, and goes on in its epoch.
    let (epoch, head) = (caller.epoch, caller.intake.head().copied());
    drop(caller);
    house = house.restart().await;
    let mut caller = Caller::continued(&house, epoch, head);
    let third = caller.message(1, "after a restart");
    caller.submit(third).await;
    let all = [both[0], both[1], "after a restart"];
    assert_eq!(messages(&house, 1), all);
    let event = house.leaves().into_iter().find(|(leaf, _)| !leaf.event.exchange_id.is_empty());
    let id = vault::key_id(&event.unwrap().0.event);
    assert_eq!(house.doors().store.disclosure_key(&id).unwrap(), StoredKey::Destroyed);

    // What came late can be erased as well, and nothing else of it is counted twice.
    let (status, done) = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    assert_eq!((status, &done["leaves"], &done["keys"]), (StatusCode::OK, &json!(3), &json!(3)));
    assert!(messages(&house, 1).is_empty());
    let again = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    assert_eq!(code(&again), (404, "already_erased"));
    drop(caller);
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!(report.erased, 6);
}

/// Break it: let `proto::erasure::Erasures` go by the event id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_id_that_stands_twice_erases_nobody_elses_disclosures() {
    let house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    let id = fresh_id();
    for (exchange, subject) in [(1, "victim"), (2, "impostor")] {
        caller.request(exchange, subject, "chat").await;
        let closing = Kind::ResponseReturned(proto::v1::ResponseReturned::default());
        let answer = caller.sealed(exchange, closing, &[(Slot::Message, subject)], id.clone());
        caller.submit(answer).await;
    }
    let (status, done) = house.ordered(erase(&json!({ "subject": "impostor" }))).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(house.disclosed_exchanges(), [1]);
    // Were the victim's message lost now, nothing would excuse it.
    let victim = house
        .leaves()
        .into_iter()
        .position(|(leaf, openings)| leaf.event.event_id == id[..] && !openings.is_empty());
    let erased = house.kinds().into_iter().filter_map(|kind| match kind {
        Kind::DisclosureErased(erased) => Some(erased.leaf_index),
        _ => None,
    });
    let erased: Vec<_> = erased.collect();
    assert!(!erased.contains(&(victim.unwrap() as u64)), "{erased:?}");
    assert_eq!(erased.len(), 2);
    drop(caller);
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}

/// Break it: let `is_over` not ask `late`, `due` not keep what is not over, or forget what came late once one class has no
/// use for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_counts_from_the_last_event_of_an_exchange() {
    let house = House::build_with(&ROLES, |config| {
        let class = |server: &str, days| RetentionClass {
            servers: vec![server.into()],
            keep: Keep::Days(days),
        };
        // The first to be looked at is through with everything long before.
        config.retention =
            [("a".to_owned(), class("none", 1)), ("chats".to_owned(), class("chat", 30))].into();
    })
    .await;
    let mut caller = Caller::start(&house, 1);
    // One that stays open before one that ends, and in which a message comes late.
    caller.request(1, "alice", "chat").await;
    caller.exchange(2, "alice", "chat", "the answer").await;
    let late = caller.message(2, "late");
    let late_ns = caller.submit(late).await;
    caller.exchange(3, "alice", "chat", "another").await;
    let erasures = house.doors().erasures.unwrap();
    let days = 30 * DAY_NS;

    assert_eq!(erasures.retain(late_ns + days).await.unwrap(), 0, "the last event is not due");
    assert_eq!(erasures.retain(late_ns + 1 + days).await.unwrap(), 3);
    assert_eq!(house.disclosed_exchanges(), [1, 3]);
    let later = crate::clock::unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(later).await.unwrap(), 2);
    assert_eq!(house.disclosed_exchanges(), [1]);
    // It ends at last: its first leaf is far behind what was looked at.
    let closing = Kind::ResponseReturned(proto::v1::ResponseReturned {
        call: Some(proto::v1::Call { server: "chat".into(), ..Default::default() }),
        ..Default::default()
    });
    caller.record(1, closing, &[(Slot::Message, "the end")]).await;
    let later = crate::clock::unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(later).await.unwrap(), 2);
    assert!(house.disclosed_exchanges().is_empty());
    drop((erasures, caller));
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
}

/// Break it: let fsck look at index and slots of an erasure alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_names_another_leaf_is_found_by_fsck() {
    let house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    drop(caller);
    assert_eq!(house.ordered(erase(&json!({ "subject": "alice" }))).await.0, StatusCode::OK);
    let erased = house.kinds().into_iter().find_map(|kind| match kind {
        Kind::DisclosureErased(erased) => Some(erased),
        _ => None,
    });
    let mut again = erased.unwrap();
    again.leaf_hash = vec![7; 32].into();
    let event = (Kind::DisclosureErased(again), Vec::new());
    house.doors().own.record_with(vec![event], Rider::default()).await.unwrap();
    let report = fsck_of(house).await;
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["erasure_invalid"], "{:#?}", report.findings);
}

/// Two classes, of which the one without an exchange is visited first. Break it: let `followed` look at those classes alone
/// that were followed already, or `begin_again` keep what is known of late messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_message_keeps_its_exchange_whatever_other_classes_there_are() {
    let house = House::build_with(&ROLES, |config| {
        let class = |server: &str, days| RetentionClass {
            servers: vec![server.to_owned()],
            keep: Keep::Days(days),
        };
        config.retention =
            [("a".to_owned(), class("files", 1)), ("b".to_owned(), class("chat", 30))].into();
    })
    .await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    let late = caller.message(1, "late");
    let late_ns = caller.submit(late).await;
    let erasures = house.doors().erasures.unwrap();
    let before = late_ns + 30 * DAY_NS;
    assert_eq!(erasures.retain(before).await.unwrap(), 0, "on the first pass");
    let hold = json!({ "kind": "hold", "scope": { "subject": "bob" }, "reason": "a lawsuit" });
    assert_eq!(house.ordered(hold).await.0, StatusCode::OK);
    assert_eq!(erasures.retain(before).await.unwrap(), 0, "after a hold was placed");
    assert_eq!(erasures.retain(before + 1).await.unwrap(), 3);
    drop((erasures, caller));
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 4, "{:#?}", report.findings);
}

/// Break it: let `Unit::add` not mark what came after its exchange was erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_on_somebody_keeps_what_came_after_its_exchange_was_erased() {
    let house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    assert_eq!(house.ordered(erase(&json!({ "subject": "alice" }))).await.0, StatusCode::OK);
    let late = caller.message(1, "late");
    caller.submit(late).await;
    let hold = json!({ "kind": "hold", "scope": { "subject": "alice" }, "reason": "a lawsuit" });
    assert_eq!(house.ordered(hold).await.0, StatusCode::OK);
    let refused = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    assert_eq!(code(&refused), (409, "held"));
    assert_eq!(messages(&house, 1), ["late"]);
}

/// Who asked for an erasure, and who approved, cannot be erased by the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_an_order_stays() {
    let house = House::build(&ROLES).await;
    Caller::start(&house, 1).exchange(1, "alice", "chat", "the answer").await;
    let all = erase(&json!({ "before_ns": u64::MAX }));
    assert_eq!(house.ordered(all.clone()).await.0, StatusCode::OK);
    let recorded = house.recorded_orders().len();
    assert_eq!(recorded, 2);
    let again = house.ordered(all).await;
    assert_eq!(code(&again), (404, "already_erased"));
    assert_eq!(house.recorded_orders().len(), recorded + 1);
    let nobody = json!({ "kind": "hold", "scope": { "subject": "alise" }, "reason": "a typo" });
    let (_, asked) = house.order("compliance", "/v1/orders", nobody).await;
    assert_eq!(asked["covers"], 0);
    assert_ne!(asked["order"], Value::Null);
}

/// Break it: let `Ended` not ask for an open stream, or `has_stopped` say no.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_recorder_left_open_can_be_erased() {
    let house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "alice", "chat").await;
    let (epoch, head) = (caller.epoch, caller.intake.head().copied());
    drop(caller);
    let wanted = erase(&json!({ "subject": "alice" }));
    assert_eq!(
        code(&house.ordered(wanted.clone()).await),
        (409, "exchanges_open"),
        "it may return"
    );
    let mut caller = Caller::continued(&house, epoch, head);
    let stopped = Kind::RecorderStopped(proto::v1::RecorderStopped { drained: false });
    caller.record(9, stopped, &[]).await;
    let refused = house.ordered(wanted.clone()).await;
    assert_eq!(code(&refused), (409, "exchanges_open"), "its stream is open");
    drop(caller);
    let (status, done) = house.ordered(wanted).await;
    assert_eq!((status, &done["leaves"]), (StatusCode::OK, &json!(1)), "{done}");
    assert!(house.disclosed_exchanges().is_empty());
}

/// Break it: let `has_stopped` look at the newest entries only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_found_however_far_from_its_seal() {
    let house = House::build(&ROLES).await;
    let mut stopping = Caller::start(&house, 1);
    stopping.request(1, "alice", "chat").await;
    let stopped = Kind::RecorderStopped(proto::v1::RecorderStopped { drained: false });
    stopping.record(9, stopped, &[]).await;
    let mut other = Caller::start(&house, 2);
    other.request(2, "bob", "chat").await;
    other.messages(2, 2_100).await;
    stopping.seal().await;
    drop(stopping);
    let wanted = erase(&json!({ "exchange": "01".repeat(16) }));
    let (status, done) = house.ordered(wanted).await;
    assert_eq!((status, &done["leaves"]), (StatusCode::OK, &json!(1)), "{done}");
}
