//! Tokens that were verified a moment ago, so that a session's next call costs a hash and not a
//! signature.
//!
//! Holds no token: an entry is found by SHA-256 over token and audience. An entry lasts as long as
//! the keys that verified it, so a key that the issuer withdraws stops counting as it would without
//! this cache; times are checked at each use.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::claims::Validity;
use crate::principal::Principal;

/// At most this many entries; the oldest goes first.
const CAPACITY: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(crate) fn of(token: &str, audience: &str) -> TokenDigest {
        let length = (token.len() as u64).to_be_bytes();
        TokenDigest(
            Sha256::new()
                .chain_update(length)
                .chain_update(token)
                .chain_update(audience)
                .finalize()
                .into(),
        )
    }
}

#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) principal: Arc<Principal>,
    pub(crate) validity: Validity,
    /// None: the key stands in the configuration.
    pub(crate) until: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct VerifiedTokens(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_digest: HashMap<TokenDigest, Verified>,
    /// Every digest of the map once, oldest first.
    order: VecDeque<TokenDigest>,
}

impl VerifiedTokens {
    pub(crate) fn find(&self, digest: &TokenDigest) -> Option<Verified> {
        let found = self.entries().by_digest.get(digest)?.clone();
        found.until.is_none_or(|until| Instant::now() < until).then_some(found)
    }

    pub(crate) fn insert(&self, digest: TokenDigest, verified: Verified) {
        let mut entries = self.entries();
        if entries.by_digest.insert(digest, verified).is_some() {
            return;
        }
        entries.order.push_back(digest);
        if entries.order.len() > CAPACITY
            && let Some(oldest) = entries.order.pop_front()
        {
            entries.by_digest.remove(&oldest);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // A panic between the two collections could at worst leave one entry too many.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verified(until: Option<Instant>) -> Verified {
        let validity = Validity::of(json!({"exp": 9}).as_object().unwrap()).unwrap();
        Verified { principal: Arc::new(Principal::unauthenticated()), validity, until }
    }

    #[test]
    fn audience_and_token_are_both_part_of_the_digest() {
        let digest = TokenDigest::of("ab", "c");
        assert!(digest == TokenDigest::of("ab", "c"));
        for (token, audience) in [("a", "bc"), ("abc", ""), ("", "abc"), ("ab", "d")] {
            assert!(digest != TokenDigest::of(token, audience), "{token} {audience}");
        }
    }

    #[test]
    fn is_bounded_and_drops_the_oldest() {
        let tokens = VerifiedTokens::default();
        for n in 0..=CAPACITY {
            tokens.insert(TokenDigest::of(&n.to_string(), "a"), verified(None));
            tokens.insert(TokenDigest::of(&n.to_string(), "a"), verified(None));
        }
        assert_eq!(tokens.entries().by_digest.len(), CAPACITY);
        assert_eq!(tokens.entries().order.len(), CAPACITY);
        assert!(tokens.find(&TokenDigest::of("0", "a")).is_none());
        assert!(tokens.find(&TokenDigest::of("1", "a")).is_some());
    }

    #[test]
    fn an_entry_ends_with_its_keys() {
        let tokens = VerifiedTokens::default();
        tokens.insert(TokenDigest::of("t", "a"), verified(Some(Instant::now())));
        assert!(tokens.find(&TokenDigest::of("t", "a")).is_none());
    }
}
