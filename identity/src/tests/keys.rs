//! How keys are found, kept, replaced, and missed.

use std::time::Duration;

use axum::http::header::LOCATION;
use serde_json::{Value, json};

use super::issuer::TestIssuer;
use super::signer::Signer;
use super::{DOOR, eventually, issuer_config, verifier};
use crate::config::{Algorithm, IdentityConfig};
use crate::error::AuthError;
use crate::jwks::Timing;
use crate::verifier::{Verifier, unix_now};

const ALGORITHM: Algorithm = Algorithm::EdDSA;

fn signer(kid: &str) -> Signer {
    Signer::for_algorithm(ALGORITHM, kid)
}

/// A token unlike any other, so that it is verified and not remembered.
fn token(issuer: &TestIssuer, signer: &Signer) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = COUNT.fetch_add(1, Ordering::Relaxed);
    let claims: Value = json!({"iss": issuer.url(), "sub": "ada", "aud": DOOR, "exp": unix_now() + 600, "jti": id.to_string()});
    signer.token(ALGORITHM, &claims)
}

/// Fetches at every turn.
fn eager() -> Timing {
    Timing { min_interval: Duration::ZERO, min_interval_empty: Duration::ZERO, ..Timing::default() }
}

#[tokio::test]
async fn invented_key_ids_do_not_hammer_the_issuer() {
    let known = signer("known");
    let issuer = TestIssuer::start(&[&known]);
    let verifier = verifier(&issuer.url(), Timing::default());
    verifier.warm().await;
    assert_eq!(issuer.asked("/keys"), 1);
    for n in 0..50 {
        let error = verifier
            .authenticate(&token(&issuer, &signer(&format!("k{n}"))), DOOR)
            .await
            .unwrap_err();
        assert_eq!(error, AuthError::UnknownKey { issuer: issuer.url(), kid: format!("k{n}") });
    }
    assert_eq!(issuer.asked("/keys"), 1);
    assert!(verifier.authenticate(&token(&issuer, &known), DOOR).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_callers_cause_one_fetch() {
    let known = signer("known");
    let issuer = TestIssuer::start(&[&known]);
    let verifier = verifier(&issuer.url(), Timing::default());
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (verifier, token) = (verifier.clone(), token(&issuer, &known));
        callers.spawn(async move { verifier.authenticate(&token, DOOR).await.is_ok() });
    }
    assert!(callers.join_all().await.into_iter().all(|known| known));
    assert_eq!(issuer.asked("/keys"), 1);
}

#[tokio::test]
async fn a_new_key_is_picked_up_and_a_withdrawn_one_dropped() {
    let (old, new) = (signer("old"), signer("new"));
    let issuer = TestIssuer::start(&[&old]);
    let verifier = verifier(&issuer.url(), eager());
    assert!(verifier.authenticate(&token(&issuer, &old), DOOR).await.is_ok());
    issuer.publish_keys(&[&new]);
    assert!(verifier.authenticate(&token(&issuer, &new), DOOR).await.is_ok());
    let error = verifier.authenticate(&token(&issuer, &old), DOOR).await.unwrap_err();
    assert_eq!(error.code(), "unknown_key");
}

#[tokio::test]
async fn a_remembered_token_ends_with_the_age_of_its_key() {
    let (old, new) = (signer("old"), signer("new"));
    let issuer = TestIssuer::start(&[&old]);
    let timing = Timing { max_age: Duration::from_millis(100), ..eager() };
    let verifier = verifier(&issuer.url(), timing);
    let token = token(&issuer, &old);
    assert!(verifier.authenticate(&token, DOOR).await.is_ok());
    issuer.publish_keys(&[&new]);
    let error = eventually("the token is verified anew", async || {
        verifier.authenticate(&token, DOOR).await.err()
    })
    .await;
    assert_eq!(error.code(), "unknown_key");
}

#[tokio::test]
async fn keys_are_fetched_ahead_of_their_age() {
    let known = signer("known");
    let issuer = TestIssuer::start(&[&known]);
    let timing = Timing { max_age: Duration::from_secs(2), ..eager() };
    let verifier = verifier(&issuer.url(), timing);
    eventually("a second fetch, with no unknown key", async || {
        verifier.authenticate(&token(&issuer, &known), DOOR).await.unwrap();
        (issuer.asked("/keys") > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn stale_keys_bridge_an_outage_but_not_for_ever() {
    let (known, new) = (signer("known"), signer("new"));
    let mut issuer = TestIssuer::start(&[&known]);
    let timing =
        Timing { max_age: Duration::ZERO, max_stale: Duration::from_millis(1500), ..eager() };
    let verifier = verifier(&issuer.url(), timing);
    assert!(verifier.authenticate(&token(&issuer, &known), DOOR).await.is_ok());
    issuer.stop();
    assert!(
        verifier.authenticate(&token(&issuer, &known), DOOR).await.is_ok(),
        "stale keys are used"
    );
    let unknown = verifier.authenticate(&token(&issuer, &new), DOOR).await.unwrap_err();
    assert_eq!(unknown.code(), "issuer_unreachable", "the issuer may have begun to use it");
    let error = eventually("stale keys end", async || {
        verifier.authenticate(&token(&issuer, &known), DOOR).await.err()
    })
    .await;
    assert_eq!(error.code(), "issuer_unreachable");
    assert!(error.is_retryable());
    assert_eq!(error.http_status(), 503);
    issuer.resume();
    assert!(verifier.authenticate(&token(&issuer, &known), DOOR).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_is_down_from_the_start_is_retryable_and_comes_back() {
    let known = signer("known");
    let mut issuer = TestIssuer::start(&[&known]);
    issuer.stop();
    let verifier = verifier(&issuer.url(), Timing::default());
    verifier.warm().await;
    let error = verifier.authenticate(&token(&issuer, &known), DOOR).await.unwrap_err();
    let AuthError::IssuerUnreachable { issuer: named, reason } = &error else { panic!("{error}") };
    assert_eq!(*named, issuer.url());
    assert!(reason.contains("refused"), "{reason}");
    assert!(error.is_retryable() && error.challenge_error().is_none());
    issuer.resume();
    eventually("the issuer is back", async || {
        verifier.authenticate(&token(&issuer, &known), DOOR).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_fetch() {
    let known = signer("known");
    let issuer = TestIssuer::start(&[&known]);
    let verifier = verifier(&issuer.url(), Timing::default());
    let text = token(&issuer, &known);
    {
        let mut call = Box::pin(verifier.authenticate(&text, DOOR));
        // Polled once: the fetch has begun. Then dropped.
        tokio::select! { biased; _ = &mut call => panic!("no key could be there yet"), () = std::future::ready(()) => {} }
    }
    eventually("the fetch ends", async || (issuer.asked("/keys") == 1).then_some(())).await;
    assert!(verifier.authenticate(&text, DOOR).await.is_ok());
    assert_eq!(issuer.asked("/keys"), 1);
}

#[tokio::test]
async fn metadata_is_found_at_each_place_of_an_issuer_with_a_path() {
    for place in [
        "/realms/one/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/one",
        "/.well-known/openid-configuration/realms/one",
    ] {
        let known = signer("known");
        let issuer = TestIssuer::start_at("/realms/one", place, &[&known]);
        let verifier = verifier(&issuer.url(), Timing::default());
        verifier.authenticate(&token(&issuer, &known), DOOR).await.expect(place);
        assert_eq!(issuer.asked(place), 1);
    }
}

#[tokio::test]
async fn a_configured_jwks_uri_needs_no_discovery() {
    let known = signer("known");
    let issuer = TestIssuer::start(&[&known]);
    let mut config = issuer_config(&issuer.url());
    config.jwks_uri = Some(format!("{}/keys", issuer.origin()));
    let verifier =
        Verifier::new(IdentityConfig { issuers: vec![config], ..IdentityConfig::default() })
            .unwrap();
    assert!(verifier.authenticate(&token(&issuer, &known), DOOR).await.is_ok());
    assert_eq!(issuer.asked("/.well-known/openid-configuration"), 0);
}

const METADATA: &str = "/.well-known/openid-configuration";

/// Why the keys of `issuer` cannot be had.
async fn unreachable(issuer: &TestIssuer) -> String {
    let error = verifier(&issuer.url(), eager())
        .authenticate(&token(issuer, &signer("k")), DOOR)
        .await
        .unwrap_err();
    let AuthError::IssuerUnreachable { reason, .. } = error else { panic!("{error}") };
    assert!(reason.bytes().all(|b| (0x20..0x7f).contains(&b)), "{reason}");
    reason
}

#[tokio::test]
async fn metadata_that_is_not_trusted() {
    let issuer = TestIssuer::start(&[&signer("k")]);
    let (url, keys) = (issuer.url(), format!("{}/keys", issuer.origin()));
    for (document, expected) in [
        (json!({"jwks_uri": keys}), "no `issuer` and"),
        (json!({"issuer": url}), "no `issuer` and"),
        (json!({"issuer": "http://evil\r\n", "jwks_uri": keys}), "another issuer"),
        (json!({"issuer": format!("{url}/"), "jwks_uri": keys}), "another issuer"),
        (json!({"issuer": url, "jwks_uri": "http://192.0.2.1/keys"}), "jwks_uri is http"),
        (json!({"issuer": url, "jwks_uri": "file:///etc/passwd"}), "must be an https URL"),
    ] {
        issuer.publish(METADATA, &document);
        let reason = unreachable(&issuer).await;
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    assert_eq!(issuer.asked("/keys"), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let issuer = TestIssuer::start(&[&signer("k")]);
    issuer.answer(METADATA, 302, vec![(LOCATION, "/elsewhere".to_owned())], vec![]);
    let reason = unreachable(&issuer).await;
    assert!(reason.contains("HTTP 302"), "{reason}");
    assert_eq!(issuer.asked("/elsewhere"), 0);
}

#[tokio::test]
async fn key_documents_that_are_not_read() {
    let issuer = TestIssuer::start(&[]);
    let many = json!({"keys": vec![json!({}); 257]}).to_string();
    for (status, body, expected) in [
        (500, String::new(), "HTTP 500"),
        (200, " ".repeat(1024 * 1024 + 1), "larger than"),
        (200, "<html>".to_owned(), "JWKS"),
        (200, many, "more than 256"),
    ] {
        issuer.answer("/keys", status, vec![], body.into_bytes());
        let reason = unreachable(&issuer).await;
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}
