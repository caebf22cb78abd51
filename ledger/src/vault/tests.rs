//! Keys on their way, in the store, and destroyed.

use super::sealer::MAX_CACHED_KEYS;
use super::*;
use crate::store::{Batch, Changes, RocksStore, Store, TreeHead};
use proto::kind::Kind;
use proto::v1::{
    AuthenticationFailed, CallDenied, PolicyActivated, Recorder, RequestReceived, StreamMessage,
};
use tlog::{Hash, TreeSize};

#[test]
fn opens_what_it_sealed_and_nothing_else() {
    let opening = Opening {
        slot: 2,
        salt: Bytes::from_static(&[5; 32]),
        content: Bytes::from_static(b"the message"),
    };
    let key = fresh_key().unwrap();
    let sealed = seal(&cipher(&key), &[1; 16], nonce(7, 2), &opening).unwrap();
    assert!(!sealed.windows(7).any(|window| window == b"message"));
    assert_eq!(open(&sealed, 2, |_| Ok(Some(key))).unwrap(), Some(opening));
    assert_eq!(open(&sealed, 2, |_| Ok(None)).unwrap(), None);
    for at in 16..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(open(&changed, 2, |_| Ok(Some(key))).is_err(), "byte {at}");
    }
}

fn event(exchange: u64) -> Event {
    let exchange_id = [[0; 8], exchange.to_be_bytes()].concat().into();
    Event { exchange_id, ..Event::default() }
}

fn opens(sealed: &Sealed, key: &DisclosureKey) -> bool {
    let opened = open(&sealed.disclosures[0].1, 2, |id| Ok((*id == key.id).then_some(key.secret)));
    opened.is_ok_and(|opening| opening.is_some())
}

#[test]
fn an_exchange_has_one_key_on_its_way_and_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RocksStore::open(folder.path()).unwrap());
    let opening = [Opening { slot: 2, salt: vec![5; 32].into(), content: Bytes::new() }];
    let mut sealer = Sealer::new(Arc::clone(&store), false);
    let first = sealer.seal(&event(0), 0, &opening).unwrap();
    let held = first.new_key().unwrap();
    let key = DisclosureKey { id: held.id, secret: held.secret };
    let crowd = |sealer: &mut Sealer| {
        for exchange in 1..=2 * MAX_CACHED_KEYS as u64 {
            sealer.seal(&event(exchange), exchange, &opening).unwrap();
        }
    };

    // Not stored yet: it must not be forgotten, or the exchange would get a second key.
    crowd(&mut sealer);
    let second = sealer.seal(&event(0), 1, &opening).unwrap();
    assert!(second.new_key().is_none() && opens(&second, &key));

    // Stored, and forgotten: the store has it.
    store.append(TreeSize(0), &batch(0, vec![(key.id, key.secret)], Vec::new())).unwrap();
    drop((first, second));
    crowd(&mut sealer);
    assert!(!sealer.knows(&event(0)));
    // So has the next stream of the epoch, which never knew it.
    for mut sealer in [sealer, Sealer::new(store, true)] {
        let third = sealer.seal(&event(0), 2, &opening).unwrap();
        assert!(third.new_key().is_none() && opens(&third, &key));
    }
}

/// A recorder may write what it likes into exchange and event id. Break it: let `Sealer::key` share whatever key is known, or not
/// ask `has_own_key`.
#[test]
fn what_must_not_go_with_others_has_a_key_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RocksStore::open(folder.path()).unwrap());
    let opening = [Opening { slot: 2, salt: vec![5; 32].into(), content: Bytes::new() }];
    let mut sealer = Sealer::new(store, false);
    let mut id_of = |exchange_id: Vec<u8>, kind: Kind, sequence: u64| {
        let event = Event {
            event_id: vec![4; 16].into(),
            exchange_id: exchange_id.into(),
            recorder: Some(Recorder { sequence, ..Recorder::default() }),
            kind: Some(kind),
            ..Event::default()
        };
        let sealed = sealer.seal(&event, sequence, &opening).unwrap();
        let id: KeyId = *sealed.disclosures[0].1.first_chunk().unwrap();
        (id, id == own_key_id(&event))
    };
    let message = || Kind::StreamMessage(StreamMessage::default());
    let policy = || Kind::PolicyActivated(PolicyActivated::default());
    // Never erased, and in an exchange: before the exchange has a key, and after.
    let (before, is_own) = id_of(vec![1; 16], policy(), 0);
    assert!(is_own);
    let (shared, is_own) = id_of(vec![1; 16], message(), 1);
    assert!(!is_own && shared != before);
    assert!(id_of(vec![1; 16], policy(), 2).1);
    assert_eq!(id_of(vec![1; 16], message(), 3), (shared, false));
    // Outside exchanges: an event id that stands again.
    assert!(!id_of(Vec::new(), message(), 4).1);
    assert!(id_of(Vec::new(), message(), 5).1);
    assert!(id_of(Vec::new(), policy(), 6).1);
}

