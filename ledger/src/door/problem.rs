//! Refusals over HTTP: a code for programs and a sentence for people, and one status for one reason at every door.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tonic::{Code, Status};

/// What is told, as JSON.
pub(super) fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "code": code, "message": message }))).into_response()
}

/// The same, of what was refused in gRPC's terms.
pub(super) fn refusal(status: &Status) -> Response {
    let code = status.metadata().get("exhibit-code").and_then(|code| code.to_str().ok());
    problem(http_status(status), code.unwrap_or("refused"), status.message())
}

/// The status of HTTP for one of gRPC. What is not the caller's to mend may pass later.
pub(super) fn http_status(status: &Status) -> StatusCode {
    match status.code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        // As it is set up, the ledger never does this: a read-only copy, or one without a folder for backups.
        Code::FailedPrecondition => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::status;

    #[test]
    fn each_reason_has_its_status() {
        for (code, expected) in [
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::FailedPrecondition, 409),
            (Code::Unavailable, 503),
            (Code::Internal, 503),
        ] {
            let response = refusal(&status::status(code, "a_code", "words"));
            assert_eq!(response.status().as_u16(), expected, "{code:?}");
        }
    }
}
