//! A log with every kind of record, by the parts that run, and what fsck says once one of them is changed.

mod flips;
mod raw;
mod seals;
mod strange;
mod told;
mod world;

use super::{Finding, FsckReport};
use world::World;

/// Does the finding name this record, as its place or in its words?
fn names(finding: &Finding, place: &str) -> bool {
    let in_words = finding.message.match_indices(place).any(|(at, _)| {
        let behind = finding.message[at + place.len()..].chars().next();
        behind.is_none_or(|next| !next.is_alphanumeric())
    });
    finding.place == place || in_words
}

#[test]
fn a_log_with_every_kind_of_record_is_good() {
    let world = World::build(300);
    let mut told = Vec::new();
    let report = world.fsck_telling(&mut |done, all| told.push((done, all)));
    assert_eq!(report, FsckReport { findings: Vec::new(), ..report.clone() });
    assert!(report.is_good() && report.found.is_empty() && report.is_opened);
    assert!(report.entries > 300, "{report:?}");
    assert_eq!(report.tiles, report.entries / 256);
    assert_eq!((report.disclosures, report.erased), (world.disclosures, 0));
    assert!(report.keys > 20 && report.keys < report.disclosures, "{report:?}");
    // The ledger's own, alpha's, beta's, and the two that forked: one with events and one without.
    assert_eq!(report.chains, 5);
    assert!(report.seals >= 3, "{report:?}");
    // The key of beta is registered no more.
    let unverified: Vec<_> = report.seals_without_key.iter().collect();
    assert!(unverified.len() == 1 && unverified[0].0.starts_with("beta+"), "{unverified:?}");
    assert_eq!(*unverified[0].1, 2);
    assert!(report.bytes > 50_000);
    assert_eq!(told.last(), Some(&(report.entries, report.entries)));
}