/// What retention knows of late events rests on it. Break it: let `Sealer::seal` go without its look at what begins, or only where
/// something is disclosed.
#[test]
fn an_exchange_in_which_something_was_disclosed_is_not_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RocksStore::open(folder.path()).unwrap());
    let opening = [Opening { slot: 2, salt: vec![5; 32].into(), content: Bytes::new() }];
    let of = |kind: Kind| Event { kind: Some(kind), ..event(0) };
    let asked = || of(Kind::RequestReceived(RequestReceived::default()));
    let refused = || of(Kind::CallDenied(CallDenied::default()));
    let knocked = || of(Kind::AuthenticationFailed(AuthenticationFailed::default()));
    let mut sealer = Sealer::new(Arc::clone(&store), false);
    // As long as nothing is disclosed, nothing can be lost.
    assert!(sealer.seal(&asked(), 0, &[]).is_ok() && sealer.seal(&asked(), 1, &[]).is_ok());
    let first = sealer.seal(&asked(), 2, &opening).unwrap();
    let key = first.new_key().unwrap();
    let (id, secret) = (key.id, key.secret);
    let is_refused = |sealer: &mut Sealer| {
        for again in [asked(), refused(), knocked()] {
            for openings in [&opening[..], &opening[..0]] {
                let sealed = sealer.seal(&again, 3, openings);
                assert!(matches!(sealed, Err(NotSealed::Begun { .. })), "{:?}", again.kind);
            }
        }
        let request_event_id = vec![1; 16].into();
        let answered = CallDenied { request_event_id, ..CallDenied::default() };
        assert!(sealer.seal(&of(Kind::CallDenied(answered)), 4, &opening).is_ok());
    };
    // On its way, in the store, destroyed; to the stream that brought it, and to the next one.
    is_refused(&mut sealer);
    store.append(TreeSize(0), &batch(0, vec![(id, secret)], Vec::new())).unwrap();
    is_refused(&mut sealer);
    is_refused(&mut Sealer::new(Arc::clone(&store), true));
    store.append(TreeSize(1), &batch(1, Vec::new(), vec![id])).unwrap();
    is_refused(&mut sealer);
    is_refused(&mut Sealer::new(store, true));
}

/// A commit of one entry, which brings keys to the store and destroys others.
fn batch(size: u64, keys: Vec<(KeyId, [u8; 32])>, destroyed: Vec<KeyId>) -> Batch {
    let head = TreeHead { size: TreeSize(size + 1), root: Hash([0; 32]), recorded_at_ns: 1 };
    Batch {
        entries: vec![Bytes::from_static(b"entry")],
        disclosures: Vec::new(),
        keys,
        tiles: Vec::new(),
        chains: Vec::new(),
        head,
        changes: Changes { destroyed, ..Changes::default() },
    }
}

/// Whatever a stream knows of a key that is destroyed, it seals nothing with it, and makes none of its id.
#[test]
fn a_key_id_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(RocksStore::open(folder.path()).unwrap());
    let opening = [Opening { slot: 2, salt: vec![5; 32].into(), content: Bytes::new() }];
    let mut sealer = Sealer::new(Arc::clone(&store), false);
    let mut first = sealer.seal(&event(0), 0, &opening).unwrap();
    let (id, secret) = first.new_key().map(|key| (key.id, key.secret)).unwrap();
    assert_eq!(id, key_id(&event(0)));
    store.append(TreeSize(0), &batch(0, vec![(id, secret)], Vec::new())).unwrap();
    assert_eq!(first.may_be_destroyed(store.destructions(), &HashSet::new()), None);
    assert_eq!(first.may_be_destroyed(store.destructions(), &HashSet::from([id])), Some(id));
    store.append(TreeSize(1), &batch(1, Vec::new(), vec![id])).unwrap();

    // What was sealed before is known to be, and sealed anew opens with another key.
    assert_eq!(first.may_be_destroyed(store.destructions(), &HashSet::new()), Some(id));
    first.seal_anew([9; 16]).unwrap();
    let anew = first.new_key().map(|key| DisclosureKey { id: key.id, secret: key.secret });
    let anew = anew.unwrap();
    assert!(anew.secret != secret && opens(&first, &anew));
    assert_eq!(&first.disclosures[0].1[..16], &[9; 16]);

    // The stream that knows the key, twice; and one that never knew it.
    let numbered = |sequence: u64| {
        let recorder = proto::v1::Recorder { sequence, ..Default::default() };
        Event { recorder: Some(recorder), ..event(0) }
    };
    let mut fresh = Sealer::new(Arc::clone(&store), true);
    let mut ids = HashSet::from([id]);
    for (sequence, sealer) in [(1, &mut sealer), (2, &mut fresh)] {
        for sequence in [sequence, sequence + 10] {
            let sealed = sealer.seal(&numbered(sequence), sequence, &opening).unwrap();
            let key = sealed.new_key().unwrap();
            assert_eq!(key.id, own_key_id(&numbered(sequence)));
            assert!(ids.insert(key.id) && key.secret != secret);
        }
    }
}
