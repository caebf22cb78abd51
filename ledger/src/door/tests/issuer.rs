//! An OIDC issuer on loopback.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Algorithm, IssuerConfig};
use serde_json::{Value, json};
use tlog::SigningKey;

use super::{URL, key};

pub(super) struct Issuer {
    url: String,
    key: SigningKey,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let key = key("issuer", 8);
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().public_key());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "k", "x": x});
        let keys = json!({"keys": [jwk]}).to_string();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(move || async move { keys }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, key }
    }

    pub(super) fn config(&self) -> IssuerConfig {
        IssuerConfig {
            algorithms: vec![Algorithm::EdDSA],
            jwks_uri: Some(format!("{}/keys", self.url)),
            ..IssuerConfig::new(&self.url)
        }
    }

    /// A token for the ledger.
    pub(super) fn token(&self, subject: &str, roles: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"alg": "EdDSA", "kid": "k"});
        let claims = json!({
            "iss": self.url, "sub": subject, "aud": URL, "exp": now + 600, "roles": roles
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign_bytes(input.as_bytes()));
        format!("{input}.{signature}")
    }
}
