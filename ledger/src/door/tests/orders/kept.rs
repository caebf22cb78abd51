//! Retention that waits, tells before it erases, and tells when it fails.

use std::fs;

use serde_json::json;

use super::super::eventually;
use super::{Caller, DAY_NS, House, ROLES, StatusCode, fsck_of};
use crate::Options;
use crate::clock::unix_now_ns;
use crate::retention::{Keep, RetentionClass};

fn keeping(days: u32) -> std::collections::BTreeMap<String, RetentionClass> {
    let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(days) };
    [("chats".to_owned(), class)].into()
}

fn is_warned(house: &House, of: &str) -> bool {
    house.doors().health.warnings().iter().any(|warning| warning.contains(of))
}

/// Break it: let `retain_told` not ask `holds_back`, or `Shortened::at` write down the days of what waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keep_that_was_shortened_erases_nothing_until_a_person_names_the_date() {
    let mut house = House::build_with(&ROLES, |config| config.retention = keeping(400)).await;
    Caller::start(&house, 1).exchange(1, "alice", "chat", "the answer").await;
    house.config.retention = keeping(4);
    let today = unix_now_ns() / DAY_NS;
    for confirmed in [None, Some(today - 100)] {
        let options = Options { retention_confirmed: confirmed, ..Options::default() };
        house = house.restart_with(options).await;
        let doors = house.doors();
        let is_told = || doors.health.warnings().iter().any(|w| w.contains("was kept 400 days"));
        eventually("it is told", is_told).await;
        let erasures = house.doors().erasures.unwrap();
        assert_eq!(erasures.retain(unix_now_ns() + 31 * DAY_NS).await.unwrap(), 0);
    }
    let options = Options { retention_confirmed: Some(today), ..Options::default() };
    house = house.restart_with(options).await;
    house = house.restart().await;
    let erasures = house.doors().erasures.unwrap();
    assert_eq!(erasures.retain(unix_now_ns() + 3 * DAY_NS).await.unwrap(), 0);
    assert_eq!(erasures.retain(unix_now_ns() + 5 * DAY_NS).await.unwrap(), 2);
    drop(erasures);
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}

/// Break it: let `pass_at` not ask the clock, take what it may not do yet for told, or erase at once; or let a release not count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_is_told_by_the_first_pass_that_may_erase_and_again_after_a_release() {
    let mut house = House::build_with(&ROLES, |config| config.retention = keeping(30)).await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "alice", "chat").await;
    caller.messages(1, 1_000).await;
    caller.close(1, "chat").await;
    drop(caller);
    let (today, later) = (unix_now_ns() / DAY_NS, unix_now_ns() + 31 * DAY_NS);
    let vouched = house.config.data_dir.join("clock-vouched");
    let long_ago = ((today - 3) * DAY_NS).to_string();
    let set = |_: &crate::store::RocksStore| fs::write(&vouched, long_ago).unwrap();
    house = house.restart_after(Options::default(), set).await;
    let mut told = None;
    let erasures = house.doors().erasures.unwrap();
    for _ in 0..2 {
        assert_eq!(erasures.pass_at(later, &mut told).await.unwrap(), 0, "nobody vouches");
        assert!(is_warned(&house, "retention waits for a clock") && told.is_none());
        assert!(!is_warned(&house, "about to erase"), "it is not");
    }
    drop(erasures);

    let options = Options { retention_confirmed: Some(today), ..Options::default() };
    house = house.restart_with(options).await;
    let erasures = house.doors().erasures.unwrap();
    let is_told = || is_warned(&house, "about to erase: up to 1002 leaves of chats");
    assert_eq!(erasures.pass_at(later, &mut told).await.unwrap(), 0);
    assert!(is_told() && !is_warned(&house, "retention waits for a clock"));
    let hold = json!({ "kind": "hold", "scope": { "subject": "alice" }, "reason": "a lawsuit" });
    let (status, placed) = house.ordered(hold).await;
    assert_eq!(status, StatusCode::OK, "{placed}");
    assert_eq!(erasures.pass_at(later, &mut told).await.unwrap(), 0, "it is held");
    assert!(!is_told(), "the pass is over");
    let release = json!({ "kind": "release", "hold": placed["hold"], "reason": "over" });
    assert_eq!(house.ordered(release).await.0, StatusCode::OK);
    assert_eq!(erasures.pass_at(later, &mut told).await.unwrap(), 0);
    assert!(is_told());
    assert_eq!(erasures.pass_at(later, &mut told).await.unwrap(), 1_002);
    assert!(!is_told());
}

/// Break it: let `now_ns` be the wall clock's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_goes_by_the_time_of_the_newest_entry() {
    let house = House::build(&ROLES).await;
    let newest_ns = || house.doors().store.head().unwrap().unwrap().recorded_at_ns;
    let before = newest_ns();
    let now_ns = house.doors().erasures.unwrap().now_ns().unwrap();
    assert!(before <= now_ns && now_ns <= newest_ns());
}

/// Break it: let a class that fails end the pass, or `tell_failed` tell it nobody, or without the store's words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_fails_is_told_and_the_next_one_has_its_turn() {
    let house = House::build_with(&ROLES, |config| {
        let class = |server: &str| RetentionClass {
            servers: vec![server.to_owned()],
            keep: Keep::Days(30),
        };
        config.retention =
            [("chats".to_owned(), class("chat")), ("files".to_owned(), class("files"))].into();
    })
    .await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "chat", "the answer").await;
    caller.exchange(2, "bob", "files", "another").await;
    drop(caller);
    // What an erasure must name cannot be read.
    let list = house.config.data_dir.join("backups");
    fs::write(&list, "not a backup\n").unwrap();
    let erasures = house.doors().erasures.unwrap();
    let later = unix_now_ns() + 31 * DAY_NS;
    assert_eq!(erasures.retain(later).await.unwrap(), 0);
    for class in ["chats", "files"] {
        let reason = format!("{class}: the store in");
        assert!(is_warned(&house, "retention failed") && is_warned(&house, &reason), "{class}");
    }
    assert!(is_warned(&house, "the list of backups cannot be read"));
    fs::remove_file(&list).unwrap();
    assert_eq!(erasures.retain(later).await.unwrap(), 4);
    assert!(!is_warned(&house, "retention failed"));
    assert!(house.disclosed_exchanges().is_empty());
}
