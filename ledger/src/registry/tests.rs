//! Who is let in, and where each chain stands.

use super::*;
use tlog::SigningKey;

#[test]
fn a_mark_of_as_many_recorders_as_may_be_is_an_event() {
    for name_bytes in [1, 20, 128] {
        let key = |n: u32| SigningKey::from_seed(&format!("{n:0>name_bytes$}"), [1; 32]);
        let mut keys = Vec::new();
        while largest_mark(&keys) <= MAX_MARK_BYTES {
            keys.push(key(keys.len() as u32).unwrap().verifying_key());
        }
        keys.pop();
        let chains = keys.iter().map(|key| StoredChain {
            recorder_id: key.name().to_owned(),
            epoch: Id([0xff; 16]),
            head: ChainHead { sequence: u64::MAX, hash: [0xff; 32] },
            leaf_index: LeafIndex(u64::MAX),
            active_snapshot: Some(proto::event_hash(key.name().as_bytes())),
            suspended: true,
        });
        let registry = Registry::new(keys.clone(), chains.collect());
        let mark = proto::v1::LogMark {
            recorders: registry.heads(),
            snapshot_digests: registry
                .active_snapshots()
                .iter()
                .map(|digest| digest.to_vec().into())
                .collect(),
            vkeys: vec![key(0).unwrap().verifying_key().to_string()],
        };
        assert!(mark.recorders.len() >= 140, "{} recorders", mark.recorders.len());
        let own = "l".repeat(128);
        let event = proto::v1::Event {
            event_id: vec![1; 16].into(),
            occurred_at_ns: u64::MAX,
            recorder: Some(proto::chain::next(None, &own, &[1; 16])),
            kind: Some(proto::kind::Kind::LogMark(mark)),
            ..Default::default()
        };
        proto::canonical::encode_event(&event).unwrap();
    }
}

#[test]
fn one_stream_an_epoch_and_none_after_a_fork() {
    let signer = SigningKey::from_seed("r", [1; 32]).unwrap();
    let key = signer.verifying_key();
    let registry = Arc::new(Registry::new([key], Vec::new()));
    let answer = signer.sign_bytes(b"challenge");
    let (one, two) = (Id([1; 16]), Id([2; 16]));
    let mut lease = registry.lease("r", one).unwrap();
    assert!(matches!(registry.lease("r", one), Err(Refused::AlreadyOpen(_))));
    lease.advance(ChainHead { sequence: 3, hash: [3; 32] }, LeafIndex(9), Some([7; 32]));
    drop(lease);
    assert_eq!(registry.lease("r", two).unwrap().previous().unwrap().epoch, one);
    let mut lease = registry.lease("r", one).unwrap();
    assert_eq!(lease.chain().unwrap().head.sequence, 3);
    assert_eq!(registry.active_snapshots(), [[7; 32]]);
    assert!(lease.suspend().suspended);
    let suspended = Err(Refused::Suspended("r".into()));
    assert_eq!(registry.authenticate("r", b"challenge", &answer).map(|_| ()), suspended);
    // That is for those to know who have the key.
    let unknown = Err(Refused::Unknown("r".into()));
    assert_eq!(registry.authenticate("r", b"other", &answer).map(|_| ()), unknown);
    let suspended = lease.chain().cloned().unwrap();
    let key = SigningKey::from_seed("r", [1; 32]).unwrap().verifying_key();
    let restarted = Registry::new([key], vec![suspended]);
    assert_eq!(restarted.check_not_suspended("r"), Err(Refused::Suspended("r".into())));
}

#[test]
fn a_wrong_name_is_refused_as_a_wrong_key_is() {
    let signer = |name, seed| SigningKey::from_seed(name, [seed; 32]).unwrap();
    let registry = Registry::new([signer("r", 1).verifying_key()], Vec::new());
    let right = signer("r", 1).sign_bytes(b"challenge");
    assert_eq!(
        registry.authenticate("r", b"challenge", &right).map(tlog::VerifyingKey::name),
        Ok("r")
    );
    let wrong = signer("r", 2).sign_bytes(b"challenge");
    // A good signature of a registered recorder under a name that is not registered.
    for (name, answer) in
        [("r", &wrong[..]), ("other", &right[..]), ("other", &wrong[..]), ("r", b"short")]
    {
        let refused = registry.authenticate(name, b"challenge", answer).map(|_| ());
        assert_eq!(refused, Err(Refused::Unknown(name.into())));
    }
}

#[test]
fn while_a_recorder_changes_its_key_either_is_its_own() {
    let signer = |name, seed| SigningKey::from_seed(name, [seed; 32]).unwrap();
    let keys = [("r", 1), ("r", 2), ("other", 3)].map(|(name, seed)| signer(name, seed));
    let registry = Registry::new(keys.each_ref().map(SigningKey::verifying_key), Vec::new());
    for key in &keys[..2] {
        let answer = key.sign_bytes(b"challenge");
        let found = registry.authenticate("r", b"challenge", &answer);
        assert_eq!(found, Ok(&key.verifying_key()));
    }
    let others = keys[2].sign_bytes(b"challenge");
    assert!(registry.authenticate("r", b"challenge", &others).is_err());
    let third = signer("r", 4).sign_bytes(b"challenge");
    assert!(registry.authenticate("r", b"challenge", &third).is_err());
    let heads: Vec<_> = registry.heads().into_iter().map(|head| head.recorder_id).collect();
    assert_eq!(heads, ["other", "r", "r"]);
}

#[test]
fn one_recorder_has_so_many_streams_and_no_more() {
    let key = SigningKey::from_seed("r", [1; 32]).unwrap().verifying_key();
    let limits = Limits { streams_per_recorder: 2, ..Limits::default() };
    let registry = Arc::new(Registry::new([key], Vec::new()).with(HashMap::new(), limits));
    let lease = |epoch| registry.lease("r", Id([epoch; 16]));
    let (first, _second) = (lease(1).unwrap(), lease(2).unwrap());
    assert!(matches!(lease(3), Err(Refused::TooManyStreams { .. })));
    assert!(matches!(lease(2), Err(Refused::AlreadyOpen(_))));
    drop(first);
    lease(3).unwrap();
}
