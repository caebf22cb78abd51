//! A checkpoint that the reader kept, against what a package can show of the log's growth.

use tlog::TreeSize;
use verifier::{EarlierCheckpoint, Material, Options, Outcome, Report};

use crate::doctored::{EXPORTED, all, left_open, verify_with};
use crate::export::outcome;
use crate::world::{World, snapshot};

/// A size left of the package's range, to which only a consistency proof leads.
const OLD: u64 = 2;

fn report(since: String, change: impl FnOnce(&mut Material)) -> Report {
    let files = EXPORTED.remade(change);
    let options = Options { since: Some(since), ..all() };
    verify_with(&files, &EXPORTED.world.keys.trust(), &options)
}

fn with_proof(material: &mut Material) {
    let world = &EXPORTED.world;
    material.earlier = vec![EarlierCheckpoint {
        size: OLD,
        note: world.checkpoint_at(OLD).1,
        consistency: evidence::Source::consistency_proof(world, TreeSize(OLD)).unwrap(),
    }];
}

/// Not verified, but not for any failure: nothing of it reads like tampering.
#[track_caller]
fn is_only_open(report: &Report, code: &str) {
    let reason = left_open(report, "consistency");
    assert!(reason.contains(code) && reason.contains("--since FILE"), "{reason}");
    assert!(reason.contains("says nothing against"), "{reason}");
    assert!(report.codes().is_empty(), "{report}");
    assert!(report.to_string().trim_end().ends_with("None failed."), "{report}");
}

#[test]
fn what_cannot_be_compared_is_no_contradiction() {
    let world = &EXPORTED.world;
    is_only_open(&report(world.checkpoint_at(OLD).1, |_| ()), "consistency.no_proof");
    let mut later = World::new();
    later.grow(&snapshot(true));
    let newest = later.entries.len() as u64;
    assert!(newest > world.entries.len() as u64);
    is_only_open(&report(later.checkpoint_at(newest).1, |_| ()), "consistency.since_newer");
}

#[test]
fn a_carried_proof_leads_from_the_kept_checkpoint() {
    let kept = EXPORTED.world.checkpoint_at(OLD).1;
    let report_ = report(kept.clone(), with_proof);
    assert!(report_.ok(), "{report_}");
    assert!(matches!(outcome(&report_, "consistency"), Outcome::Pass { .. }), "{report_}");
    // The same size with another root: the log told two histories.
    let (mut forked, _) = EXPORTED.world.checkpoint_at(OLD);
    forked.root = tlog::leaf_hash(b"another history");
    let report_ = report(forked.sign(&EXPORTED.world.keys.log), with_proof);
    assert_eq!(report_.codes(), ["consistency.forked"], "{report_}");
    // A proof that leads nowhere is the package's fault, not the log's.
    let report_ = report(kept, |material| {
        with_proof(material);
        material.earlier[0].consistency.pop();
    });
    assert_eq!(report_.codes(), ["checkpoints.inconsistent"], "{report_}");
    assert!(left_open(&report_, "consistency").contains("checkpoints.inconsistent"), "{report_}");
}

#[test]
fn doctored_leaves_do_not_make_the_log_a_forger() {
    let inside = EXPORTED.material.parameters.range.start + 3;
    let report = report(EXPORTED.world.checkpoint_at(inside).1, |material| {
        let mut leaf = proto::decode_entry(&material.leaves[1].bytes).unwrap();
        leaf.event.occurred_at_ns += 1;
        let event = proto::canonical::encode_event(&leaf.event).unwrap();
        material.leaves[1].bytes = proto::encode_entry(leaf.recorded_at_ns, &event);
    });
    let codes = report.codes();
    assert!(codes.contains(&"range.root"), "{report}");
    assert!(
        !codes.contains(&"consistency.forked") && !codes.contains(&"seals.split_view"),
        "{report}"
    );
}
