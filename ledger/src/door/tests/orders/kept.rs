//! Retention that waits for a person.

use super::super::eventually;
use super::{Caller, DAY_NS, House, ROLES, fsck_of};
use crate::Options;
use crate::clock::unix_now_ns;
use crate::retention::{Keep, RetentionClass};

fn keeping(days: u32) -> std::collections::BTreeMap<String, RetentionClass> {
    let class = RetentionClass { servers: vec!["chat".into()], keep: Keep::Days(days) };
    [("chats".to_owned(), class)].into()
}

/// Break it: let `retain` not ask `holds_back`, or `Caution::at` remember what waits.
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
