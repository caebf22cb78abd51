//! The keys of one issuer, cached.
//!
//! Keys are used up to [`Timing::max_age`] after they were fetched; a little before that a fetch
//! starts in the background, so that no caller waits. Older keys are used only while a fetch is
//! known to have failed, and only up to [`Timing::max_stale`]. A key id that is not in the set
//! causes a fetch, at most one per [`Timing::min_interval`], so that invented ids cannot make us
//! hammer the issuer. There is one fetch at a time, and it outlives the caller who began it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::config::{Algorithm, Issuer};
use crate::discovery;
use crate::error::AuthError;
use crate::foreign::shown;
use crate::jwk::{Choice, Key, KeySet};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Between two fetches, when there are keys that may be used.
    pub(crate) min_interval: Duration,
    /// Between two fetches, when there are none: nobody can be let in, so ask sooner.
    pub(crate) min_interval_empty: Duration,
    pub(crate) max_age: Duration,
    pub(crate) max_stale: Duration,
    /// For one fetch, discovery included.
    pub(crate) fetch: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            min_interval: Duration::from_secs(10),
            min_interval_empty: Duration::from_secs(1),
            max_age: Duration::from_mins(10),
            max_stale: Duration::from_hours(1),
            fetch: Duration::from_secs(10),
        }
    }
}

pub(crate) struct IssuerKeys {
    pub(crate) issuer: Issuer,
    client: Client,
    timing: Timing,
    state: RwLock<State>,
    flight: Arc<Mutex<()>>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Fetched>,
    attempts: u64,
    last_attempt: Option<Instant>,
    /// Why the last attempt failed; none when it succeeded.
    failure: Option<String>,
}

#[derive(Clone)]
struct Fetched {
    set: Arc<KeySet>,
    at: Instant,
}

/// A key and until when it may be relied on without asking the issuer again.
pub(crate) struct Found {
    pub(crate) key: Key,
    pub(crate) until: Instant,
}

impl IssuerKeys {
    pub(crate) fn new(issuer: Issuer, timing: Timing) -> Result<IssuerKeys, String> {
        let client = discovery::client(&issuer.url)?;
        Ok(IssuerKeys { issuer, client, timing, state: RwLock::default(), flight: Arc::default() })
    }

    /// The key for a token's `kid` and algorithm.
    pub(crate) async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Found, AuthError> {
        let fetched = self.usable().await?;
        if let Some(outcome) = self.look_up(&fetched, kid, algorithm) {
            return outcome;
        }
        // The issuer may have begun to use a new key.
        self.refresh().await;
        let state = self.state();
        let newer = state.keys.unwrap_or(fetched);
        self.look_up(&newer, kid, algorithm).unwrap_or_else(|| {
            let issuer = self.issuer.config.issuer.clone();
            Err(match state.failure {
                // Whether the key is good cannot be known now.
                Some(reason) => AuthError::IssuerUnreachable { issuer, reason },
                None => AuthError::UnknownKey { issuer, kid: kid.map(shown).unwrap_or_default() },
            })
        })
    }

    /// Fetches the keys unless there are some.
    pub(crate) async fn warm(self: &Arc<Self>) {
        if self.state().keys.is_none() {
            self.refresh().await;
        }
    }

    /// None when the set does not know the key.
    fn look_up(
        &self,
        fetched: &Fetched,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<Result<Found, AuthError>> {
        match fetched.set.choose(kid, algorithm) {
            Choice::Key(key) => {
                Some(Ok(Found { key: key.clone(), until: fetched.at + self.timing.max_age }))
            }
            Choice::Mismatch => Some(Err(AuthError::KeyMismatch {
                issuer: self.issuer.config.issuer.clone(),
                kid: kid.map(shown).unwrap_or_default(),
                algorithm: algorithm.to_string(),
            })),
            Choice::Unknown => None,
        }
    }

    /// Keys that may be used now, fetched if need be.
    async fn usable(self: &Arc<Self>) -> Result<Fetched, AuthError> {
        let state = self.state();
        if let Some(fetched) = &state.keys {
            let age = fetched.at.elapsed();
            if age < self.timing.max_age {
                if age > self.timing.max_age / 5 * 4 {
                    self.refresh_in_background();
                }
                return Ok(fetched.clone());
            }
            // The issuer is known to be away, and it is not this caller's turn to ask again.
            let others_turn = !self.is_due(&state) || self.flight.try_lock().is_err();
            if state.failure.is_some() && others_turn && age < self.timing.max_stale {
                return Ok(fetched.clone());
            }
        }
        self.refresh().await;
        let state = self.state();
        state.keys.filter(|fetched| fetched.at.elapsed() < self.timing.max_stale).ok_or_else(|| {
            AuthError::IssuerUnreachable {
                issuer: self.issuer.config.issuer.clone(),
                reason: state.failure.unwrap_or_else(|| "no keys were fetched yet".to_owned()),
            }
        })
    }

    /// Fetches, unless an attempt ended while waiting for its turn, or it is too soon.
    async fn refresh(self: &Arc<Self>) {
        let seen = self.state().attempts;
        let turn = Arc::clone(&self.flight).lock_owned().await;
        let state = self.state();
        if state.attempts == seen && self.is_due(&state) {
            // In a task of its own: a caller who hangs up must neither stop the fetch nor use up
            // the interval.
            if let Err(error) = tokio::spawn(Arc::clone(self).fetch(turn)).await {
                tracing::error!(issuer = self.issuer.config.issuer, %error, "fetching keys was aborted");
            }
        }
    }

    fn refresh_in_background(self: &Arc<Self>) {
        if let Ok(turn) = Arc::clone(&self.flight).try_lock_owned()
            && self.is_due(&self.state())
        {
            tokio::spawn(Arc::clone(self).fetch(turn));
        }
    }

    async fn fetch(self: Arc<Self>, _turn: OwnedMutexGuard<()>) {
        let began = Instant::now();
        self.update(|state| state.last_attempt = Some(began));
        let fetched = tokio::time::timeout(
            self.timing.fetch,
            discovery::fetch_keys(&self.client, &self.issuer),
        )
        .await
        .unwrap_or_else(|_| Err("timed out".to_owned()));
        let issuer = self.issuer.config.issuer.as_str();
        match &fetched {
            Ok(set) => tracing::debug!(issuer, keys = set.len(), "keys fetched"),
            Err(reason) => tracing::warn!(issuer, reason, "keys could not be fetched"),
        }
        self.update(|state| {
            state.attempts += 1;
            match fetched {
                Ok(set) => {
                    state.keys = Some(Fetched { set: Arc::new(set), at: began });
                    state.failure = None;
                }
                Err(reason) => state.failure = Some(reason),
            }
        });
    }

    fn is_due(&self, state: &State) -> bool {
        let usable =
            state.keys.as_ref().is_some_and(|fetched| fetched.at.elapsed() < self.timing.max_stale);
        let interval =
            if usable { self.timing.min_interval } else { self.timing.min_interval_empty };
        state.last_attempt.is_none_or(|last| last.elapsed() >= interval)
    }

    fn state(&self) -> State {
        // No update can leave the state half done, so a poisoned lock holds a good state.
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}
