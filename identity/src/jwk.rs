//! The public keys of an issuer: RFC 7517, the parts that verify a token's signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Jose, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::config::Algorithm;

/// More keys than this are no key set of an honest issuer.
const MAX_KEYS: usize = 256;

/// The signature keys of a JWKS document that could be understood; the others were skipped.
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Clone)]
pub(crate) struct Key {
    kid: Option<String>,
    /// The algorithm that the issuer pins the key to.
    algorithm: Option<Algorithm>,
    family: Family,
    decoding: DecodingKey,
}

/// What a [`KeySet`] has for a token.
pub(crate) enum Choice<'a> {
    Key(&'a Key),
    /// There is a key of that id, but not for that algorithm.
    Mismatch,
    Unknown,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeySet {
    /// Reads a JWKS document. Keys of other types, uses or sizes are skipped, as RFC 7517 section 5
    /// asks.
    pub(crate) fn parse(document: &[u8]) -> Result<KeySet, &'static str> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(document)
            .map_err(|_| "the JWKS document is not JSON with a list `keys`")?;
        if document.keys.len() > MAX_KEYS {
            return Err("the JWKS document has more than 256 keys");
        }
        Ok(KeySet { keys: document.keys.into_iter().filter_map(Key::parse).collect() })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key named `kid` that fits `algorithm`; without `kid`, the only one that fits.
    pub(crate) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Choice<'_> {
        let mut named =
            self.keys.iter().filter(|key| kid.is_none() || key.kid.as_deref() == kid).peekable();
        let is_known = kid.is_some() && named.peek().is_some();
        let mut fitting = named.filter(|key| key.fits(algorithm));
        match (fitting.next(), kid) {
            (Some(key), Some(_)) => Choice::Key(key),
            (Some(key), None) if fitting.next().is_none() => Choice::Key(key),
            (None, _) if is_known => Choice::Mismatch,
            _ => Choice::Unknown,
        }
    }
}

impl Key {
    /// An Ed25519 key from the configuration.
    pub(crate) fn ed25519(public_key: &[u8; 32]) -> Key {
        Key {
            kid: None,
            algorithm: None,
            family: Family::Ed25519,
            decoding: DecodingKey::from_ed_der(public_key),
        }
    }

    /// Whether `signature` (base64url) over `message` was made with this key. Any error is a no.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.decoding, jose(algorithm))
                .unwrap_or(false)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.family == family(algorithm) && self.algorithm.is_none_or(|pinned| pinned == algorithm)
    }

    fn parse(jwk: Value) -> Option<Key> {
        #[derive(Deserialize)]
        struct Jwk {
            kty: String,
            kid: Option<String>,
            r#use: Option<String>,
            key_ops: Option<Vec<String>>,
            alg: Option<String>,
            crv: Option<String>,
            n: Option<String>,
            e: Option<String>,
            x: Option<String>,
            y: Option<String>,
        }
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let for_signatures = jwk.r#use.as_deref().is_none_or(|used| used == "sig")
            && jwk
                .key_ops
                .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !for_signatures {
            return None;
        }
        // A key pinned to an algorithm that is not ours (RSA-OAEP, HS256) is not for us.
        let algorithm = match &jwk.alg {
            Some(name) => Some(Algorithm::from_header(name)?),
            None => None,
        };
        let bytes = |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_deref()?).ok();
        let coordinate = |field: &Option<String>, length: usize| {
            bytes(field).filter(|value| value.len() == length)
        };
        let point = |length: usize| {
            Some(DecodingKey::from_ec_der(
                &[vec![4], coordinate(&jwk.x, length)?, coordinate(&jwk.y, length)?].concat(),
            ))
        };
        let (family, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
                // 2048 to 8192 bits; leading zeros are not size.
                let size = n.iter().skip_while(|&&byte| byte == 0).count();
                if !(256..=1024).contains(&size) || e.len() > 8 {
                    return None;
                }
                (Family::Rsa, DecodingKey::from_rsa_raw_components(&n, &e))
            }
            ("EC", Some("P-256")) => (Family::P256, point(32)?),
            ("EC", Some("P-384")) => (Family::P384, point(48)?),
            ("OKP", Some("Ed25519")) => {
                (Family::Ed25519, DecodingKey::from_ed_der(&coordinate(&jwk.x, 32)?))
            }
            _ => return None,
        };
        let key = Key { kid: jwk.kid, algorithm, family, decoding };
        algorithm.is_none_or(|pinned| key.fits(pinned)).then_some(key)
    }
}

fn family(algorithm: Algorithm) -> Family {
    match algorithm {
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => Family::Rsa,
        Algorithm::ES256 => Family::P256,
        Algorithm::ES384 => Family::P384,
        Algorithm::EdDSA => Family::Ed25519,
    }
}

