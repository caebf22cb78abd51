//! Every path of the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, get, on};
use tokio::sync::oneshot;

use super::wellknown;
use crate::error::{self, Told};
use crate::exchange;
use crate::start::Shared;

/// The gateway's routes. Whoever serves them may put [`ConnectInfo<SocketAddr>`] into the requests; without it
/// the record names no client address.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let methods = MethodFilter::POST.or(MethodFilter::GET).or(MethodFilter::DELETE);
    Router::new()
        .route("/mcp/{server}", on(methods, door))
        .route("/.well-known/oauth-protected-resource/mcp/{server}", get(wellknown::of_route))
        .route("/.well-known/oauth-protected-resource", get(wellknown::of_only_route))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared)
}

/// One exchange. It runs on a task of its own, so that its end is recorded even when the caller's connection
/// breaks and this future is dropped.
async fn door(
    State(shared): State<Arc<Shared>>,
    Path(server): Path<String>,
    mut request: Request,
) -> Response<Body> {
    if request.method() == axum::http::Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let peer = request.extensions_mut().remove::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    let (answer, answered) = oneshot::channel();
    let run = exchange::run(Arc::clone(&shared), server, peer, request, answer);
    shared.exchanges.spawn(run);
    answered.await.unwrap_or_else(|_| {
        let message = "the gateway failed inside: see its log, and try again";
        Told::new(StatusCode::INTERNAL_SERVER_ERROR, error::BAD_UPSTREAM, message).response(None)
    })
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match shared.readiness() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}
