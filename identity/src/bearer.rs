//! The `Authorization` header: RFC 6750 section 2.1, strictly.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::AuthError;
use crate::token::MAX_TOKEN_BYTES;

/// A bearer token as it came in. Wiped when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// Reads `Bearer <b64token>`: the scheme in any case, one or more spaces, then only the
    /// characters of RFC 6750's `b64token`, at most [`MAX_TOKEN_BYTES`].
    ///
    /// # Errors
    /// [`AuthError::Missing`] without a header, [`AuthError::TooLong`], else
    /// [`AuthError::Malformed`].
    pub fn from_header(authorization: Option<&str>) -> Result<BearerToken, AuthError> {
        let header = authorization.ok_or(AuthError::Missing)?;
        let Some((scheme, rest)) = header.split_once(' ') else {
            return Err(AuthError::Malformed("the Authorization header must be `Bearer <token>`"));
        };
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(AuthError::Malformed("the Authorization scheme must be `Bearer`"));
        }
        let token = rest.trim_start_matches(' ');
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong { size: token.len(), limit: MAX_TOKEN_BYTES });
        }
        if !is_b64token(token) {
            return Err(AuthError::Malformed(
                "after `Bearer ` exactly one token is expected, of letters, digits and `-._~+/=`",
            ));
        }
        Ok(BearerToken(Zeroizing::new(token.to_owned())))
    }

    /// The token, to hand to [`Verifier::authenticate`](crate::Verifier::authenticate) and nowhere
    /// else.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    !body.is_empty()
        && body.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_rfc_6750_allows() {
        for header in ["Bearer abc.DEF-_~+/==", "bearer abc.DEF-_~+/==", "BEARER   abc.DEF-_~+/=="]
        {
            let token = BearerToken::from_header(Some(header)).unwrap();
            assert_eq!(token.as_str(), "abc.DEF-_~+/==");
        }
    }

    #[test]
    fn refuses_all_else() {
        assert_eq!(BearerToken::from_header(None).unwrap_err(), AuthError::Missing);
        for header in [
            "",
            " ",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "Bearer =",
            "Basic abc",
            "Bearer a b",
            "Bearer a,b",
            " Bearer a",
            "Bearer\ta",
            "Bearer a\t",
            "Bearer a ",
            "Bearer a=b",
            "Bearer \"a\"",
            "Bearer ä",
            "Bearera",
            "Bearer a\r\n",
        ] {
            let error = BearerToken::from_header(Some(header)).unwrap_err();
            assert_eq!(error.code(), "token_malformed", "{header:?}");
        }
    }

    #[test]
    fn bounds_the_length_and_never_shows_the_token() {
        let longest = "a".repeat(MAX_TOKEN_BYTES);
        let token = BearerToken::from_header(Some(&format!("Bearer {longest}"))).unwrap();
        assert_eq!(format!("{token:?}"), "BearerToken(..)");
        let error = BearerToken::from_header(Some(&format!("Bearer {longest}a"))).unwrap_err();
        assert_eq!(error, AuthError::TooLong { size: MAX_TOKEN_BYTES + 1, limit: MAX_TOKEN_BYTES });
    }

    proptest! {
        #[test]
        fn never_panics(header in ".{0,80}") {
            if let Ok(token) = BearerToken::from_header(Some(&header)) {
                prop_assert!(header.ends_with(token.as_str()));
            }
        }
    }
}
