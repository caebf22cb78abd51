//! Why a caller was not known.

/// Why a token was refused. The caller's fault, except where [`AuthError::is_retryable`] says
/// otherwise.
///
/// No variant holds the token. Foreign text in a variant is escaped and cut at 96 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No `Authorization` header.
    #[error(
        "no bearer token: send `Authorization: Bearer <token>` with a token issued for this resource"
    )]
    Missing,
    /// Not a bearer header, or not a JWT of the shape that is accepted here.
    #[error("the bearer token is malformed: {0}")]
    Malformed(&'static str),
    /// The token is longer than the limit.
    #[error(
        "the bearer token is {size} bytes long, the limit is {limit}: ask the issuer for a smaller token"
    )]
    TooLong {
        /// Bytes of the token.
        size: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// `exp` has passed (leeway included).
    #[error("the token expired at {expired_at} (Unix seconds), it is now {now}: get a new token")]
    Expired {
        /// The token's `exp`, Unix seconds.
        expired_at: u64,
        /// The verifier's clock, Unix seconds.
        now: u64,
    },
    /// `nbf` or `iat` lies in the future (leeway included).
    #[error(
        "the token is valid from {valid_from} (Unix seconds), it is now {now}: compare the clocks of issuer and server"
    )]
    NotYetValid {
        /// The later of `nbf` and `iat`, Unix seconds.
        valid_from: u64,
        /// The verifier's clock, Unix seconds.
        now: u64,
    },
    /// `aud` does not name the door that was asked.
    #[error(
        "the token is for audience `{got}`, this resource is `{expected}`: request a token with resource={expected}"
    )]
    WrongAudience {
        /// The canonical URI of the door.
        expected: String,
        /// The token's audiences, joined by commas.
        got: String,
    },
    /// `iss` is neither a configured issuer nor a configured machine.
    #[error(
        "the token's issuer `{got}` is not accepted here: use one of the authorization servers of this resource"
    )]
    WrongIssuer {
        /// The token's `iss`.
        got: String,
    },
    /// The header's `alg` is not on the issuer's list.
    #[error(
        "the algorithm `{algorithm}` is not accepted for tokens of {issuer}, only {accepted}: have the issuer sign \
         with that, or add the algorithm to `algorithms` of its `[[...identity.issuers]]` in the configuration"
    )]
    AlgorithmNotAllowed {
        /// The issuer as configured.
        issuer: String,
        /// The header's `alg`.
        algorithm: String,
        /// The algorithms on the issuer's list, joined by commas.
        accepted: String,
    },
    /// The header's `alg` can be on no list: `none`, `HS*`, or not EdDSA in a machine's own token.
    #[error("the algorithm `{algorithm}` is never accepted here: {instead}")]
    AlgorithmNeverAllowed {
        /// The header's `alg`.
        algorithm: String,
        /// What the token must be signed with.
        instead: &'static str,
    },
    /// The key that `kid` names is not of the type that `alg` needs.
    #[error(
        "the key `{kid}` of {issuer} does not fit the algorithm {algorithm}: ask the issuer's operator"
    )]
    KeyMismatch {
        /// The issuer.
        issuer: String,
        /// The header's `kid`.
        kid: String,
        /// The header's `alg`.
        algorithm: String,
    },
    /// The issuer publishes no key with this `kid` (or, without `kid`, not exactly one that fits).
    #[error("{issuer} publishes no key `{kid}` that could verify the token: get a new token")]
    UnknownKey {
        /// The issuer, or the machine's name.
        issuer: String,
        /// The header's `kid`; empty when the header has none.
        kid: String,
    },
    /// The signature does not verify.
    #[error("the token's signature is not valid: get a new token from the issuer")]
    BadSignature,
    /// The header has `crit`: extensions that must be understood, and none are.
    #[error("the token's header demands extensions (`crit`) that are not supported here")]
    CriticalHeader,
    /// A claim is absent or has the wrong type.
    #[error("the token has no usable claim `{0}`: the issuer must include it")]
    MissingClaim(&'static str),
    /// A claim that decides on access (groups, roles, scope) is there but cannot be read.
    #[error(
        "the token's claim `{claim}` is not a string or a list of strings in the token itself: configure the issuer to include it"
    )]
    UnreadableClaim {
        /// The claim as configured.
        claim: String,
    },
    /// A machine's own token that lives too long.
    #[error("the machine token lives longer than {limit_seconds} s: mint short-lived tokens")]
    LifetimeTooLong {
        /// Seconds accepted.
        limit_seconds: u64,
    },
    /// The issuer's keys could not be fetched, and none that may still be used are cached.
    /// Retryable.
    #[error("the keys of {issuer} cannot be fetched ({reason}): try again later")]
    IssuerUnreachable {
        /// The issuer as configured.
        issuer: String,
        /// What failed, without foreign text.
        reason: String,
    },
}

impl AuthError {
    /// A stable name of the kind of error, for machines: snake_case, never changed once published.
    pub fn code(&self) -> &'static str {
        match self {
            AuthError::Missing => "token_missing",
            AuthError::Malformed(_) => "token_malformed",
            AuthError::TooLong { .. } => "token_too_long",
            AuthError::Expired { .. } => "token_expired",
            AuthError::NotYetValid { .. } => "token_not_yet_valid",
            AuthError::WrongAudience { .. } => "wrong_audience",
            AuthError::WrongIssuer { .. } => "wrong_issuer",
            AuthError::AlgorithmNotAllowed { .. } | AuthError::AlgorithmNeverAllowed { .. } => {
                "algorithm_not_allowed"
            }
            AuthError::KeyMismatch { .. } => "key_mismatch",
            AuthError::UnknownKey { .. } => "unknown_key",
            AuthError::BadSignature => "bad_signature",
            AuthError::CriticalHeader => "critical_header",
            AuthError::MissingClaim(_) => "missing_claim",
            AuthError::UnreadableClaim { .. } => "unreadable_claim",
            AuthError::LifetimeTooLong { .. } => "lifetime_too_long",
            AuthError::IssuerUnreachable { .. } => "issuer_unreachable",
        }
    }

    /// Whether the same token may be accepted later: answer 503, not 401.
    pub fn is_retryable(&self) -> bool {
        matches!(self, AuthError::IssuerUnreachable { .. })
    }

    /// The HTTP status to answer with: 503 when retryable, else 401.
    pub fn http_status(&self) -> u16 {
        if self.is_retryable() { 503 } else { 401 }
    }

    /// The `error` of the RFC 6750 challenge: none when no token was sent (section 3.1), else
    /// `invalid_token`.
    pub fn challenge_error(&self) -> Option<&'static str> {
        match self {
            AuthError::Missing | AuthError::IssuerUnreachable { .. } => None,
            _ => Some("invalid_token"),
        }
    }
}
