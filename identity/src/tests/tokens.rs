//! Good and bad tokens of one issuer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::issuer::TestIssuer;
use super::signer::{EVERY_ALGORITHM, Signer, signing_input};
use super::{DOOR, issuer_config, verifier};
use crate::config::{Algorithm, IdentityConfig};
use crate::error::AuthError;
use crate::jwks::Timing;
use crate::principal::PrincipalKind;
use crate::verifier::{Verifier, unix_now};

fn claims(issuer: &TestIssuer) -> Value {
    let now = unix_now();
    json!({"iss": issuer.url(), "sub": "ada", "aud": DOOR, "exp": now + 600, "iat": now, "jti": "t-1"})
}

fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn every_algorithm_verifies_and_only_its_own_key() {
    let signers: Vec<Signer> = EVERY_ALGORITHM
        .iter()
        .map(|&algorithm| Signer::for_algorithm(algorithm, &format!("k-{algorithm}")))
        .collect();
    let issuer = TestIssuer::start(&signers.iter().collect::<Vec<_>>());
    let verifier = verifier(&issuer.url(), Timing::default());
    for (&algorithm, signer) in EVERY_ALGORITHM.iter().zip(&signers) {
        let token = signer.token(algorithm, &claims(&issuer));
        let principal = verifier.authenticate(&token, DOOR).await.unwrap();
        assert_eq!(principal.algorithm, algorithm.to_string());
        assert_eq!(principal.subject, "ada");
        // Another key of the same type under the same name.
        let forged =
            Signer::for_algorithm(algorithm, &signer.kid).token(algorithm, &claims(&issuer));
        assert_eq!(
            verifier.authenticate(&forged, DOOR).await.unwrap_err(),
            AuthError::BadSignature,
            "{algorithm}"
        );
        // One bit of the payload changed.
        let (input, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = input.split_once('.').unwrap();
        let changed = with(claims(&issuer), &json!({"sub": "adb"})).to_string();
        let altered = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(
            verifier.authenticate(&altered, DOOR).await.unwrap_err(),
            AuthError::BadSignature,
            "{algorithm}"
        );
    }
    assert_eq!(issuer.asked("/keys"), 1);
}

#[tokio::test]
async fn a_machine_of_an_issuer_is_no_configured_machine() {
    let signer = Signer::for_algorithm(Algorithm::EdDSA, "k");
    let issuer = TestIssuer::start(&[&signer]);
    let claims = with(claims(&issuer), &json!({"azp": "ada", "roles": ["follower"]}));
    let verifier = verifier(&issuer.url(), Timing::default());
    let token = signer.token(Algorithm::EdDSA, &claims);
    let principal = verifier.authenticate(&token, DOOR).await.unwrap();
    assert_eq!(principal.kind, PrincipalKind::Machine);
    assert!(principal.has_role("follower") && !principal.is_configured_machine());
}

#[tokio::test]
async fn rfc_9864_name_of_ed25519_is_known() {
    let signer = Signer::for_algorithm(Algorithm::EdDSA, "k");
    let issuer = TestIssuer::start(&[&signer]);
    let token = signer.token_with(
        &json!({"alg": "Ed25519", "kid": "k"}),
        Algorithm::EdDSA,
        &claims(&issuer),
    );
    let principal =
        verifier(&issuer.url(), Timing::default()).authenticate(&token, DOOR).await.unwrap();
    assert_eq!(principal.algorithm, "Ed25519");
}

#[tokio::test]
async fn the_principal_says_what_the_token_says() {
    let signer = Signer::for_algorithm(Algorithm::ES256, "k");
    let issuer = TestIssuer::start(&[&signer]);
    let mut config = issuer_config(&issuer.url());
    config.groups_claim = "https://corp.example/groups".to_owned();
    config.roles_claim = "realm_access.roles".to_owned();
    let config = IdentityConfig { issuers: vec![config], ..IdentityConfig::default() };
    let verifier = Verifier::new(config).unwrap();
    assert_eq!(verifier.issuers().collect::<Vec<_>>(), [issuer.url()]);
    let claims = with(
        claims(&issuer),
        &json!({"aud": ["https://other.example", DOOR], "https://corp.example/groups": ["eng", "oncall"],
                "realm_access": {"roles": ["auditor"]}, "scope": "mcp:call mcp:list", "scp": ["x"], "name": "Ada L.",
                "preferred_username": "ada.l", "email": "ada@corp.example", "azp": "desktop", "acr": "aal2",
                "amr": ["hwk"], "address": "not used", "nonce": "not used"}),
    );
    let principal =
        verifier.authenticate(&signer.token(Algorithm::ES256, &claims), DOOR).await.unwrap();
    assert_eq!(
        (principal.issuer.as_str(), principal.kind),
        (issuer.url().as_str(), PrincipalKind::Human)
    );
    assert!(
        principal.in_group("eng") && principal.in_group("oncall") && !principal.in_group("auditor")
    );
    assert!(principal.has_role("auditor") && principal.has_any_role(&["admin", "auditor"]));
    assert!(
        principal.has_scope("mcp:call")
            && principal.has_scope("mcp:list")
            && principal.has_scope("x")
    );
    assert!(!principal.has_scope("mcp"));
    assert_eq!(principal.name.as_deref(), Some("Ada L."));
    assert_eq!(principal.email.as_deref(), Some("ada@corp.example"));
    assert_eq!(principal.client_id.as_deref(), Some("desktop"));
    assert_eq!(principal.token_id.as_deref(), Some("t-1"));
    assert_eq!(principal.expires_at, claims["exp"].as_u64().unwrap());
    assert_eq!(principal.claims["realm_access.roles"], json!(["auditor"]));
    assert_eq!(principal.claims["acr"], "aal2");
    for dropped in ["address", "nonce", "realm_access"] {
        assert!(!principal.claims.contains_key(dropped), "{dropped}");
    }
    let copy = serde_json::from_str(&serde_json::to_string(&principal).unwrap()).unwrap();
    assert_eq!(principal, copy);
}

#[tokio::test]
async fn each_bad_claim_has_its_own_code() {
    let signer = Signer::for_algorithm(Algorithm::ES256, "k");
    let issuer = TestIssuer::start(&[&signer]);
    let verifier = verifier(&issuer.url(), Timing::default());
    let now = unix_now();
    for (changes, code) in [
        (json!({}), ""),
        (json!({"exp": now - 31}), "token_expired"),
        (json!({"exp": now - 5}), ""),
        (json!({"nbf": now + 120}), "token_not_yet_valid"),
        (json!({"iat": now + 120}), "token_not_yet_valid"),
        (json!({"nbf": now + 5}), ""),
        (json!({"aud": "https://gw.example/mcp/other"}), "wrong_audience"),
        (
            json!({"aud": ["https://gw.example/mcp/dbx", "https://gw.example/mcp"]}),
            "wrong_audience",
        ),
        (json!({"aud": []}), "missing_claim"),
        (json!({"aud": null}), "missing_claim"),
        (json!({"iss": "https://evil.example"}), "wrong_issuer"),
        (json!({"iss": format!("{}/", issuer.url())}), "wrong_issuer"),
        (json!({"iss": null}), "missing_claim"),
        (json!({"iss": ["x"]}), "missing_claim"),
        (json!({"sub": null}), "missing_claim"),
        (json!({"sub": ""}), "missing_claim"),
        (json!({"exp": null}), "missing_claim"),
        (json!({"exp": "soon"}), "missing_claim"),
        (json!({"groups": {"a": 1}}), "unreadable_claim"),
        (json!({"scope": 7}), "unreadable_claim"),
    ] {
        let token = signer.token(Algorithm::ES256, &with(claims(&issuer), &changes));
        let outcome = verifier.authenticate_at(&token, DOOR, now).await;
        assert_eq!(outcome.as_ref().err().map_or("", AuthError::code), code, "{changes}");
        assert!(!outcome.is_err_and(|error| error.is_retryable()));
    }
}

#[tokio::test]
async fn messages_hold_no_raw_foreign_text() {
    let signer = Signer::for_algorithm(Algorithm::ES256, "k");
    let issuer = TestIssuer::start(&[&signer]);
    let verifier = verifier(&issuer.url(), Timing::default());
    let foreign = format!("x\r\n\u{202e}{}", "y".repeat(4000));
    let header = json!({"alg": "ES256", "kid": foreign});
    for token in [
        signer.token(Algorithm::ES256, &with(claims(&issuer), &json!({"iss": foreign}))),
        signer.token(Algorithm::ES256, &with(claims(&issuer), &json!({"aud": foreign}))),
        signer.token_with(&header, Algorithm::ES256, &claims(&issuer)),
        signer.token_with(&json!({"alg": foreign}), Algorithm::ES256, &claims(&issuer)),
    ] {
        let error = verifier.authenticate(&token, DOOR).await.unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.len() < 600 && text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
            assert!(text.contains("yyyy") && !text.contains(&token));
        }
    }
}

