//! Protocol sessions of MCP up to 2025-11-25, each bound to the caller that opened it.
//!
//! The id that a server gave is a bearer credential: only its keyed hash is kept, in memory and in the record.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use identity::Principal;
use proto::ids::Id;
use proto::v1::{AuthMethod, Era};

use crate::message::RequestId;

/// Replayable events that are remembered, over all sessions; the oldest is forgotten first.
const MAX_SEEN: usize = 262_144;
/// Requests of servers whose answer is awaited, over all sessions; the oldest is forgotten first.
const MAX_ASKED: usize = 65_536;

/// A session as the record knows it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Minted here.
    pub(crate) id: Id,
    /// The route.
    pub(crate) server: Arc<str>,
    /// How its caller was known.
    pub(crate) auth_method: AuthMethod,
    /// The client's description of itself at `initialize`, raw JSON.
    pub(crate) client_info: Option<Bytes>,
    key: Key,
    owner: Owner,
}

/// Keyed hash of server and protocol session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// Keyed hash of issuer and subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner([u8; 32]);

/// Where request ids of a server are unique.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope([u8; 32]);

/// Why a caller cannot use a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// Never opened here, ended, or forgotten.
    #[error("the session is not known: start a new one with `initialize`")]
    Unknown,
    /// Somebody else's.
    #[error("the session belongs to another caller: start your own with `initialize`")]
    OfAnother,
}

/// The sessions of this start of the gateway.
#[derive(Debug)]
pub(crate) struct Sessions {
    key: [u8; 32],
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<Key, (Session, u64)>,
    /// Keys by last use: every key of `sessions` once.
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    /// Those that make room, until it is durable that they did.
    leaving: HashSet<Key>,
    seen: HashSet<[u8; 16]>,
    seen_order: VecDeque<[u8; 16]>,
    asked: HashMap<[u8; 32], String>,
    asked_order: VecDeque<[u8; 32]>,
}

impl Key {
    /// As it is recorded.
    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl Sessions {
    /// No sessions yet, at most `limit`; `key` is random and lives as long as this start.
    pub(crate) fn new(key: [u8; 32], limit: usize) -> Sessions {
        Sessions { key, limit: limit.max(1), state: Mutex::default() }
    }

    /// The key of a protocol session id.
    pub(crate) fn key(&self, server: &str, protocol_id: &[u8]) -> Key {
        Key(self.hash(b"session", &[server.as_bytes(), protocol_id]))
    }

    /// The owner that a caller is.
    pub(crate) fn owner(&self, principal: &Principal) -> Owner {
        Owner(self.hash(b"owner", &[principal.issuer.as_bytes(), principal.subject.as_bytes()]))
    }

    /// The session with this key, used now.
    ///
    /// # Errors
    /// [`SessionError`] when there is none that `owner` may use.
    pub(crate) fn find(&self, key: Key, owner: Owner) -> Result<Session, SessionError> {
        let mut state = self.state();
        let session = match state.sessions.get(&key) {
            None => return Err(SessionError::Unknown),
            Some((session, _)) if session.owner != owner => return Err(SessionError::OfAnother),
            Some((session, _)) => session.clone(),
        };
        state.touch(key);
        Ok(session)
    }

    /// Whether there is a session with this key, whoever owns it.
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.state().sessions.contains_key(&key)
    }

    /// A session that [`Sessions::insert`] can make known.
    pub(crate) fn prepare(
        &self,
        server: &str,
        (key, owner): (Key, Owner),
        auth_method: AuthMethod,
        client_info: Option<Bytes>,
    ) -> Session {
        let id = recorder::random_id();
        Session { id, server: server.into(), auth_method, client_info, key, owner }
    }

    /// The session that must be forgotten for one more to fit: [`Sessions::remove`] it once that is durable, or
    /// [`Sessions::keep`] it. Until then it goes on, and is not chosen again.
    pub(crate) fn evict(&self) -> Option<Session> {
        let mut state = self.state();
        if state.sessions.len().saturating_sub(state.leaving.len()) < self.limit {
            return None;
        }
        let key = *state.by_use.values().find(|key| !state.leaving.contains(key))?;
        state.leaving.insert(key);
        state.sessions.get(&key).map(|(session, _)| session.clone())
    }

    /// A session that was to make room stays after all.
    pub(crate) fn keep(&self, session: &Session) {
        self.state().leaving.remove(&session.key);
    }

    /// Makes a session known.
    pub(crate) fn insert(&self, session: Session) {
        let mut state = self.state();
        let key = session.key;
        state.uses += 1;
        let used = state.uses;
        state.by_use.insert(used, key);
        if let Some((_, before)) = state.sessions.insert(key, (session, used)) {
            state.by_use.remove(&before);
        }
    }

    /// Forgets a session that ended; `false` when it was not there.
    pub(crate) fn remove(&self, session: &Session) -> bool {
        let mut state = self.state();
        state.leaving.remove(&session.key);
        // Another session may stand there by now, opened under the same protocol id.
        if state.sessions.get(&session.key).is_none_or(|(found, _)| found.id != session.id) {
            return false;
        }
        match state.sessions.remove(&session.key) {
            Some((_, used)) => state.by_use.remove(&used).is_some(),
            None => false,
        }
    }

