//! An OIDC issuer: one Ed25519 key drawn at start, discovery and JWKS over HTTP, tokens that are real.
//!
//! It has no login; it hands the demo its tokens. Sources: OpenID Connect Discovery 1.0, RFC 7517 (JWK), RFC 8037
//! (EdDSA), RFC 9068 (JWT access tokens).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use crate::error::DemoError;
use crate::people::Person;

/// How long tokens count: a working day with the demo left running.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The demo's identity provider.
pub struct Issuer {
    url: String,
    key: SigningKey,
    key_id: String,
}

impl Issuer {
    /// An issuer with a fresh key, known as `url` (what its tokens say in `iss`).
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(url: impl Into<String>) -> Result<Self, DemoError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(DemoError::Random)?;
        let key = SigningKey::from_bytes(&seed);
        let key_id = URL_SAFE_NO_PAD.encode(&key.verifying_key().as_bytes()[..9]);
        Ok(Self { url: url.into(), key, key_id })
    }

    /// Its identifier.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Discovery and keys, to be served at its URL.
    pub fn router(&self) -> Router {
        let discovery = json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/jwks", self.url),
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        let keys = json!({ "keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": self.key_id,
            "x": URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
        }]});
        let document = |document: Value| get(move || std::future::ready(Json(document.clone())));
        Router::new()
            .route("/.well-known/openid-configuration", document(discovery))
            .route("/jwks", document(keys))
    }

    /// An access token for a person, good at each of `audiences`.
    pub fn token(&self, person: &Person, audiences: &[String]) -> String {
        let now = unix_now();
        self.sign(&self.claims(person, audiences, now, now + LIFETIME.as_secs()))
    }

    /// A token of the same kind whose time is over.
    pub fn expired_token(&self, person: &Person, audiences: &[String]) -> String {
        let day = 24 * 60 * 60;
        let then = unix_now().saturating_sub(day);
        self.sign(&self.claims(person, audiences, then, then + LIFETIME.as_secs()))
    }

    fn claims(&self, person: &Person, audiences: &[String], from: u64, until: u64) -> Value {
        // A program acts as itself: its client is its subject (RFC 9068, section 2.2).
        let client = if person.is_machine { person.name } else { "demo-client" };
        json!({
            "iss": self.url,
            "sub": person.name,
            "aud": audiences,
            "iat": from,
            "nbf": from,
            "exp": until,
            "client_id": client,
            "name": person.name,
            "groups": person.groups,
            "roles": person.roles,
            "scope": person.scope,
        })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.key_id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}

/// Never prints the key.
impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use identity::{Algorithm, IdentityConfig, IssuerConfig, PrincipalKind, Verifier};
    use tokio::net::TcpListener;

    use super::*;
    use crate::people::PEOPLE;

    const DOOR: &str = "http://127.0.0.1:1/mcp/shop";

    async fn serve() -> (Issuer, Verifier) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Issuer::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = issuer.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = IdentityConfig {
            issuers: vec![IssuerConfig {
                algorithms: vec![Algorithm::EdDSA],
                ..IssuerConfig::new(issuer.url())
            }],
            ..IdentityConfig::default()
        };
        (issuer, Verifier::new(config).unwrap())
    }

    #[tokio::test]
    async fn its_tokens_are_good_where_they_name_the_door() {
        let (issuer, verifier) = serve().await;
        for person in &PEOPLE {
            let token = issuer.token(person, &["http://other".to_owned(), DOOR.to_owned()]);
            let principal = verifier.authenticate(&token, DOOR).await.unwrap();
            assert_eq!(
                (principal.subject.as_str(), principal.issuer.as_str()),
                (person.name, issuer.url())
            );
            assert_eq!(principal.kind == PrincipalKind::Machine, person.is_machine);
            assert!(
                principal.groups.iter().eq(person.groups)
                    && principal.roles.iter().eq(person.roles)
            );
            let elsewhere = verifier.authenticate(&token, "http://elsewhere").await.unwrap_err();
            assert_eq!(elsewhere.code(), "wrong_audience");
        }
    }

    #[tokio::test]
    async fn expired_forged_and_foreign_tokens_are_refused() {
        let (issuer, verifier) = serve().await;
        let doors = [DOOR.to_owned()];
        let expired = issuer.expired_token(&PEOPLE[0], &doors);
        assert_eq!(
            verifier.authenticate(&expired, DOOR).await.unwrap_err().code(),
            "token_expired"
        );
        let forger = Issuer::new(issuer.url()).unwrap();
        let forged = forger.token(&PEOPLE[0], &doors);
        assert!(verifier.authenticate(&forged, DOOR).await.is_err());
        let good = issuer.token(&PEOPLE[1], &doors);
        let other = issuer.token(&PEOPLE[0], &doors);
        let (head, _) = good.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        let error = verifier.authenticate(&format!("{head}.{signature}"), DOOR).await.unwrap_err();
        assert_eq!(error.code(), "bad_signature");
    }
}
