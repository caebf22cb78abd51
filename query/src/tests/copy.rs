//! The follower's core against a real log: contradictions, sealing, restart, erasure, proofs.

use std::fs;

use proto::kind::Kind;
use proto::v1::{self, Slot};
use tlog::{Checkpoint, TreeSize, verify_consistency};

use super::fixture::{SECOND_NS, START_NS, TestLog, checkpoint_message, follow, log_key, open};
use crate::archive::Archive;
use crate::config::Limits;
use crate::follower::contradiction::{ContradictionKind, Kept};
use crate::follower::copy::{CopyError, LocalCopy, OpenError};

fn limits(segment_rows: usize) -> Limits {
    Limits { segment_rows, ..Limits::default() }
}

/// What the follower finds wrong after `good` verified leaves, when `bad` is sent.
fn contradiction(
    log: &TestLog,
    good: u64,
    bad: impl FnOnce() -> Vec<v1::SubscribeResponse>,
) -> ContradictionKind {
    let dir = tempfile::tempdir().unwrap();
    let mut copy = open(&dir, &Limits::default());
    for message in log.run(0..good) {
        copy.take(message).unwrap();
    }
    for message in bad() {
        match copy.take(message) {
            Ok(_) => {}
            Err(CopyError::Contradiction(found)) => {
                let kept = Kept::load(dir.path()).unwrap().unwrap();
                assert_eq!(kept.reason, found.to_string());
                assert_eq!(kept.known_checkpoint, Some(log.note(good)));
                return found.kind;
            }
            Err(CopyError::Rows(error)) => panic!("{error}"),
        }
    }
    panic!("the follower believed it");
}

#[test]
fn every_contradiction_is_found() {
    let log = TestLog::of_exchanges(4);
    let good = 10;
    let rest = good..log.len();

    let mut forged = log.clone();
    forged.entries[12] = forged.entries[11].clone();
    let kind = contradiction(&log, good, || forged.run(rest.clone()).into());
    assert!(matches!(kind, ContradictionKind::Time { index: 12, .. }), "{kind}");

    let mut cut = log.clone();
    cut.entries[12].entry = cut.entries[12].entry.slice(1..);
    let kind = contradiction(&log, good, || cut.run(rest.clone()).into());
    assert!(matches!(kind, ContradictionKind::Leaf { index: 12, .. }), "{kind}");

    let kind = contradiction(&log, good, || vec![log.entries_message(11..13)]);
    assert!(matches!(kind, ContradictionKind::Gap { expected: 10, offered: 11 }), "{kind}");

    // The ledger sends other leaves than it signed.
    let mut other = TestLog::of_exchanges(2);
    for number in 10..12 {
        other.exchange(number);
    }
    let kind = contradiction(&log, good, || {
        vec![other.entries_message(rest.clone()), checkpoint_message(log.note(log.len()))]
    });
    assert!(matches!(kind, ContradictionKind::Root { .. }), "{kind}");

    let kind = contradiction(&log, good, || {
        vec![log.entries_message(10..12), checkpoint_message(log.note(13))]
    });
    assert!(matches!(kind, ContradictionKind::Size { .. }), "{kind}");

    let kind = contradiction(&log, good, || vec![checkpoint_message(log.note(9))]);
    assert!(matches!(kind, ContradictionKind::SizeWentBack { .. }), "{kind}");

    let split = Checkpoint { root: log.hash(0), ..log.checkpoint(good) }.sign(&log_key());
    let kind = contradiction(&log, good, || vec![checkpoint_message(split)]);
    assert!(matches!(kind, ContradictionKind::SplitView { .. }), "{kind}");

    let stranger = tlog::SigningKey::from_seed("log.example/test", [8; 32]).unwrap();
    let unsigned = log.checkpoint(good).sign(&stranger);
    let kind = contradiction(&log, good, || vec![checkpoint_message(unsigned)]);
    assert!(matches!(kind, ContradictionKind::Checkpoint(_)), "{kind}");

    let mut doctored = log.clone();
    let request = (good..).find(|i| !log.entries[*i as usize].openings.is_empty()).unwrap();
    doctored.entries[request as usize].openings[0].content = "{}".into();
    let kind = contradiction(&log, good, || doctored.run(rest.clone()).into());
    assert!(matches!(kind, ContradictionKind::Opening { .. }), "{kind}");

    let mut surplus = log.clone();
    let mut extra = surplus.entries[request as usize].openings[0].clone();
    extra.slot = Slot::Snapshot.into();
    surplus.entries[request as usize].openings.push(extra);
    let kind = contradiction(&log, good, || surplus.run(rest.clone()).into());
    assert!(matches!(kind, ContradictionKind::Opening { .. }), "{kind}");
}

