use super::*;
use identity::PrincipalKind;

impl Owner {
    /// Some owner, the same for the same number.
    pub(crate) fn for_tests(number: u8) -> Owner {
        Owner([number; 32])
    }
}

fn sessions(limit: usize) -> Sessions {
    Sessions::new([7; 32], limit, limit)
}

fn caller(subject: &str) -> Principal {
    Principal {
        subject: subject.to_owned(),
        kind: PrincipalKind::Human,
        ..Principal::unauthenticated()
    }
}

fn open(sessions: &Sessions, protocol_id: &str, subject: &str) -> Session {
    let places =
        (sessions.key("db", protocol_id.as_bytes()), sessions.owner(&caller(subject), "db"));
    let session = sessions.prepare("db", places, AuthMethod::Bearer, None);
    sessions.insert(session.clone());
    session
}

#[test]
fn a_session_is_its_owners() {
    let sessions = sessions(9);
    let session = open(&sessions, "s", "ann");
    let (ann, bob) = (sessions.owner(&caller("ann"), "db"), sessions.owner(&caller("bob"), "db"));
    assert_eq!(sessions.find(session.key, ann).unwrap().id, session.id);
    assert_eq!(sessions.find(session.key, bob).unwrap_err(), SessionError::OfAnother);
    let elsewhere = sessions.key("other", b"s");
    assert_eq!(sessions.find(elsewhere, ann).unwrap_err(), SessionError::Unknown);
    assert!(sessions.remove(&session) && !sessions.remove(&session));
    assert_eq!(sessions.find(session.key, ann).unwrap_err(), SessionError::Unknown);
}

#[test]
fn the_one_idle_longest_makes_room() {
    let sessions = sessions(2);
    let ann = sessions.owner(&caller("ann"), "db");
    let (first, second) = (open(&sessions, "1", "ann"), open(&sessions, "2", "ann"));
    sessions.find(first.key, ann).unwrap();
    let leaving = sessions.evict(ann).unwrap();
    assert_eq!(leaving.id, second.id);
    assert!(sessions.evict(ann).is_none(), "one leaves already");
    assert!(sessions.contains(second.key));
    sessions.keep(&leaving);
    assert_eq!(sessions.evict(ann).unwrap().id, second.id);
    assert!(sessions.remove(&second));
    assert!(sessions.evict(ann).is_none());
    open(&sessions, "1", "ann");
    assert!(!sessions.remove(&first));
    assert!(sessions.evict(ann).is_none());
}

#[test]
fn replays_are_told_from_new_data_under_an_old_id() {
    let sessions = sessions(9);
    let (one, two) = (open(&sessions, "1", "ann"), open(&sessions, "2", "ann"));
    let mark = sessions.mark(&one, b"7", b"{}");
    assert!(!sessions.was_seen(&mark));
    sessions.remember(mark);
    assert!(sessions.was_seen(&mark));
    for other in [
        sessions.mark(&one, b"7", b"[]"),
        sessions.mark(&one, b"8", b"{}"),
        sessions.mark(&two, b"7", b"{}"),
    ] {
        assert!(!sessions.was_seen(&other));
    }
}

#[test]
fn an_answer_finds_the_question_of_its_session_only() {
    use controls::json::Document;
    let sessions = sessions(9);
    let id = RequestId::of(Document::parse(b"7").unwrap().root()).unwrap();
    let owner = sessions.owner(&caller("ann"), "db");
    let inside = sessions.scope(Some(&open(&sessions, "1", "ann")), "db", owner);
    let outside = sessions.scope(None, "db", owner);
    sessions.asked(inside, &id, "roots/list".to_owned());
    assert_eq!(sessions.answered(inside, &id).as_deref(), Some("roots/list"));
    assert_eq!(sessions.answered(outside, &id), None);
}

#[test]
fn who_has_its_share_makes_room_itself() {
    let sessions = Sessions::new([7; 32], 3, 2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| sessions.owner(&caller(name), "db"));
    let bobs = open(&sessions, "b", "bob");
    let first = open(&sessions, "1", "ann");
    assert!(sessions.evict(ann).is_none(), "there is room, and her share is not taken");
    let second = open(&sessions, "2", "ann");
    let leaving = sessions.evict(ann).unwrap();
    assert_eq!(leaving.id, first.id, "not the one of bob, though it was idle longer");
    assert!(sessions.remove(&leaving));
    open(&sessions, "3", "ann");
    assert_eq!(sessions.evict(cid).unwrap().id, bobs.id, "nobody has more than a share");
    assert_eq!(sessions.evict(ann).unwrap().id, second.id);
    assert!(sessions.evict(bob).is_none(), "two leave already");
}

#[test]
fn nobody_in_particular_is_somebody_else_on_every_route() {
    let sessions = sessions(9);
    let anybody = Principal::unauthenticated();
    assert_ne!(sessions.owner(&anybody, "db"), sessions.owner(&anybody, "crm"));
    assert_eq!(sessions.owner(&caller("ann"), "db"), sessions.owner(&caller("ann"), "crm"));
}
