//! What a door answers when it does not answer: JSON with a code for machines and words for people.

use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::engine::SqlError;
use crate::journal::Unrecorded;
use crate::rows::RowError;

/// `{"code", "message", "hint"?}`, and for SQL syntax `line` and `column`.
#[derive(Debug, Clone)]
pub struct DoorError {
    status: StatusCode,
    body: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl DoorError {
    /// An error of this status and code.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let body = json!({"code": code, "message": message.into()});
        Self { status, body, headers: Vec::new() }
    }

    /// Adds what the caller can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body["hint"] = Value::String(hint.into());
        self
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable name of the error.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// What was wrong, in words.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn not_serving(reason: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_serving", reason)
            .hint("see /readyz; another query node may answer")
    }

    pub(crate) fn unauthenticated(error: &identity::AuthError, challenge: &str) -> Self {
        let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::UNAUTHORIZED);
        let refused = Self::new(status, error.code(), error.to_string());
        if error.is_retryable() {
            return refused.retry_after(5);
        }
        refused.header(WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn forbidden(needed: &str, had: &str, challenge: &str) -> Self {
        let message = format!("this door needs {needed}; roles that the token gave: {had}");
        Self::new(StatusCode::FORBIDDEN, "role_required", message)
            .header(WWW_AUTHENTICATE, challenge)
    }

    pub(crate) fn busy(code: &str, message: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, message).retry_after(1)
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.headers.push((RETRY_AFTER, seconds.into()));
        self
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl From<Unrecorded> for DoorError {
    fn from(error: Unrecorded) -> Self {
        tracing::error!(
            reason = error.reason,
            "an access could not be recorded; it was not answered"
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "access_not_recorded", error.to_string()).hint(
            "nothing is answered that is not recorded first: try again when the ledger is back",
        )
    }
}

impl From<RowError> for DoorError {
    fn from(error: RowError) -> Self {
        tracing::error!(%error, "rows could not be read");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "rows_unreadable", error.to_string())
    }
}

impl From<SqlError> for DoorError {
    fn from(error: SqlError) -> Self {
        let status = match &error {
            SqlError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            SqlError::Timeout { .. }
            | SqlError::TooManyRows { .. }
            | SqlError::TooLarge { .. }
            | SqlError::OutOfMemory(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut refused = Self::new(status, error.code(), error.to_string());
        if let SqlError::Syntax { line: Some(line), column: Some(column), .. } = error {
            refused.body["line"] = line.into();
            refused.body["column"] = column.into();
        }
        refused
    }
}

impl IntoResponse for DoorError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}
