//! What a recorder says of the epoch before, against what the log has of it.

use proto::chain::ChainHead;
use proto::ids::Id;
use verifier::Report;

use crate::export::check;
use crate::world::World;

/// A package of the whole log in which the gateway restarted and said that it had left off so.
fn verified(left_off: impl FnOnce(Id, ChainHead) -> (Id, ChainHead)) -> Report {
    let world = World::restarted(left_off);
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    check(&world, &package)
}

#[test]
fn a_restart_that_tells_the_truth_verifies() {
    let report = verified(|epoch, head| (epoch, head));
    assert!(report.ok(), "{report}");
}

#[test]
fn an_epoch_that_the_whole_log_has_nothing_of_is_missed() {
    let report = verified(|_, head| (Id([0x66; 16]), head));
    assert_eq!(report.codes(), ["chains.restart"], "{report}");
}

#[test]
fn events_that_never_reached_the_log_are_missed() {
    let report = verified(|epoch, head| (epoch, ChainHead { sequence: head.sequence + 3, ..head }));
    assert_eq!(report.codes(), ["chains.lost"], "{report}");
}

#[test]
fn another_last_event_is_a_contradiction() {
    let report = verified(|epoch, head| (epoch, ChainHead { hash: [9; 32], ..head }));
    assert_eq!(report.codes(), ["chains.restart"], "{report}");
}

fn continuing(is_first: bool) -> Report {
    let world = World::continuing(is_first);
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    check(&world, &package)
}

#[test]
fn a_log_that_continues_another_verifies_and_says_so() {
    let report = continuing(true);
    assert!(report.ok(), "{report}");
    let remark = report.remarks.iter().find(|remark| remark.word == "LOG CONTINUED").unwrap();
    assert!(remark.meaning.contains("the newest 4 of those are lost"), "{report}");
}

#[test]
fn only_the_first_leaf_says_what_a_log_continues() {
    let report = continuing(false);
    assert_eq!(report.codes(), ["chains.start"], "{report}");
}
