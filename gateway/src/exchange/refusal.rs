//! Refusing: recorded, then told.

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1;
use proto::v1::authentication_failed::Reason;

use super::Exchange;
use crate::error::{self, Told};
use crate::record::Unrecorded;

/// Seconds after which a caller may try again when the record is away.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request is not forwarded, and what its caller is told.
#[derive(Debug)]
pub(super) struct Refusal {
    why: Why,
    pub(super) told: Told,
}

#[derive(Debug)]
enum Why {
    /// Refused before a decision.
    Denied(v1::Refusal),
    /// The caller is not known, or may not come in.
    Unauthenticated(Reason),
    /// Its record is complete, or cannot be made.
    Settled,
}

impl Refusal {
    /// Refused before a decision.
    pub(super) fn denied(
        refusal: v1::Refusal,
        status: StatusCode,
        code: i64,
        message: impl Into<String>,
    ) -> Refusal {
        Refusal { why: Why::Denied(refusal), told: Told::new(status, code, message) }
    }

    /// There is no room now.
    pub(super) fn unavailable(message: &str) -> Refusal {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut refusal =
            Refusal::denied(v1::Refusal::Unavailable, status, error::UNRECORDED, message);
        refusal.told.headers.push(retry_after());
        refusal
    }

    /// The caller is not known (401), the issuer cannot be asked (503), or scopes are missing (403).
    pub(super) fn unauthenticated(
        reason: Reason,
        status: StatusCode,
        message: impl Into<String>,
        challenge: &str,
    ) -> Refusal {
        let mut told = Told::new(status, error::UNAUTHENTICATED, message);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            told.headers.push(retry_after());
        } else if let Ok(value) = HeaderValue::from_str(challenge) {
            told.headers.push((WWW_AUTHENTICATE, value));
        }
        Refusal { why: Why::Unauthenticated(reason), told }
    }

    /// Its record is complete already.
    pub(super) fn settled(told: Told) -> Refusal {
        Refusal { why: Why::Settled, told }
    }

    /// It could not be recorded.
    pub(super) fn unrecorded(unrecorded: &Unrecorded) -> Refusal {
        Refusal::settled(not_recorded(unrecorded))
    }
}

impl Exchange {
    /// Records a refusal; what the caller is then told says so when that failed.
    pub(super) async fn refuse(&mut self, refusal: Refusal) -> Told {
        let http_status = u32::from(refusal.told.status.as_u16());
        let kind = match refusal.why {
            Why::Settled => return refusal.told,
            Why::Denied(refusal) => self.denial(refusal, http_status),
            Why::Unauthenticated(reason) => Kind::AuthenticationFailed(v1::AuthenticationFailed {
                server: self.call.server.clone(),
                reason: reason.into(),
                http_status,
            }),
        };
        self.closed = true;
        match self.shared.log.record_refusal(self.draft_with_caller(kind)).await {
            Ok(()) => refusal.told,
            Err(unrecorded) => not_recorded(&unrecorded),
        }
    }

    /// The event of a refusal.
    pub(super) fn denial(&self, refusal: v1::Refusal, http_status: u32) -> Kind {
        Kind::CallDenied(v1::CallDenied {
            call: Some(self.call.clone()),
            refusal: refusal.into(),
            request_event_id: self.request_event_id.map(Id::to_bytes).unwrap_or_default(),
            http_status,
        })
    }
}

/// Not a message that is passed on.
pub(super) fn malformed(code: i64, message: String) -> Refusal {
    Refusal::denied(v1::Refusal::Malformed, StatusCode::BAD_REQUEST, code, message)
}

/// Larger than what is kept.
pub(super) fn too_large(message: &str) -> Refusal {
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Refusal::denied(v1::Refusal::TooLarge, status, error::TOO_LARGE, message)
}

/// A computation failed inside; nothing was decided, so nothing passes.
pub(super) fn broken() -> Refusal {
    let message = "the gateway failed inside while it read the message: see its log";
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Refusal::denied(v1::Refusal::EvaluationError, status, error::DENIED, message)
}

/// What a caller is told when the record could not be made.
pub(super) fn not_recorded(unrecorded: &Unrecorded) -> Told {
    let message = format!(
        "nothing was forwarded, because it could not be recorded ({unrecorded}): try again later, or ask the \
         gateway's operator"
    );
    tracing::warn!(error = %unrecorded, "a request was refused because it could not be recorded");
    let mut told = Told::new(StatusCode::SERVICE_UNAVAILABLE, error::UNRECORDED, message);
    told.headers.push(retry_after());
    told
}

fn retry_after() -> (HeaderName, HeaderValue) {
    (RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS))
}
