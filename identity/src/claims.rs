//! From verified claims to a principal.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::config::IssuerConfig;
use crate::error::AuthError;
use crate::foreign::shown;
use crate::principal::{Principal, PrincipalKind};
use crate::token::UnverifiedToken;

/// Claims that are kept beside those named in the configuration.
const KEPT: [&str; 13] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "client_id",
    "scp",
    "exp",
    "nbf",
    "iat",
    "jti",
    "auth_time",
    "acr",
    "amr",
];

/// When a token counts, in Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) expires_at: u64,
    valid_from: u64,
}

impl Validity {
    pub(crate) fn of(claims: &Map<String, Value>) -> Result<Validity, AuthError> {
        let expires_at = time(claims, "exp")?.ok_or(AuthError::MissingClaim("exp"))?;
        let valid_from = time(claims, "nbf")?.max(time(claims, "iat")?).unwrap_or(0);
        Ok(Validity { expires_at, valid_from })
    }

    pub(crate) fn check(self, now: u64, leeway: u64) -> Result<(), AuthError> {
        if now >= self.expires_at.saturating_add(leeway) {
            return Err(AuthError::Expired { expired_at: self.expires_at, now });
        }
        if self.valid_from > now.saturating_add(leeway) {
            return Err(AuthError::NotYetValid { valid_from: self.valid_from, now });
        }
        Ok(())
    }
}

/// `aud` is one string or a list of them (RFC 7519 section 4.1.3) and must contain `expected`.
pub(crate) fn check_audience(claims: &Map<String, Value>, expected: &str) -> Result<(), AuthError> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if audiences.is_empty() {
        return Err(AuthError::MissingClaim("aud"));
    }
    if audiences.contains(&expected) {
        return Ok(());
    }
    Err(AuthError::WrongAudience {
        expected: expected.to_owned(),
        got: shown(&audiences.join(", ")),
    })
}

/// A claim that must be there, a string, and not empty.
pub(crate) fn required<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a str, AuthError> {
    optional(claims, name).filter(|value| !value.is_empty()).ok_or(AuthError::MissingClaim(name))
}

/// The principal of an issuer's token whose signature, audience and times are good.
pub(crate) fn principal(
    token: &UnverifiedToken<'_>,
    validity: Validity,
    issuer: &IssuerConfig,
) -> Result<Principal, AuthError> {
    let claims = &token.claims;
    let subject = required(claims, "sub")?;
    let mut scopes = words(claims, &issuer.scope_claim)?;
    scopes.extend(words(claims, "scp")?);
    let text = |name| optional(claims, name).map(str::to_owned);
    Ok(Principal {
        issuer: issuer.issuer.clone(),
        subject: subject.to_owned(),
        kind: kind(claims, subject, issuer),
        name: text("name").or_else(|| text("preferred_username")),
        email: text("email"),
        client_id: text("client_id").or_else(|| text("azp")),
        groups: list(claims, &issuer.groups_claim)?,
        roles: list(claims, &issuer.roles_claim)?,
        scopes,
        expires_at: validity.expires_at,
        token_id: text("jti"),
        algorithm: token.alg.clone(),
        claims: kept(claims, issuer),
    })
}

/// The claims kept of any token, issuer's or machine's.
pub(crate) fn kept_always(claims: &Map<String, Value>) -> Map<String, Value> {
    KEPT.iter().filter_map(|&name| Some((name.to_owned(), claims.get(name)?.clone()))).collect()
}

fn kept(claims: &Map<String, Value>, issuer: &IssuerConfig) -> Map<String, Value> {
    let mut kept = kept_always(claims);
    let named = [
        Some(&issuer.groups_claim),
        Some(&issuer.roles_claim),
        Some(&issuer.scope_claim),
        issuer.kind_claim.as_ref(),
    ];
    for claim in named.into_iter().flatten() {
        if let Some(value) = at(claims, claim) {
            kept.insert(claim.clone(), value.clone());
        }
    }
    kept
}

fn kind(claims: &Map<String, Value>, subject: &str, issuer: &IssuerConfig) -> PrincipalKind {
    let is_machine = if let Some(claim) = &issuer.kind_claim {
        at(claims, claim)
            .and_then(Value::as_str)
            .is_some_and(|kind| issuer.machine_kinds.iter().any(|m| m == kind))
    } else {
        let acts_as_itself =
            ["client_id", "azp"].iter().any(|name| optional(claims, name) == Some(subject));
        let grant = optional(claims, "gty");
        acts_as_itself || matches!(grant, Some("client-credentials" | "client_credentials"))
    };
    if is_machine { PrincipalKind::Machine } else { PrincipalKind::Human }
}

/// The value of a claim: by its whole name first (so that `https://example.com/groups` is one),
/// else by dotted path.
fn at<'a>(claims: &'a Map<String, Value>, claim: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(claim) {
        return Some(value);
    }
    let mut steps = claim.split('.');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.as_object()?.get(step))
}

