//! A compact JWT taken apart, nothing verified yet: RFC 7515 section 5.2, RFC 7519 section 7.2.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::config::Algorithm;
use crate::error::AuthError;
use crate::foreign::shown;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

pub(crate) struct UnverifiedToken<'a> {
    /// The name the token gives its algorithm: one of ours, never `none`.
    pub(crate) alg: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// `header.payload`: what is signed.
    pub(crate) signing_input: &'a [u8],
    /// base64url, not decoded.
    pub(crate) signature: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<UnverifiedToken<'a>, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong { size: token.len(), limit: MAX_TOKEN_BYTES });
        }
        let not_three = AuthError::Malformed("a JWT has three parts, separated by dots");
        let (signing_input, signature) = token.rsplit_once('.').ok_or(not_three.clone())?;
        let (header, payload) = signing_input.split_once('.').ok_or(not_three.clone())?;
        if payload.contains('.') {
            return Err(not_three);
        }
        let header = Header::read(object(
            header,
            "its header is not base64url of a JSON object with unique names",
        )?)?;
        let algorithm = header.accepted()?;
        let claims =
            object(payload, "its payload is not base64url of a JSON object with unique names")?;
        Ok(UnverifiedToken {
            alg: header.alg,
            algorithm,
            kid: header.kid,
            claims,
            signing_input: signing_input.as_bytes(),
            signature,
        })
    }
}

/// A JWT taken apart as a verifier does first: what is signed, and the signature, not decoded. Nothing is verified; this is
/// for those who try the parser.
///
/// # Errors
/// [`AuthError`].
#[doc(hidden)]
pub fn token_parts(token: &str) -> Result<(&[u8], &str), AuthError> {
    UnverifiedToken::parse(token).map(|token| (token.signing_input, token.signature))
}

struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: bool,
}

impl Header {
    fn read(mut members: Map<String, Value>) -> Result<Header, AuthError> {
        let mut text = |name| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => {
                Err(AuthError::Malformed("`alg`, `kid` and `typ` of its header must be strings"))
            }
        };
        let (alg, kid, typ) = (text("alg")?.unwrap_or_default(), text("kid")?, text("typ")?);
        Ok(Header { alg, kid, typ, crit: members.contains_key("crit") })
    }

    fn accepted(&self) -> Result<Algorithm, AuthError> {
        let Some(algorithm) = Algorithm::from_header(&self.alg) else {
            return Err(AuthError::AlgorithmNeverAllowed {
                algorithm: shown(&self.alg),
                instead: "the issuer must sign with one of `algorithms` of its `[[...identity.issuers]]` in the \
                          configuration, with RS256 when that is left out",
            });
        };
        if self.crit {
            return Err(AuthError::CriticalHeader);
        }
        // RFC 8725 section 3.11: a logout token or a DPoP proof of the same issuer is no access
        // token.
        let typ = self.typ.as_deref().unwrap_or("JWT");
        if !["JWT", "at+jwt", "application/at+jwt"]
            .iter()
            .any(|accepted| typ.eq_ignore_ascii_case(accepted))
        {
            return Err(AuthError::Malformed(
                "its `typ` is not that of an access token (`JWT` or `at+jwt`)",
            ));
        }
        Ok(algorithm)
    }
}

fn object(part: &str, problem: &'static str) -> Result<Map<String, Value>, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed(problem))?;
    let UniqueObject(members) =
        serde_json::from_slice(&bytes).map_err(|_| AuthError::Malformed(problem))?;
    Ok(members)
}

/// A JSON object whose names are unique: RFC 7519 section 4 lets parsers differ on the others.
struct UniqueObject(Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = UniqueObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<UniqueObject, A::Error> {
                let mut map = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    if map.insert(name, value).is_some() {
                        return Err(A::Error::custom("duplicate name"));
                    }
                }
                Ok(UniqueObject(map))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn code(token: &str) -> &'static str {
        UnverifiedToken::parse(token).err().map_or("ok", |error| error.code())
    }

    #[test]
    fn takes_a_token_apart() {
        let text = token(r#"{"alg":"ES256","kid":"k","typ":"at+JWT"}"#, r#"{"iss":"x"}"#);
        let parsed = UnverifiedToken::parse(&text).unwrap();
        assert_eq!((parsed.algorithm, parsed.kid.as_deref()), (Algorithm::ES256, Some("k")));
        assert_eq!(parsed.claims["iss"], "x");
        assert_eq!(parsed.signature, "c2ln");
        assert_eq!([parsed.signing_input, b".c2ln"].concat(), text.as_bytes());
    }

    #[test]
    fn refuses_each_wrong_shape_by_its_own_code() {
        for (header, payload, expected) in [
            (r#"{"alg":"none"}"#, "{}", "algorithm_not_allowed"),
            (r#"{"alg":"None"}"#, "{}", "algorithm_not_allowed"),
            (r#"{"alg":"HS256"}"#, "{}", "algorithm_not_allowed"),
            (r#"{"alg":""}"#, "{}", "algorithm_not_allowed"),
            ("{}", "{}", "algorithm_not_allowed"),
            (r#"{"alg":"ES256","crit":["exp"]}"#, "{}", "critical_header"),
            (r#"{"alg":"ES256","crit":null}"#, "{}", "critical_header"),
            (r#"{"alg":"ES256","typ":"logout+jwt"}"#, "{}", "token_malformed"),
            (r#"{"alg":"ES256","alg":"RS256"}"#, "{}", "token_malformed"),
            (r#"{"alg":"ES256","kid":7}"#, "{}", "token_malformed"),
            (r#"["ES256"]"#, "{}", "token_malformed"),
            (r#"{"alg":"ES256"}"#, "[]", "token_malformed"),
            (r#"{"alg":"ES256"}"#, r#"{"sub":"a","s\u0075b":"b"}"#, "token_malformed"),
            (r#"{"alg":"ES256"}"#, r#"{"sub":"a"} {}"#, "token_malformed"),
            (r#"{"alg":"ES256"}"#, &"[".repeat(9_000), "token_malformed"),
            (r#"{"alg":"ES256"}"#, "{}", "ok"),
        ] {
            assert_eq!(code(&token(header, payload)), expected, "{header} {payload:.40}");
        }
        let good = token(r#"{"alg":"ES256"}"#, "{}");
        let (two, _) = good.rsplit_once('.').unwrap();
        for bad in [
            two,
            &format!("{good}.x"),
            "",
            ".",
            "..",
            "...",
            &format!("={good}"),
            &good.replacen('.', "=.", 1),
        ] {
            assert_eq!(code(bad), "token_malformed", "{bad}");
        }
        assert_eq!(code(&"a".repeat(MAX_TOKEN_BYTES + 1)), "token_too_long");
    }

    proptest! {
        #[test]
        fn never_panics_on_text(text in "[\\PC.]{0,200}") {
            let _outcome = UnverifiedToken::parse(&text).is_ok();
        }

        #[test]
        fn never_panics_on_parts(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
            let text = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
            let _outcome = UnverifiedToken::parse(&text).is_ok();
        }
    }
}
