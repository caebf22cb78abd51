//! Refusing: recorded, then told.

use std::time::Instant;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use identity::knocks::Recorded;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1;
use proto::v1::authentication_failed::Reason;

use super::Exchange;
use crate::error::{self, Told};
use crate::knocks::{Refused, Why};
use crate::record::Unrecorded;

/// Seconds after which a caller may try again when the record is away.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request is not forwarded, and what its caller is told.
#[derive(Debug)]
pub(super) struct Refusal {
    /// None when its record is complete, or cannot be made.
    why: Option<Why>,
    pub(super) told: Told,
}

impl Refusal {
    /// Refused before a decision.
    pub(super) fn denied(
        refusal: v1::Refusal,
        status: StatusCode,
        code: i64,
        message: impl Into<String>,
    ) -> Refusal {
        Refusal { why: Some(Why::Denied(refusal)), told: Told::new(status, code, message) }
    }

    /// There is no room now.
    pub(super) fn unavailable(message: &str) -> Refusal {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut refusal =
            Refusal::denied(v1::Refusal::Unavailable, status, error::UNRECORDED, message);
        refusal.told.headers.push(retry_after());
        refusal
    }

    /// The caller has taken all that is its.
    pub(super) fn too_many(message: &str) -> Refusal {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut refusal =
            Refusal::denied(v1::Refusal::Unavailable, status, error::TOO_MANY, message);
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
        Refusal { why: Some(Why::Unauthenticated(reason)), told }
    }

    /// Its record is complete already.
    pub(super) fn settled(told: Told) -> Refusal {
        Refusal { why: None, told }
    }

    /// It could not be recorded.
    pub(super) fn unrecorded(unrecorded: &Unrecorded) -> Refusal {
        Refusal::settled(not_recorded(unrecorded))
    }
}

impl Exchange {
    /// Records a refusal, or counts it for the record; what the caller is then told says so when that failed.
    pub(super) async fn refuse(&mut self, refusal: Refusal) -> Told {
        let Some(why) = refusal.why else { return refusal.told };
        self.closed = true;
        let http_status = u32::from(refusal.told.status.as_u16());
        let refused = Refused { server: self.call.server.clone(), why, http_status };
        let kind = refused.event(self.call.clone(), 0);
        if self.principal.is_none() {
            let address = self.peer.map(|peer| peer.ip());
            let knocked = self.shared.knocks.knock(address, refused, Instant::now());
            if knocked == Recorded::Counted {
                return refusal.told;
            }
        }
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
            count: 0,
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
