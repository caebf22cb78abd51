//! Protocol sessions of MCP up to 2025-11-25, each bound to the caller that opened it.
//!
//! The id that a server gave is a bearer credential: only its keyed hash is kept, in memory and in the record.

mod recent;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use identity::Principal;
use proto::ids::Id;
use proto::v1::{AuthMethod, Era};

use crate::message::RequestId;
use recent::Recent;

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

/// Keyed hash of issuer and subject; of the route, where nobody is asked who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Most sessions of one caller.
    share: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sessions: HashMap<Key, (Session, u64)>,
    /// Keys by last use: every key of `sessions` once.
    by_use: BTreeMap<u64, Key>,
    /// The same for each owner.
    of_owner: HashMap<Owner, BTreeMap<u64, Key>>,
    uses: u64,
    /// Those that make room, and their owners, until it is durable that they did.
    leaving: HashMap<Key, Owner>,
    seen: Recent<[u8; 16], ()>,
    asked: Recent<[u8; 32], String>,
}

impl Key {
    /// As it is recorded.
    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

impl Sessions {
    /// No sessions yet, at most `limit`, and `share` of one caller; `key` is random and lives as long as this start.
    pub(crate) fn new(key: [u8; 32], limit: usize, share: usize) -> Sessions {
        let state = State {
            sessions: HashMap::new(),
            by_use: BTreeMap::new(),
            of_owner: HashMap::new(),
            uses: 0,
            leaving: HashMap::new(),
            seen: Recent::at_most(MAX_SEEN),
            asked: Recent::at_most(MAX_ASKED),
        };
        Sessions { key, limit: limit.max(1), share: share.max(1), state: Mutex::new(state) }
    }

    /// The key of a protocol session id.
    pub(crate) fn key(&self, server: &str, protocol_id: &[u8]) -> Key {
        Key(self.hash(b"session", &[server.as_bytes(), protocol_id]))
    }

    /// The owner that a caller of this route is.
    pub(crate) fn owner(&self, principal: &Principal, server: &str) -> Owner {
        if !principal.is_authenticated() {
            return Owner(self.hash(b"anybody", &[server.as_bytes()]));
        }
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

    /// The session that must be forgotten for one more of `owner` to fit: the one idle longest, of the owner when it
    /// has its share. [`Sessions::remove`] it once that is durable, or [`Sessions::keep`] it. Until then it goes on,
    /// and is not chosen again.
    pub(crate) fn evict(&self, owner: Owner) -> Option<Session> {
        let mut state = self.state();
        let stays = |key: &&Key| !state.leaving.contains_key(key);
        let own = state.of_owner.get(&owner);
        let leaving = state.leaving.values().filter(|leaving| **leaving == owner).count();
        let among = match own {
            Some(own) if own.len().saturating_sub(leaving) >= self.share => own,
            _ if state.sessions.len().saturating_sub(state.leaving.len()) >= self.limit => {
                &state.by_use
            }
            _ => return None,
        };
        let key = *among.values().find(stays)?;
        let session = state.sessions.get(&key)?.0.clone();
        state.leaving.insert(key, session.owner);
        Some(session)
    }

    /// A session that was to make room stays after all.
    pub(crate) fn keep(&self, session: &Session) {
        self.state().leaving.remove(&session.key);
    }

    /// Makes a session known.
    pub(crate) fn insert(&self, session: Session) {
        let mut state = self.state();
        let key = session.key;
        state.forget(key);
        let (owner, used) = (session.owner, state.next_use());
        state.sessions.insert(key, (session, used));
        state.used(key, owner, used);
    }

    /// Forgets a session that ended; `false` when it was not there.
    pub(crate) fn remove(&self, session: &Session) -> bool {
        let mut state = self.state();
        state.leaving.remove(&session.key);
        // Another session may stand there by now, opened under the same protocol id.
        if state.sessions.get(&session.key).is_none_or(|(found, _)| found.id != session.id) {
            return false;
        }
        state.forget(session.key);
        true
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
        self.state().seen.get(mark).is_some()
    }

    /// Remembers an event that is durable.
    pub(crate) fn remember(&self, mark: [u8; 16]) {
        self.state().seen.insert(mark, ());
    }

    /// Remembers that a server asked `method` under `id`, so that the answer can be judged as one to it.
    pub(crate) fn asked(&self, scope: Scope, id: &RequestId, method: String) {
        let key = self.asked_key(scope, id);
        self.state().asked.insert(key, method);
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
        let next = self.next_use();
        let Some((session, used)) = self.sessions.get_mut(&key) else { return };
        let (owner, before) = (session.owner, std::mem::replace(used, next));
        self.unused(owner, before);
        self.used(key, owner, next);
    }

    fn forget(&mut self, key: Key) {
        if let Some((session, used)) = self.sessions.remove(&key) {
            self.unused(session.owner, used);
        }
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn used(&mut self, key: Key, owner: Owner, used: u64) {
        self.by_use.insert(used, key);
        self.of_owner.entry(owner).or_default().insert(used, key);
    }

    fn unused(&mut self, owner: Owner, used: u64) {
        self.by_use.remove(&used);
        if let Some(own) = self.of_owner.get_mut(&owner) {
            own.remove(&used);
            if own.is_empty() {
                self.of_owner.remove(&owner);
            }
        }
    }
}

impl Session {
    /// Sessions exist in the legacy era only.
    pub(crate) const ERA: Era = Era::Legacy;
}
