//! Machines that sign their own tokens.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::DOOR;
use super::signer::Signer;
use crate::config::{Algorithm, IdentityConfig, MachineConfig};
use crate::error::AuthError;
use crate::machine::{MachineKey, MintError};
use crate::principal::PrincipalKind;
use crate::verifier::{Verifier, unix_now};

const NAME: &str = "query-1.corp.example";

fn listed(key: &MachineKey, roles: &[&str]) -> MachineConfig {
    MachineConfig {
        name: key.name().to_owned(),
        public_key: key.vkey(),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
    }
}

fn door(machines: Vec<MachineConfig>) -> Verifier {
    Verifier::new(IdentityConfig { machines, ..IdentityConfig::default() }).unwrap()
}

#[tokio::test]
async fn a_listed_machine_is_known_by_its_own_token() {
    let key = MachineKey::new(NAME, &[1; 32]);
    let door = door(vec![listed(&key, &["reader", "siem"])]);
    let principal = door.authenticate(&key.token(DOOR).unwrap(), DOOR).await.unwrap();
    assert_eq!((principal.issuer.as_str(), principal.subject.as_str()), (NAME, NAME));
    assert_eq!(principal.kind, PrincipalKind::Machine);
    assert!(principal.is_configured_machine());
    assert_eq!(principal.roles, BTreeSet::from(["reader".to_owned(), "siem".to_owned()]));
    assert_eq!(principal.algorithm, "EdDSA");
    assert_eq!(principal.token_id.as_ref().map(String::len), Some(32));
    let error =
        door.authenticate(&key.token("https://other.example").unwrap(), DOOR).await.unwrap_err();
    assert_eq!(error.code(), "wrong_audience");
}

#[tokio::test]
async fn wrong_key_unknown_machine_and_foreign_claims_are_refused() {
    let key = MachineKey::new(NAME, &[1; 32]);
    let other_key = MachineKey::new(NAME, &[2; 32]);
    let stranger = MachineKey::new("stranger", &[1; 32]);
    let door = door(vec![listed(&key, &[])]);
    let refused = async |token: String| door.authenticate(&token, DOOR).await.unwrap_err().code();
    assert_eq!(refused(other_key.token(DOOR).unwrap()).await, "unknown_key");
    assert_eq!(refused(stranger.token(DOOR).unwrap()).await, "wrong_issuer");

    // Right name, wrong key, no `kid` that would tell.
    let forger = Signer::for_algorithm(Algorithm::EdDSA, "k");
    let now = unix_now();
    let claims = json!({"iss": NAME, "sub": NAME, "aud": DOOR, "iat": now, "exp": now + 60});
    let header = json!({"alg": "EdDSA"});
    assert_eq!(
        refused(forger.token_with(&header, Algorithm::EdDSA, &claims)).await,
        "bad_signature"
    );
    let rsa = Signer::for_algorithm(Algorithm::RS256, "k");
    let token = rsa.token(Algorithm::RS256, &claims);
    let error = door.authenticate(&token, DOOR).await.unwrap_err();
    assert_eq!(error.code(), "algorithm_not_allowed");
    let told = error.to_string();
    assert!(told.contains("`RS256`") && told.contains("EdDSA"), "{told}");
}

#[tokio::test]
async fn a_machine_cannot_name_another_subject_or_live_long() {
    // The forger's own key, listed this time.
    let signer = Signer::for_algorithm(Algorithm::EdDSA, "k");
    let public: [u8; 32] = {
        use base64::Engine;
        let text = signer.jwk()["x"].as_str().unwrap().to_owned();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    };
    let machine = MachineConfig {
        name: NAME.to_owned(),
        public_key: crate::vkey::format("any.name", &public),
        roles: vec!["reader".to_owned()],
    };
    let door = door(vec![machine]);
    let now = unix_now();
    let code = async |claims: Value| {
        let token = signer.token_with(&json!({"alg": "EdDSA"}), Algorithm::EdDSA, &claims);
        door.authenticate_at(&token, DOOR, now).await.err().map_or("", |error| error.code())
    };
    let claims = |sub: &str, life: u64| json!({"iss": NAME, "sub": sub, "aud": DOOR, "exp": now + life, "roles": ["admin"]});
    assert_eq!(code(claims(NAME, 900)).await, "");
    assert_eq!(code(claims("admin", 60)).await, "token_malformed");
    assert_eq!(code(claims(NAME, 931)).await, "lifetime_too_long");
    // Roles come from the configuration, never from the machine.
    let token = signer.token_with(&json!({"alg": "EdDSA"}), Algorithm::EdDSA, &claims(NAME, 60));
    let principal = door.authenticate(&token, DOOR).await.unwrap();
    assert!(principal.has_role("reader") && !principal.has_role("admin"));
}

#[tokio::test]
async fn two_keys_of_one_machine_stand_side_by_side() {
    let (old, new) = (MachineKey::new(NAME, &[1; 32]), MachineKey::new(NAME, &[2; 32]));
    let door = door(vec![listed(&old, &["reader"]), listed(&new, &["reader"])]);
    for key in [&old, &new] {
        assert!(door.authenticate(&key.token(DOOR).unwrap(), DOOR).await.is_ok());
    }
}

#[tokio::test]
async fn a_remembered_machine_token_expires() {
    let key = MachineKey::new(NAME, &[1; 32]);
    let door = door(vec![listed(&key, &[])]);
    let now = unix_now();
    let token = key.token_at(DOOR, now).unwrap();
    assert!(door.authenticate_at(&token, DOOR, now).await.is_ok());
    assert!(door.authenticate_at(&token, DOOR, now + 329).await.is_ok());
    let error = door.authenticate_at(&token, DOOR, now + 330).await.unwrap_err();
    assert_eq!(error, AuthError::Expired { expired_at: now + 300, now: now + 330 });
}

#[test]
fn tokens_are_reused_until_a_minute_before_they_expire() {
    let key = MachineKey::new(NAME, &[1; 32]);
    let first = key.token_at(DOOR, 1_000_000).unwrap();
    assert_eq!(key.token_at(DOOR, 1_000_239).unwrap(), first);
    assert_ne!(key.token_at("https://other.example", 1_000_000).unwrap(), first);
    let second = key.token_at(DOOR, 1_000_240).unwrap();
    assert_ne!(second, first);
    assert_ne!(key.token_at(DOOR, 900_000).unwrap(), second, "the clock stepped back");
    assert_eq!(key.token_at(DOOR, u64::MAX).unwrap_err(), MintError::NoClock);
    for n in 0..1000 {
        key.token_at(&format!("https://door-{n}.example"), 1_000_000).unwrap();
    }
    assert_eq!(format!("{key:?}"), "MachineKey { name: \"query-1.corp.example\", .. }");
}