    /// The mark of an event that a server may send again, by its event id and data.
    pub(crate) fn mark(&self, session: &Session, event_id: &[u8], data: &[u8]) -> [u8; 16] {
        let hash = self.hash(b"seen", &[&session.id.0, event_id, data]);
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash[..16]);
        mark
    }

    /// Was the event with this mark recorded?
    pub(crate) fn was_seen(&self, mark: &[u8; 16]) -> bool {
        self.state().seen.contains(mark)
    }

    /// Remembers an event that is durable.
    pub(crate) fn remember(&self, mark: [u8; 16]) {
        let mut state = self.state();
        if !state.seen.insert(mark) {
            return;
        }
        state.seen_order.push_back(mark);
        if state.seen_order.len() > MAX_SEEN
            && let Some(oldest) = state.seen_order.pop_front()
        {
            state.seen.remove(&oldest);
        }
    }

    /// Remembers that a server asked `method` under `id`, so that the answer can be judged as one to it.
    pub(crate) fn asked(&self, scope: Scope, id: &RequestId, method: String) {
        let key = self.asked_key(scope, id);
        let mut state = self.state();
        if state.asked.insert(key, method).is_some() {
            return;
        }
        state.asked_order.push_back(key);
        if state.asked_order.len() > MAX_ASKED
            && let Some(oldest) = state.asked_order.pop_front()
        {
            state.asked.remove(&oldest);
        }
    }

    /// The method that the answer `id` answers.
    pub(crate) fn answered(&self, scope: Scope, id: &RequestId) -> Option<String> {
        self.state().asked.get(&self.asked_key(scope, id)).cloned()
    }

    /// Where request ids of a server are unique: its session, or without one the caller at the server.
    pub(crate) fn scope(&self, session: Option<&Session>, server: &str, owner: Owner) -> Scope {
        Scope(match session {
            Some(session) => self.hash(b"scope of session", &[&session.id.0]),
            None => self.hash(b"scope of owner", &[server.as_bytes(), &owner.0]),
        })
    }

    fn asked_key(&self, scope: Scope, id: &RequestId) -> [u8; 32] {
        self.hash(b"asked", &[&scope.0, id.meaning().as_bytes()])
    }

    fn hash(&self, purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(purpose);
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step between two changes can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self, key: Key) {
        if let Some((_, used)) = self.sessions.get_mut(&key) {
            self.by_use.remove(used);
            self.uses += 1;
            *used = self.uses;
            self.by_use.insert(self.uses, key);
        }
    }
}

impl Session {
    /// Sessions exist in the legacy era only.
    pub(crate) const ERA: Era = Era::Legacy;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(limit: usize) -> Sessions {
        Sessions::new([7; 32], limit)
    }

    fn caller(subject: &str) -> Principal {
        Principal { subject: subject.to_owned(), ..Principal::unauthenticated() }
    }

    fn open(sessions: &Sessions, protocol_id: &str, subject: &str) -> Session {
        let places = (sessions.key("db", protocol_id.as_bytes()), sessions.owner(&caller(subject)));
        let session = sessions.prepare("db", places, AuthMethod::Bearer, None);
        sessions.insert(session.clone());
        session
    }

    #[test]
    fn a_session_is_its_owners() {
        let sessions = sessions(9);
        let session = open(&sessions, "s", "ann");
        let (ann, bob) = (sessions.owner(&caller("ann")), sessions.owner(&caller("bob")));
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
        let (first, second) = (open(&sessions, "1", "ann"), open(&sessions, "2", "ann"));
        sessions.find(first.key, sessions.owner(&caller("ann"))).unwrap();
        let leaving = sessions.evict().unwrap();
        assert_eq!(leaving.id, second.id);
        assert!(sessions.evict().is_none(), "one leaves already");
        assert!(sessions.contains(second.key));
        sessions.keep(&leaving);
        assert_eq!(sessions.evict().unwrap().id, second.id);
        assert!(sessions.remove(&second));
        assert!(sessions.evict().is_none());
        open(&sessions, "1", "ann");
        assert!(!sessions.remove(&first));
        assert!(sessions.evict().is_none());
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
        let owner = sessions.owner(&caller("ann"));
        let inside = sessions.scope(Some(&open(&sessions, "1", "ann")), "db", owner);
        let outside = sessions.scope(None, "db", owner);
        sessions.asked(inside, &id, "roots/list".to_owned());
        assert_eq!(sessions.answered(inside, &id).as_deref(), Some("roots/list"));
        assert_eq!(sessions.answered(outside, &id), None);
    }

    #[test]
    fn marks_are_bounded() {
        let sessions = sessions(9);
        for n in 0..=MAX_SEEN as u128 {
            sessions.remember(n.to_be_bytes());
        }
        assert!(
            !sessions.was_seen(&0u128.to_be_bytes()) && sessions.was_seen(&1u128.to_be_bytes())
        );
        assert_eq!(sessions.state().seen.len(), MAX_SEEN);
    }
}
