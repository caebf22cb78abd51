//! Exchanges of more leaves than one commit takes, and more of them than may wait.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::v1::DisclosureErased;
use serde_json::json;
use tlog::LeafIndex;

use super::{Caller, DAY_NS, House, Kind, ROLES, Secrets, StatusCode, code, erase, fsck_of};
use crate::erase::unit::MAX_LEAVES;
use crate::retention::{Keep, RetentionClass};
use crate::sequencer::Rider;
use crate::store::StoredKey;
use crate::vault;

async fn house() -> House {
    House::build_with(&ROLES, |config| {
        let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(30) };
        config.retention = [("chats".to_owned(), class)].into();
    })
    .await
}

/// When everything that is there is due.
fn in_31_days() -> u64 {
    crate::clock::unix_now_ns() + 31 * DAY_NS
}

/// Disclosures of all exchanges that are stored.
fn disclosures(house: &House) -> usize {
    let store = house.doors().store;
    let size = store.head().unwrap().unwrap().size.0;
    let entries = store.entries(LeafIndex(0), usize::MAX, usize::MAX).unwrap();
    let is_exchange: Vec<bool> = entries
        .iter()
        .map(|entry| !proto::decode_entry(entry).unwrap().event.exchange_id.is_empty())
        .collect();
    let mut count = 0;
    let mut see = |index: LeafIndex, _: i32, _: &[u8]| {
        count += usize::from(is_exchange[usize::try_from(index.0).unwrap()]);
    };
    store.disclosed(0..size, &mut see).unwrap();
    count
}

/// Break it: let `due` go no further than what waits, count leaves for room, or let `erase` take the first part alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_exchange_holds_up_nothing_and_goes_in_several_commits() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "alice", "chat").await;
    caller.messages(1, MAX_LEAVES + 10).await;
    caller.exchange(2, "bob", "chat", "the answer").await;
    let erasures = house.doors().erasures.unwrap();
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 2, "what stands behind it");
    caller.close(1, "chat").await;
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), MAX_LEAVES + 12);
    drop((erasures, caller));
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!(report.erased, 3 + MAX_LEAVES as u64 + 13);
}

/// Break it: let `check_size` refuse one exchange, or `erase` destroy the key with every part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_exchange_is_erased_by_order_alone() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    for number in [1, 2] {
        caller.request(number, "alice", "chat").await;
        caller.messages(number, if number == 1 { MAX_LEAVES } else { 1 }).await;
        caller.close(number, "chat").await;
    }
    let refused = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert_eq!(code(&refused), (422, "erasure_too_large"));
    let store = house.doors().store;
    let key = Secrets::of(&*store, &[1]).key_ids[0];
    let watching = std::thread::spawn(move || {
        while store.disclosure_key(&key).unwrap() != StoredKey::Destroyed {
            std::thread::sleep(Duration::from_millis(1));
        }
        store.head().unwrap().unwrap().size.0
    });
    let (status, done) = house.ordered(erase(&json!({ "exchange": "01".repeat(16) }))).await;
    let destroyed_at = watching.join().unwrap();
    let entries = house.doors().store.entries(LeafIndex(0), usize::MAX, usize::MAX).unwrap();
    let kind = |entry: &bytes::Bytes| proto::decode_entry(entry).unwrap().event.kind;
    let last =
        entries.iter().rposition(|entry| matches!(kind(entry), Some(Kind::DisclosureErased(_))));
    assert!(destroyed_at > last.unwrap() as u64, "the key went at {destroyed_at}, before {last:?}");
    assert_eq!((status, &done["keys"]), (StatusCode::OK, &json!(1)), "{done}");
    assert_eq!(done["leaves"], MAX_LEAVES + 2);
    let kept = disclosures(&house);
    assert_eq!(kept, 4, "the other exchange is whole");
    drop(caller);
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
}

