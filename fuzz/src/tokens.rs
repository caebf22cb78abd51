//! What strangers send in the header `Authorization`.

use identity::{BearerToken, MAX_TOKEN_BYTES, token_parts};

/// Headers with a JWT, of which nothing is verified yet.
pub fn token(data: &[u8]) -> bool {
    let Ok(header) = std::str::from_utf8(data) else { return false };
    let Ok(token) = BearerToken::from_header(Some(header)) else { return false };
    let token = token.as_str();
    assert!(header.ends_with(token) && token.len() <= MAX_TOKEN_BYTES);
    let Ok((signed, signature)) = token_parts(token) else { return false };
    assert_eq!([signed, b".", signature.as_bytes()].concat(), token.as_bytes());
    true
}