fn jose(algorithm: Algorithm) -> Jose {
    match algorithm {
        Algorithm::RS256 => Jose::RS256,
        Algorithm::RS384 => Jose::RS384,
        Algorithm::RS512 => Jose::RS512,
        Algorithm::PS256 => Jose::PS256,
        Algorithm::PS384 => Jose::PS384,
        Algorithm::PS512 => Jose::PS512,
        Algorithm::ES256 => Jose::ES256,
        Algorithm::ES384 => Jose::ES384,
        Algorithm::EdDSA => Jose::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn okp(extra: &Value) -> Value {
        let mut jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([3; 32])});
        jwk.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        jwk
    }

    fn keys(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    fn found(set: &KeySet, kid: Option<&str>, algorithm: Algorithm) -> &'static str {
        match set.choose(kid, algorithm) {
            Choice::Key(_) => "key",
            Choice::Mismatch => "mismatch",
            Choice::Unknown => "unknown",
        }
    }

    #[test]
    fn skips_what_is_not_for_signatures_or_not_sound() {
        let coordinate = |length| URL_SAFE_NO_PAD.encode(vec![3; length]);
        for jwk in [
            okp(&json!({"use": "enc"})),
            okp(&json!({"key_ops": ["sign"]})),
            okp(&json!({"alg": "RS256"})),
            okp(&json!({"alg": "HS256"})),
            okp(&json!({"crv": "X25519"})),
            okp(&json!({"x": coordinate(31)})),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "n": coordinate(255), "e": "AQAB"}),
            json!({"kty": "RSA", "n": coordinate(1025), "e": "AQAB"}),
            json!({"kty": "RSA", "n": coordinate(256)}),
            json!({"kty": "EC", "crv": "P-256", "x": coordinate(32), "y": coordinate(31)}),
            json!({"kty": "EC", "crv": "P-521", "x": coordinate(66), "y": coordinate(66)}),
            json!("text"),
            json!(null),
        ] {
            assert_eq!(keys(std::slice::from_ref(&jwk)).len(), 0, "{jwk}");
        }
        for jwk in [
            okp(&json!({})),
            okp(&json!({"use": "sig", "alg": "EdDSA", "key_ops": ["verify"]})),
            okp(&json!({"alg": "Ed25519"})),
            json!({"kty": "RSA", "n": coordinate(256), "e": "AQAB"}),
            json!({"kty": "EC", "crv": "P-384", "x": coordinate(48), "y": coordinate(48)}),
        ] {
            assert_eq!(keys(std::slice::from_ref(&jwk)).len(), 1, "{jwk}");
        }
    }

    #[test]
    fn chooses_by_id_or_the_only_one() {
        let rsa = json!({"kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode([3; 256]), "e": "AQAB", "alg": "RS256"});
        let set = keys(&[okp(&json!({"kid": "a"})), rsa.clone()]);
        assert_eq!(found(&set, Some("a"), Algorithm::EdDSA), "key");
        assert_eq!(found(&set, Some("a"), Algorithm::ES256), "mismatch");
        assert_eq!(found(&set, Some("r"), Algorithm::RS256), "key");
        assert_eq!(found(&set, Some("r"), Algorithm::PS256), "mismatch");
        assert_eq!(found(&set, Some("b"), Algorithm::EdDSA), "unknown");
        assert_eq!(found(&set, None, Algorithm::EdDSA), "key");
        assert_eq!(found(&set, None, Algorithm::ES256), "unknown");
        let two = keys(&[okp(&json!({"kid": "a"})), okp(&json!({"kid": "b"}))]);
        assert_eq!(found(&two, None, Algorithm::EdDSA), "unknown");
    }

    #[test]
    fn verifies_the_examples_of_the_rfcs() {
        let only = |jwk: Value| keys(&[jwk]).keys.remove(0);
        // RFC 8037 appendix A.4.
        let key = only(
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        );
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert!(key.verifies(Algorithm::EdDSA, message, signature));
        assert!(!key.verifies(Algorithm::EdDSA, &message[1..], signature));
        assert!(!key.verifies(Algorithm::ES256, message, signature));
        // RFC 7515 appendix A.3.
        let key = only(
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                              "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
        );
        let message = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
                        cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        assert!(key.verifies(Algorithm::ES256, message, signature));
        assert!(!key.verifies(Algorithm::ES256, message, ""));
    }

    #[test]
    fn bounds_the_number_of_keys() {
        let many = json!({"keys": vec![json!({}); MAX_KEYS + 1]}).to_string();
        assert!(KeySet::parse(many.as_bytes()).is_err());
        assert!(KeySet::parse(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in any::<Vec<u8>>(), signature in "[A-Za-z0-9_-]{0,120}", n in any::<Vec<u8>>()) {
            let _outcome = KeySet::parse(&bytes).is_ok();
            let jwk = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([n, vec![9; 256]].concat()), "e": "AQAB"});
            for key in keys(&[jwk, okp(&json!({}))]).keys {
                for algorithm in [Algorithm::RS256, Algorithm::PS512, Algorithm::EdDSA, Algorithm::ES256] {
                    prop_assert!(!key.verifies(algorithm, b"message", &signature));
                }
            }
        }
    }
}
