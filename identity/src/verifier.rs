//! The door's question: who is this?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use crate::claims::{self, Validity};
use crate::config::{ConfigError, IdentityConfig};
use crate::error::AuthError;
use crate::foreign::shown;
use crate::jwks::{IssuerKeys, Timing};
use crate::machine::Machines;
use crate::principal::Principal;
use crate::token::{MAX_TOKEN_BYTES, UnverifiedToken};
use crate::verified::{TokenDigest, Verified, VerifiedTokens};

/// Turns bearer tokens into principals. Cheap to clone: clones share keys and caches.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    issuers: Vec<Arc<IssuerKeys>>,
    machines: Machines,
    leeway_seconds: u64,
    verified: VerifiedTokens,
}

impl Verifier {
    /// A verifier for the configured issuers and machines. Fetches nothing yet; see
    /// [`Verifier::warm`].
    ///
    /// # Errors
    /// Every mistake in the configuration, at once.
    pub fn new(config: IdentityConfig) -> Result<Self, ConfigError> {
        Self::with_timing(config, Timing::default())
    }

    pub(crate) fn with_timing(config: IdentityConfig, timing: Timing) -> Result<Self, ConfigError> {
        let config = config.parse()?;
        let issuers: Result<Vec<_>, String> = config
            .issuers
            .into_iter()
            .map(|issuer| IssuerKeys::new(issuer, timing).map(Arc::new))
            .collect();
        let issuers = issuers.map_err(|reason| ConfigError {
            problems: vec![format!("no HTTP client: {reason}")],
        })?;
        let machines = Machines::new(config.machines);
        let verified = VerifiedTokens::default();
        Ok(Verifier(Arc::new(Inner {
            issuers,
            machines,
            leeway_seconds: config.leeway_seconds,
            verified,
        })))
    }

    /// The caller behind `bearer`, for the door whose canonical URI is `audience`.
    ///
    /// May wait for the issuer's keys: at most 10 s, and only when none that may be used are cached
    /// or the token names an unknown key. Must run within a Tokio runtime.
    ///
    /// # Errors
    /// Why the token is refused; retryable only when the issuer's keys cannot be had.
    pub async fn authenticate(&self, bearer: &str, audience: &str) -> Result<Principal, AuthError> {
        self.authenticate_at(bearer, audience, unix_now()).await
    }

    pub(crate) async fn authenticate_at(
        &self,
        bearer: &str,
        audience: &str,
        now: u64,
    ) -> Result<Principal, AuthError> {
        if bearer.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong { size: bearer.len(), limit: MAX_TOKEN_BYTES });
        }
        let digest = TokenDigest::of(bearer, audience);
        if let Some(known) = self.0.verified.find(&digest) {
            known.validity.check(now, self.0.leeway_seconds)?;
            return Ok(Principal::clone(&known.principal));
        }
        let verified = self.verify(bearer, audience, now).await?;
        verified.validity.check(now, self.0.leeway_seconds)?;
        let principal = Principal::clone(&verified.principal);
        self.0.verified.insert(digest, verified);
        Ok(principal)
    }

    /// Fetches the keys of all issuers at once, so that the first caller need not wait. Failures
    /// are logged and tried again when a token comes.
    pub async fn warm(&self) {
        let mut fetches = JoinSet::new();
        for issuer in &self.0.issuers {
            let issuer = Arc::clone(issuer);
            fetches.spawn(async move { issuer.warm().await });
        }
        fetches.join_all().await;
    }

    /// The configured issuers, in order: the `authorization_servers` of RFC 9728.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.0.issuers.iter().map(|keys| keys.issuer.config.issuer.as_str())
    }

    /// Signature, then audience, then what the claims say; times are the caller's to check.
    async fn verify(&self, bearer: &str, audience: &str, now: u64) -> Result<Verified, AuthError> {
        let token = UnverifiedToken::parse(bearer)?;
        let issuer = claims::required(&token.claims, "iss")?;
        if self.0.machines.knows(issuer) {
            return self.0.machines.verify(&token, issuer, audience, now, self.0.leeway_seconds);
        }
        let Some(keys) = self.0.issuers.iter().find(|keys| keys.issuer.config.issuer == issuer)
        else {
            return Err(AuthError::WrongIssuer { got: shown(issuer) });
        };
        let config = &keys.issuer.config;
        if !config.algorithms.contains(&token.algorithm) {
            let accepted: Vec<_> = config.algorithms.iter().map(ToString::to_string).collect();
            return Err(AuthError::AlgorithmNotAllowed {
                issuer: config.issuer.clone(),
                algorithm: token.alg,
                accepted: accepted.join(", "),
            });
        }
        let found = keys.find(token.kid.as_deref(), token.algorithm).await?;
        if !found.key.verifies(token.algorithm, token.signing_input, token.signature) {
            return Err(AuthError::BadSignature);
        }
        claims::check_audience(&token.claims, audience)?;
        let validity = Validity::of(&token.claims)?;
        let principal = Arc::new(claims::principal(&token, validity, config)?);
        Ok(Verified { principal, validity, until: Some(found.until) })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("issuers", &self.issuers().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Unix seconds. A clock before 1970 reads as the end of time, so that every token is expired, not
/// eternal.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::MAX).as_secs()
}