#[tokio::test]
async fn algorithms_and_headers_that_are_never_accepted() {
    let rsa = Signer::for_algorithm(Algorithm::RS256, "r");
    let ec = Signer::for_algorithm(Algorithm::ES256, "e");
    let issuer = TestIssuer::start(&[&rsa, &ec]);
    let mut config = issuer_config(&issuer.url());
    config.algorithms = vec![Algorithm::RS256, Algorithm::ES256];
    let config = IdentityConfig { issuers: vec![config], ..IdentityConfig::default() };
    let verifier = Verifier::new(config).unwrap();
    let claims = claims(&issuer);

    let none = format!("{}.", signing_input(&json!({"alg": "none", "kid": "r"}), &claims));
    // RFC 8725 section 2.1: the public key, which everybody knows, used as the shared secret.
    let hmac_input = signing_input(&json!({"alg": "HS256", "kid": "r"}), &claims);
    let secret = URL_SAFE_NO_PAD.decode(rsa.jwk()["n"].as_str().unwrap()).unwrap();
    let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let tag = aws_lc_rs::hmac::sign(&secret, hmac_input.as_bytes());
    let hmac = format!("{hmac_input}.{}", URL_SAFE_NO_PAD.encode(tag));
    let unpinned = rsa.token(Algorithm::PS256, &claims);
    let crossed = rsa.token_with(&json!({"alg": "ES256", "kid": "r"}), Algorithm::RS256, &claims);
    let crit = rsa.token_with(
        &json!({"alg": "RS256", "kid": "r", "crit": ["exp"]}),
        Algorithm::RS256,
        &claims,
    );
    let logout = rsa.token_with(
        &json!({"alg": "RS256", "kid": "r", "typ": "logout+jwt"}),
        Algorithm::RS256,
        &claims,
    );
    // Whoever reads it, caller or operator, can see what is accepted, and where that is said.
    let told = verifier.authenticate(&unpinned, DOOR).await.unwrap_err().to_string();
    for part in ["`PS256`", &issuer.url(), "only RS256, ES256:", "`algorithms`"] {
        assert!(told.contains(part), "{part} not in {told}");
    }
    for (token, code) in [
        (none, "algorithm_not_allowed"),
        (hmac, "algorithm_not_allowed"),
        (unpinned, "algorithm_not_allowed"),
        (crossed, "key_mismatch"),
        (crit, "critical_header"),
        (logout, "token_malformed"),
    ] {
        assert_eq!(verifier.authenticate(&token, DOOR).await.unwrap_err().code(), code);
    }
    // Without `kid` the only key that fits is taken.
    let unnamed = ec.token_with(&json!({"alg": "ES256"}), Algorithm::ES256, &claims);
    assert!(verifier.authenticate(&unnamed, DOOR).await.is_ok());
}