/// A crash between two commits of a large exchange. Break it: let `erase` begin with the first part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_leaves_of_a_large_exchange_is_found_again() {
    let mut house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "alice", "chat").await;
    caller.messages(1, 3).await;
    caller.close(1, "chat").await;
    drop(caller);
    // The last leaf has gone, and the key is there.
    let gone = Secrets::of(&*house.doors().store, &[1]);
    let event: &DisclosureErased = gone.events.last().unwrap();
    let erased = event.slots.iter().map(|slot| (LeafIndex(event.leaf_index), *slot)).collect();
    let rider = Rider { erased, ..Rider::default() };
    let events = vec![(Kind::DisclosureErased(event.clone()), Vec::new())];
    house.doors().own.record_with(events, rider).await.unwrap();
    house = house.restart().await;
    assert_eq!(house.disclosed_exchanges(), [1]);
    let erasures = house.doors().erasures.unwrap();
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 4);
    assert!(house.disclosed_exchanges().is_empty());
    let store = house.doors().store;
    assert_eq!(store.disclosure_key(&gone.key_ids[0]).unwrap(), StoredKey::Destroyed);
    drop((erasures, store));
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 6, "{:#?}", report.findings);
}

/// Break it: let `due` not look `later` when it is full, or `tell_full` say nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_is_told_and_ends_with_what_waits() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    for number in [1, 2] {
        caller.request(number, "alice", "chat").await;
    }
    let doors = house.doors();
    let erasures = doors.erasures.unwrap();
    erasures.with_room(1).await;
    let is_told = || doors.health.warnings().iter().any(|w| w.contains("retention waits"));
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 0);
    caller.exchange(3, "bob", "chat", "the answer").await;
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 0, "there is no room for it");
    assert!(is_told());
    caller.close(1, "chat").await;
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 2);
    assert!(is_told());
    caller.close(2, "chat").await;
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 4);
    assert!(!is_told() && house.disclosed_exchanges().is_empty());
    drop((erasures, caller));
}

/// Two exchanges that do not fit into one commit, and wait where there is no room for a third. Break it: let `due` put back what
/// does not fit with its later leaves, or `carry_through` purge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_fit_is_counted_once_and_a_pass_is_purged_once() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    let each = MAX_LEAVES * 3 / 5;
    for number in [1, 2] {
        caller.request(number, "alice", "chat").await;
        caller.messages(number, each).await;
    }
    let erasures = house.doors().erasures.unwrap();
    erasures.with_room(1).await;
    // Both are followed as far as the first of them and most of the second reach.
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 0);
    for number in [1, 2] {
        caller.close(number, "chat").await;
    }
    let purges = || erasures.purges.load(Ordering::Relaxed);
    let before = purges();
    assert_eq!(erasures.retain(in_31_days()).await.unwrap(), 2 * (each + 2));
    assert_eq!(purges() - before, 1);
    assert!(!house.doors().store.must_purge().unwrap() && disclosures(&house) == 0);
}

/// Break it: leave `keep_what_came_since` out of the sequencer's commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_between_the_look_and_the_commit_of_an_erasure_is_not_lost() {
    let house = house().await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    let gone = Secrets::of(&*house.doors().store, &[1]);
    let looked_to = house.doors().store.head().unwrap().unwrap().size.0;
    let between = caller.message(1, "came in between");
    caller.submit(between).await;
    let rider = Rider {
        erased: gone.places.iter().map(|(index, slot)| (LeafIndex(*index), *slot)).collect(),
        destroyed: gone.key_ids.clone(),
        looked_to,
        ..Rider::default()
    };
    let events = gone.events.iter().map(|event| (Kind::DisclosureErased(event.clone()), vec![]));
    house.doors().own.record_with(events.collect(), rider).await.unwrap();
    let left = house.leaves().into_iter().filter(|(leaf, _)| !leaf.event.exchange_id.is_empty());
    let left: Vec<_> = left.filter(|(_, openings)| !openings.is_empty()).collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1[0].content, "came in between");
    let own = vault::own_key_id(&left[0].0.event);
    assert!(house.doors().store.disclosure_key(&own).unwrap().usable().is_some());
    drop(caller);
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}