#[test]
fn withheld_openings_are_no_contradiction() {
    let mut log = TestLog::of_exchanges(2);
    for entry in &mut log.entries {
        entry.openings.retain(|opening| opening.slot != Slot::Message as i32);
    }
    let dir = tempfile::tempdir().unwrap();
    let view = follow(&mut open(&dir, &Limits::default()), &log, 3);
    assert_eq!(view.size(), log.len());
}

#[test]
fn the_first_contradiction_stays() {
    let dir = tempfile::tempdir().unwrap();
    let log = TestLog::of_exchanges(1);
    let mut copy = open(&dir, &Limits::default());
    copy.take(log.entries_message(0..2)).unwrap();
    assert!(copy.take(checkpoint_message(log.note(1))).is_err());
    let first = fs::read(dir.path().join("contradiction.json")).unwrap();
    assert!(copy.take(log.entries_message(4..5)).is_err());
    assert_eq!(fs::read(dir.path().join("contradiction.json")).unwrap(), first);
    fs::write(dir.path().join("contradiction.json"), "{").unwrap();
    assert!(Kept::load(dir.path()).unwrap().is_some(), "an unreadable one is not forgotten");
}

#[tokio::test]
async fn a_restarted_copy_equals_one_that_never_stopped() {
    let log = TestLog::of_exchanges(60);
    let whole_dir = tempfile::tempdir().unwrap();
    let whole = Archive::new(follow(&mut open(&whole_dir, &limits(1_000_000)), &log, 300));

    let dir = tempfile::tempdir().unwrap();
    let mut restarts = 0;
    let mut archive = None;
    // Stops at every 23rd leaf, with leaves read that no checkpoint covers.
    for stop in (23..log.len()).step_by(23).chain([log.len()]) {
        let mut copy = open(&dir, &limits(32));
        assert!(copy.next_index() < stop);
        restarts += u32::from(copy.next_index() > 0);
        while copy.next_index() < stop {
            let range = copy.next_index()..stop.min(copy.next_index() + 7);
            for message in log.run(range) {
                copy.take(message).unwrap();
            }
        }
        archive = copy.view().map(Archive::new);
        if stop < log.len() {
            copy.take(log.entries_message(stop..stop + 1)).unwrap();
        }
    }
    assert!(restarts > 5);
    let archive = archive.unwrap();
    assert!(archive.view().parts.len() > 5, "segments and recent rows");
    let all = 0..log.len();
    let leaves: Vec<_> = log.leaves(all.clone()).map(|leaf| leaf.1).collect();
    assert_eq!(archive.leaves(all.clone()).await.unwrap(), leaves);
    assert_eq!(whole.leaves(all.clone()).await.unwrap(), leaves);
    assert_eq!(archive.disclosures(all.clone()).await.unwrap(), log.openings());
    assert_eq!(archive.leaves(40..41).await.unwrap(), leaves[40..41]);
    assert!(archive.leaves(0..log.len() + 1).await.is_err());
    assert_eq!(archive.checkpoint(), whole.checkpoint());
    assert_eq!(archive.older_checkpoints()[0].0.size, TreeSize(7));
}

#[tokio::test]
async fn proofs_of_an_archive_verify() {
    let log = TestLog::of_exchanges(120);
    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::new(follow(&mut open(&dir, &limits(100)), &log, 50));
    let (checkpoint, note) = archive.checkpoint();
    assert_eq!(note, log.note(log.len()));
    for index in [0, 1, 255, 256, 511, log.len() - 1] {
        let proof = archive.inclusion_proof(index).unwrap();
        proof.verify(&log.hash(index), &log_key().verifying_key()).unwrap();
    }
    for (start, end) in [(0, 0), (0, log.len()), (100, 300), (256, 512), (599, 600)] {
        let proof = archive.range_proof(start, end).unwrap();
        let hashes = (start..end).map(|index| log.hash(index));
        proof.verify(checkpoint.size, &checkpoint.root, hashes).unwrap();
    }
    for old in [1, 255, 256, 257, 599] {
        let proof = archive.consistency_proof(TreeSize(old)).unwrap();
        let before = log.checkpoint(old);
        verify_consistency(TreeSize(old), checkpoint.size, &before.root, &checkpoint.root, &proof)
            .unwrap();
    }
    assert!(archive.inclusion_proof(log.len()).is_err());
    let at = |index: u64| START_NS + index * SECOND_NS + 5;
    assert_eq!(archive.first_at_or_after(0).await.unwrap(), Some(0));
    for index in [1, 99, 100, 101, 599] {
        assert_eq!(archive.first_at_or_after(at(index)).await.unwrap(), Some(index));
        assert_eq!(archive.first_at_or_after(at(index) - 1).await.unwrap(), Some(index));
    }
    assert_eq!(archive.first_at_or_after(at(599) + 1).await.unwrap(), None);
    assert_eq!(archive.first_at_or_after(u64::MAX).await.unwrap(), None);
}