/// One string or a list of strings. What is there but unreadable is an error: a rule that forbids
/// by group must not be passed by a token whose groups could not be read.
fn list(claims: &Map<String, Value>, claim: &str) -> Result<BTreeSet<String>, AuthError> {
    let unreadable = || AuthError::UnreadableClaim { claim: claim.to_owned() };
    match at(claims, claim) {
        None | Some(Value::Null) => {
            // OpenID Connect Core section 5.6.2: the values stand elsewhere (as when there are too
            // many groups).
            let elsewhere = claims.get("_claim_names").and_then(|names| names.get(claim)).is_some();
            if elsewhere { Err(unreadable()) } else { Ok(BTreeSet::new()) }
        }
        Some(Value::String(one)) => Ok(BTreeSet::from([one.clone()])),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(unreadable))
            .collect(),
        Some(_) => Err(unreadable()),
    }
}

/// As [`list`], each string split at spaces (RFC 6749 section 3.3).
fn words(claims: &Map<String, Value>, claim: &str) -> Result<BTreeSet<String>, AuthError> {
    let strings = list(claims, claim)?;
    Ok(strings.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect())
}

fn optional<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// A NumericDate (RFC 7519 section 2), fractions cut.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<u64>, AuthError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match (value.as_u64(), value.as_f64()) {
            (Some(seconds), _) => Ok(Some(seconds)),
            // A cast from a non-negative float saturates.
            (None, Some(seconds)) if seconds >= 0.0 => Ok(Some(seconds as u64)),
            _ => Err(AuthError::MissingClaim(name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn set(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    #[test]
    fn finds_claims_by_name_url_and_path() {
        let claims = object(&json!({
            "groups": ["a", "b", "a"], "https://x.example/roles": ["r"], "realm_access": {"roles": ["admin"]},
            "a.b": "flat", "a": {"b": "deep"}, "one": "single"
        }));
        assert_eq!(list(&claims, "groups"), Ok(set(&["a", "b"])));
        assert_eq!(list(&claims, "https://x.example/roles"), Ok(set(&["r"])));
        assert_eq!(list(&claims, "realm_access.roles"), Ok(set(&["admin"])));
        assert_eq!(list(&claims, "a.b"), Ok(set(&["flat"])));
        assert_eq!(list(&claims, "one"), Ok(set(&["single"])));
        for absent in ["nothing", "realm_access.groups", "groups.x", "", ".", "one.two"] {
            assert_eq!(list(&claims, absent), Ok(set(&[])), "{absent}");
        }
    }

    #[test]
    fn groups_that_cannot_be_read_are_an_error() {
        for groups in [json!(7), json!({"a": 1}), json!(["a", 1]), json!([["a"]]), json!(true)] {
            let claims = object(&json!({"groups": groups}));
            assert_eq!(list(&claims, "groups").unwrap_err().code(), "unreadable_claim");
        }
        let overage =
            object(&json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}));
        assert_eq!(list(&overage, "groups").unwrap_err().code(), "unreadable_claim");
        assert_eq!(list(&overage, "roles"), Ok(set(&[])));
    }

    #[test]
    fn scopes_are_words_or_lists() {
        let claims = object(&json!({"scope": "a b  a", "scp": ["c", "d e"]}));
        assert_eq!(words(&claims, "scope"), Ok(set(&["a", "b"])));
        assert_eq!(words(&claims, "scp"), Ok(set(&["c", "d", "e"])));
    }

    #[test]
    fn tells_machines_from_humans() {
        let issuer = IssuerConfig::new("https://idp.example");
        for (claims, expected) in [
            (json!({}), PrincipalKind::Human),
            (json!({"client_id": "app"}), PrincipalKind::Human),
            (json!({"client_id": "s"}), PrincipalKind::Machine),
            (json!({"azp": "s"}), PrincipalKind::Machine),
            (json!({"gty": "client-credentials"}), PrincipalKind::Machine),
            (json!({"gty": "password"}), PrincipalKind::Human),
        ] {
            assert_eq!(kind(&object(&claims), "s", &issuer), expected, "{claims}");
        }
        let by_claim = IssuerConfig { kind_claim: Some("idtyp".to_owned()), ..issuer };
        assert_eq!(kind(&object(&json!({"idtyp": "app"})), "s", &by_claim), PrincipalKind::Machine);
        assert_eq!(
            kind(&object(&json!({"idtyp": "user", "azp": "s"})), "s", &by_claim),
            PrincipalKind::Human
        );
    }

    #[test]
    fn times_are_numbers_and_bound_the_token() {
        let of = |value: Value| Validity::of(&object(&value));
        assert_eq!(of(json!({})).unwrap_err(), AuthError::MissingClaim("exp"));
        for bad in [json!("9"), json!(-1), json!(null), json!([1])] {
            assert_eq!(of(json!({"exp": bad})).unwrap_err(), AuthError::MissingClaim("exp"));
        }
        assert_eq!(of(json!({"exp": 9, "nbf": "x"})).unwrap_err(), AuthError::MissingClaim("nbf"));
        let validity = of(json!({"exp": 100.9, "nbf": 40, "iat": 50})).unwrap();
        for (now, code) in
            [(39, "token_not_yet_valid"), (40, ""), (50, ""), (109, ""), (110, "token_expired")]
        {
            assert_eq!(
                validity.check(now, 10).err().map_or("", |error| error.code()),
                code,
                "{now}"
            );
        }
        let forever = of(json!({"exp": u64::MAX, "nbf": 1e300})).unwrap();
        assert_eq!(forever.check(50, 10).unwrap_err().code(), "token_not_yet_valid");
        assert_eq!(forever.check(u64::MAX, 10).unwrap_err().code(), "token_expired");
    }
}
