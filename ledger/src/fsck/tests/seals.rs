//! Seals that a recorder did not make, or not over what stands before them. No ledger takes such a one: whoever wrote it there
//! wrote into the store.

use proto::canonical::encode_event;
use proto::chain::{self, ChainHead};
use proto::entry::Leaf;
use proto::event_hash;
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::{Event, RecorderSeal, RecorderStopped};
use tlog::{Hash, SigningKey, TreeSize};

use crate::fsck::FsckReport;
use crate::fsck::chains::{Chains, Keys};

const EPOCH: Id = Id([7; 16]);

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, [seed; 32]).unwrap()
}

fn leaf(before: Option<&ChainHead>, kind: Kind) -> Leaf {
    let event = Event {
        event_id: vec![1; 16].into(),
        occurred_at_ns: 1,
        recorder: Some(chain::next(before, "alpha", &EPOCH.0)),
        kind: Some(kind),
        ..Event::default()
    };
    Leaf { recorded_at_ns: 1, event_bytes: encode_event(&event).unwrap(), event }
}

/// What is found in a chain of one event and its seal, changed.
fn found(change: impl FnOnce(&mut RecorderSeal)) -> (u64, Vec<String>) {
    let (log, alpha) = (key("log.example", 1), key("alpha", 2));
    let first = leaf(None, Kind::RecorderStopped(RecorderStopped { drained: true }));
    let head = ChainHead { sequence: 0, hash: event_hash(&first.event_bytes) };
    let seal = Seal {
        origin: "log.example",
        recorder_id: "alpha",
        epoch: EPOCH,
        head,
        checkpoint_size: TreeSize(0),
        checkpoint_root: Hash::empty_root(),
    };
    let mut sealed = RecorderSeal {
        sequence: head.sequence,
        hash: head.hash.to_vec().into(),
        checkpoint_size: 0,
        checkpoint_root: seal.checkpoint_root.0.to_vec().into(),
        key_id: alpha.verifying_key().key_id().to_vec().into(),
        signature: seal.sign(&alpha).to_vec().into(),
        clock: None,
    };
    change(&mut sealed);
    let (log, recorders) = (log.verifying_key(), [alpha.verifying_key()]);
    let mut chains = Chains::new(Keys { log: &log, recorders: &recorders });
    let mut report = FsckReport::default();
    chains.follow(0, &first, &mut report);
    chains.follow(1, &leaf(Some(&head), Kind::RecorderSeal(sealed)), &mut report);
    (report.seals, report.findings.into_iter().map(|finding| finding.code.to_string()).collect())
}

/// Break it: take every signature for good in `Chains::seal`, or every head for the one that is sealed.
#[test]
fn a_seal_that_is_not_the_recorders_is_found() {
    assert_eq!(found(|_| {}), (1, Vec::new()));
    let invalid = (0, vec!["seal_invalid".to_owned()]);
    let flipped = |seal: &mut RecorderSeal| {
        let mut signature = seal.signature.to_vec();
        signature[40] ^= 1;
        seal.signature = signature.into();
    };
    assert_eq!(found(flipped), invalid);
    assert_eq!(found(|seal| seal.checkpoint_size = 1), invalid);
    assert_eq!(found(|seal| seal.hash = vec![3; 32].into()), invalid);
    assert_eq!(found(|seal| seal.sequence = 1), invalid);
}
