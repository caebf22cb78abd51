//! Machines that sign their own tokens: an Ed25519 key in the configuration of the door, no issuer
//! in between.
//!
//! The token is a JWT with `alg` EdDSA, `iss` = `sub` = the machine's name, `aud` the door, `iat`,
//! `exp` and `jti`; `kid` is the first 8 bytes of SHA-256 of the public key, in hex, and tells two
//! keys of one machine apart while one is replaced.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::claims::{self, Validity};
use crate::config::{Algorithm, Machine};
use crate::error::AuthError;
use crate::foreign::shown;
use crate::jwk::Key;
use crate::principal::{Principal, PrincipalKind};
use crate::token::UnverifiedToken;
use crate::verified::Verified;
use crate::verifier::unix_now;
use crate::vkey;

const LIFETIME_SECONDS: u64 = 300;
const RENEW_BEFORE_SECONDS: u64 = 60;
/// A token that a machine gave a longer life is refused: what leaks must soon be worthless.
const MAX_LIFETIME_SECONDS: u64 = 900;
/// Tokens kept, one per door.
const MAX_AUDIENCES: usize = 64;

/// The key with which this process calls doors that list it. Cheap to clone; wiped when the last
/// clone is dropped.
#[derive(Clone)]
pub struct MachineKey(Arc<Inner>);

struct Inner {
    name: String,
    key: SigningKey,
    minted: Mutex<HashMap<String, Minted>>,
}

struct Minted {
    token: Zeroizing<String>,
    renew_at: u64,
}

/// Why a machine could not make a token. Fatal: this host cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The operating system gave no random bytes for `jti`.
    #[error("the operating system gives no random bytes ({0}): a token cannot be made")]
    NoRandomness(String),
    /// The clock is before 1970.
    #[error("the system clock is before 1970: set it, a token cannot be made")]
    NoClock,
}

impl MachineKey {
    /// The identity `name` (as in the door's configuration) with the Ed25519 key of `seed` (RFC
    /// 8032's private key).
    pub fn new(name: &str, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        MachineKey(Arc::new(Inner { name: name.to_owned(), key, minted: Mutex::default() }))
    }

    /// The name, `iss` and `sub` of the tokens.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The verifier key to list in the door's configuration.
    pub fn vkey(&self) -> String {
        vkey::format(&self.0.name, self.0.key.verifying_key().as_bytes())
    }

    /// A token for the door `audience`: good for 5 minutes when new, for at least 1 when handed out
    /// again.
    ///
    /// # Errors
    /// When the host has no randomness or no clock.
    pub fn token(&self, audience: &str) -> Result<String, MintError> {
        self.token_at(audience, unix_now())
    }

    pub(crate) fn token_at(&self, audience: &str, now: u64) -> Result<String, MintError> {
        let expires_at = now.checked_add(LIFETIME_SECONDS).ok_or(MintError::NoClock)?;
        // Each entry is put in whole, so a poisoned lock holds good entries.
        let mut minted = self.0.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = minted.get(audience)
            && now < known.renew_at
            // After a step back of the clock an old token would be from the future.
            && known.renew_at <= expires_at
        {
            return Ok(known.token.to_string());
        }
        let token = self.mint(audience, now, expires_at)?;
        minted.retain(|_, known| now < known.renew_at);
        if minted.len() < MAX_AUDIENCES {
            let kept = Minted {
                token: Zeroizing::new(token.clone()),
                renew_at: expires_at - RENEW_BEFORE_SECONDS,
            };
            minted.insert(audience.to_owned(), kept);
        }
        Ok(token)
    }

    fn mint(&self, audience: &str, now: u64, expires_at: u64) -> Result<String, MintError> {
        let mut token_id = [0; 16];
        getrandom::fill(&mut token_id)
            .map_err(|error| MintError::NoRandomness(error.to_string()))?;
        let kid = key_id(self.0.key.verifying_key().as_bytes());
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid});
        let claims = json!({
            "iss": self.0.name, "sub": self.0.name, "aud": audience,
            "iat": now, "exp": expires_at, "jti": hex::encode(token_id),
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signing_input = format!("{}.{}", part(header), part(claims));
        let signature = self.0.key.sign(signing_input.as_bytes());
        Ok(format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
    }
}

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineKey").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// The machines that a door lists.
pub(crate) struct Machines(HashMap<String, Vec<Listed>>);

struct Listed {
    key_id: String,
    key: Key,
    roles: BTreeSet<String>,
}

impl Machines {
    pub(crate) fn new(machines: Vec<Machine>) -> Machines {
        let mut by_name: HashMap<String, Vec<Listed>> = HashMap::new();
        for machine in machines {
            by_name.entry(machine.name).or_default().push(Listed {
                key_id: key_id(&machine.public_key),
                key: Key::ed25519(&machine.public_key),
                roles: machine.roles.into_iter().collect(),
            });
        }
        Machines(by_name)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        name: &str,
        audience: &str,
        now: u64,
        leeway_seconds: u64,
    ) -> Result<Verified, AuthError> {
        if token.algorithm != Algorithm::EdDSA {
            return Err(AuthError::AlgorithmNeverAllowed {
                algorithm: token.alg.clone(),
                instead: "a machine signs its own tokens with EdDSA",
            });
        }
        let listed = self.choose(name, token.kid.as_deref())?;
        if !listed.key.verifies(token.algorithm, token.signing_input, token.signature) {
            return Err(AuthError::BadSignature);
        }
        claims::check_audience(&token.claims, audience)?;
        if claims::required(&token.claims, "sub")? != name {
            return Err(AuthError::Malformed("`sub` of a machine's token must equal its `iss`"));
        }
        let validity = Validity::of(&token.claims)?;
        if validity.expires_at
            > now.saturating_add(MAX_LIFETIME_SECONDS).saturating_add(leeway_seconds)
        {
            return Err(AuthError::LifetimeTooLong { limit_seconds: MAX_LIFETIME_SECONDS });
        }
        let principal = Principal {
            issuer: name.to_owned(),
            subject: name.to_owned(),
            kind: PrincipalKind::Machine,
            name: Some(name.to_owned()),
            roles: listed.roles.clone(),
            expires_at: validity.expires_at,
            token_id: token.claims.get("jti").and_then(|id| id.as_str()).map(str::to_owned),
            algorithm: token.alg.clone(),
            claims: claims::kept_always(&token.claims),
            ..Principal::unauthenticated()
        };
        Ok(Verified { principal: Arc::new(principal), validity, until: None })
    }

    fn choose(&self, name: &str, kid: Option<&str>) -> Result<&Listed, AuthError> {
        let mut keys = self
            .0
            .get(name)
            .into_iter()
            .flatten()
            .filter(|key| kid.is_none_or(|kid| key.key_id == kid));
        match (keys.next(), keys.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(AuthError::UnknownKey {
                issuer: name.to_owned(),
                kid: kid.map(shown).unwrap_or_default(),
            }),
        }
    }
}

fn key_id(public_key: &[u8; 32]) -> String {
    hex::encode(&Sha256::digest(public_key)[..8])
}