#[tokio::test]
async fn a_verified_token_is_remembered_for_its_door_and_its_time() {
    let signer = Signer::for_algorithm(Algorithm::RS256, "k");
    let mut issuer = TestIssuer::start(&[&signer]);
    let verifier = verifier(&issuer.url(), Timing::default());
    let now = unix_now();
    let token = signer.token(Algorithm::RS256, &claims(&issuer));
    let first = verifier.authenticate_at(&token, DOOR, now).await.unwrap();
    issuer.stop();
    assert_eq!(verifier.authenticate_at(&token, DOOR, now + 1).await.unwrap(), first);
    let other_door =
        verifier.authenticate_at(&token, "https://gw.example/mcp/x", now).await.unwrap_err();
    assert_eq!(other_door.code(), "wrong_audience");
    assert!(verifier.authenticate_at(&token, DOOR, first.expires_at + 29).await.is_ok());
    let late = verifier.authenticate_at(&token, DOOR, first.expires_at + 30).await.unwrap_err();
    assert_eq!(
        late,
        AuthError::Expired { expired_at: first.expires_at, now: first.expires_at + 30 }
    );
    let early = verifier.authenticate_at(&token, DOOR, now - 3600).await.unwrap_err();
    assert_eq!(early.code(), "token_not_yet_valid");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any bytes put for any part of a token of a known issuer: refused, never a panic, and never
    /// retryable.
    #[test]
    fn damaged_tokens_are_refused(at in 0usize..2000, replacement in "[A-Za-z0-9_.=-]{0,6}", cut in 1usize..6) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (verifier, token) = &*FIXTURE;
        let at = at % token.len();
        let end = (at + cut).min(token.len());
        let damaged = format!("{}{replacement}{}", &token[..at], &token[end..]);
        prop_assume!(damaged != *token);
        let error = runtime.block_on(verifier.authenticate(&damaged, DOOR)).unwrap_err();
        prop_assert!(!error.is_retryable(), "{}", error);
    }
}

static FIXTURE: std::sync::LazyLock<(Verifier, String)> = std::sync::LazyLock::new(|| {
    let machine = crate::MachineKey::new("m", &[1; 32]);
    let listed =
        crate::MachineConfig { name: "m".to_owned(), public_key: machine.vkey(), roles: vec![] };
    let config = IdentityConfig { machines: vec![listed], ..IdentityConfig::default() };
    (Verifier::new(config).unwrap(), machine.token(DOOR).unwrap())
});
