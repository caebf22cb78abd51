//! Is it up, should it be asked, and where do tokens come from.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::Doors;
use super::error::DoorError;

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(State(doors): State<Doors>) -> Response {
    match doors.readiness() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => {
            DoorError::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason).into_response()
        }
    }
}

/// RFC 9728.
pub(crate) async fn resource_metadata(State(doors): State<Doors>) -> Json<serde_json::Value> {
    let issuers: Vec<&str> = doors.verifier.issuers().collect();
    let scopes = [crate::feed::SCOPE];
    let mut document = identity::protected_resource_metadata(&doors.public_url, &issuers, &scopes);
    document["resource_name"] = json!("Exhibit query");
    Json(document)
}
