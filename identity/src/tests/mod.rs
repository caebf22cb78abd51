//! Whole tokens against a real HTTP issuer on loopback, with real keys.

mod issuer;
mod keys;
mod machines;
mod signer;
mod tokens;

use std::time::{Duration, Instant};

use crate::config::{IdentityConfig, IssuerConfig};
use crate::jwks::Timing;
use crate::verifier::Verifier;

/// The door of these tests.
const DOOR: &str = "https://gw.example/mcp/db";

/// A verifier of one issuer that takes every algorithm.
fn verifier(issuer: &str, timing: Timing) -> Verifier {
    let config =
        IdentityConfig { issuers: vec![issuer_config(issuer)], ..IdentityConfig::default() };
    Verifier::with_timing(config, timing).unwrap()
}

fn issuer_config(issuer: &str) -> IssuerConfig {
    IssuerConfig { algorithms: signer::EVERY_ALGORITHM.to_vec(), ..IssuerConfig::new(issuer) }
}

/// Tries until it is so, at most 10 s.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