#[test]
fn after_a_restart_other_leaves_are_found_out() {
    let log = TestLog::of_exchanges(20);
    let dir = tempfile::tempdir().unwrap();
    follow(&mut open(&dir, &limits(40)), &log, 60);
    // Another history of the same length and longer, signed by the log's own key.
    let mut other = TestLog::of_exchanges(13);
    for number in 100..110 {
        other.exchange(number);
    }
    let mut copy = open(&dir, &limits(40));
    let resumed = copy.next_index();
    assert!((1..log.len()).contains(&resumed), "{resumed}");
    assert!(copy.view().is_none(), "the known checkpoint is not reached yet");
    copy.take(other.entries_message(resumed..other.len())).unwrap();
    let Err(CopyError::Contradiction(found)) =
        copy.take(checkpoint_message(other.note(other.len())))
    else {
        panic!("the follower believed another history");
    };
    assert!(matches!(found.kind, ContradictionKind::OtherHistory { .. }), "{found}");
    assert!(found.known_note.is_some() && found.offered_note.is_some());
}

#[test]
fn a_folder_of_another_log_or_a_damaged_one_is_refused() {
    let log = TestLog::of_exchanges(20);
    let dir = tempfile::tempdir().unwrap();
    follow(&mut open(&dir, &limits(40)), &log, 60);
    let other = tlog::SigningKey::from_seed("other.example", [1; 32]).unwrap().verifying_key();
    let refused = LocalCopy::open(dir.path(), other, &limits(40)).unwrap_err();
    assert!(matches!(refused, OpenError::OtherLog { .. }), "{refused}");

    let key = || log_key().verifying_key();
    let nodes = dir.path().join("nodes/level-0");
    let mut bytes = fs::read(&nodes).unwrap();
    bytes[100] ^= 1;
    fs::write(&nodes, &bytes).unwrap();
    let refused = LocalCopy::open(dir.path(), key(), &limits(40)).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    fs::write(&nodes, &bytes[..64]).unwrap();
    let refused = LocalCopy::open(dir.path(), key(), &limits(40)).unwrap_err();
    assert!(matches!(refused, OpenError::Rows(_)), "{refused}");
}

#[test]
fn a_copy_goes_on_under_the_next_key_of_its_log() {
    let log = TestLog::of_exchanges(20);
    let dir = tempfile::tempdir().unwrap();
    follow(&mut open(&dir, &limits(40)), &log, 60);
    let next = tlog::SigningKey::from_seed(log_key().name(), [9; 32]).unwrap();
    let reopened = || {
        let mut copy = LocalCopy::open(dir.path(), next.verifying_key(), &limits(40)).unwrap();
        let from = copy.next_index();
        assert!(from >= 40, "read anew from {from}");
        copy.take(log.entries_message(from..log.len())).unwrap();
        copy
    };
    let note = log.checkpoint(log.len()).sign(&next);
    let view = reopened().take(checkpoint_message(note)).unwrap().unwrap();
    assert_eq!(view.size(), log.len());
    // What only the key of before has signed is not believed any more.
    let refused = reopened().take(checkpoint_message(log.note(log.len()))).unwrap_err();
    assert!(matches!(refused, CopyError::Contradiction(_)), "{refused}");
}

#[tokio::test]
async fn erased_disclosures_are_gone_from_segments_and_memory() {
    let mut log = TestLog::of_exchanges(20);
    // One that is sealed by then, and one that is not; then erasures that name a leaf of another hash, and one to come,
    // which take nothing.
    let (own, other) = (log.len() + 3, log.hash(5));
    let named = [(1, log.hash(1)), (96, log.hash(96)), (2, other), (own, other)];
    for (leaf_index, hash) in named {
        let event_id = proto::decode_entry(&log.entries[2].entry).unwrap().event.event_id;
        let event = v1::DisclosureErased {
            event_id,
            slots: vec![Slot::Principal.into()],
            leaf_index,
            leaf_hash: hash.0.to_vec().into(),
            ..Default::default()
        };
        log.push(Kind::DisclosureErased(event), b"", b"", &[]);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut copy = open(&dir, &limits(40));
    let archive = Archive::new(follow(&mut copy, &log, 60));
    let gone = |index: u64, slot: i32| matches!(index, 1 | 96) && slot == Slot::Principal as i32;
    let left: Vec<_> =
        log.openings().into_iter().filter(|(index, o)| !gone(*index, o.slot)).collect();
    assert_eq!(left.len() + 2, log.openings().len());
    assert_eq!(archive.disclosures(0..log.len()).await.unwrap(), left);
    for file in fs::read_dir(dir.path().join("segments")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".parquet"), "{name} was left behind");
    }
}
