//! The witness over HTTP: `POST /add-checkpoint` for logs, `GET /<origin hash>/checkpoint` for monitors.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::request::{MAX_REQUEST_BYTES, SIZE_CONTENT_TYPE, format_size};
use crate::witness::{Refused, Witness};

/// A request must have come whole by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that are worked on at once; more wait.
const MAX_AT_ONCE: usize = 64;
const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Clone)]
struct Door {
    witness: Arc<Witness>,
    places: Arc<Semaphore>,
}

/// All routes of a witness; submission and monitoring prefix are the same.
pub fn router(witness: Arc<Witness>) -> Router {
    let door = Door { witness, places: Arc::new(Semaphore::new(MAX_AT_ONCE)) };
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(door)
}

async fn add_checkpoint(State(door): State<Door>, body: Body) -> Response {
    let Ok(_place) = door.places.acquire().await else {
        return told(StatusCode::SERVICE_UNAVAILABLE, "the witness is stopping");
    };
    let body = match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_REQUEST_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let message = format!(
                "the request cannot be read, or is longer than {MAX_REQUEST_BYTES} bytes: {error}"
            );
            return told(StatusCode::BAD_REQUEST, &message);
        }
        Err(_) => {
            return told(StatusCode::REQUEST_TIMEOUT, "the request did not come whole in time");
        }
    };
    let witness = Arc::clone(&door.witness);
    // A witness syncs files.
    let answer = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now())).await;
    match answer {
        Ok(Ok(cosignature)) => {
            metrics::counter!("exhibit_witness_cosigned_total").increment(1);
            ([(header::CONTENT_TYPE, TEXT)], cosignature).into_response()
        }
        Ok(Err(refused)) => refusal(&refused),
        Err(_) => {
            told(StatusCode::INTERNAL_SERVER_ERROR, "a defect of the witness; its log says more")
        }
    }
}

async fn checkpoint(State(door): State<Door>, Path(origin_hash): Path<String>) -> Response {
    match door.witness.checkpoint(&origin_hash) {
        Some(note) => {
            ([(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "no-cache")], note.to_string())
                .into_response()
        }
        None => told(StatusCode::NOT_FOUND, "nothing was cosigned of a log with this origin hash"),
    }
}

fn refusal(refused: &Refused) -> Response {
    let status = match refused {
        Refused::Malformed(_) | Refused::OldSize { .. } => StatusCode::BAD_REQUEST,
        Refused::UnknownLog(_) => StatusCode::NOT_FOUND,
        Refused::Signature(_) => StatusCode::FORBIDDEN,
        Refused::Conflict { .. } => StatusCode::CONFLICT,
        Refused::Inconsistent(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::MemoryLost => StatusCode::INTERNAL_SERVER_ERROR,
    };
    metrics::counter!("exhibit_witness_refused_total", "status" => status.as_str().to_owned())
        .increment(1);
    if let Refused::Conflict { known } = refused {
        // How a log finds out where to prove from: nothing to worry about.
        return (status, [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)], format_size(*known))
            .into_response();
    }
    tracing::warn!(status = status.as_u16(), reason = %refused, "not cosigned");
    told(status, &refused.to_string())
}

fn told(status: StatusCode, message: &str) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT)], format!("{message}\n")).into_response()
}

/// POSIX seconds; 0 with a clock before 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
