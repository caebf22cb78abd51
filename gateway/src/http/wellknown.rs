//! RFC 9728: what a client must know to get a token for a route.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::route::Route;
use crate::start::Shared;

/// The metadata of one route.
pub(super) async fn of_route(
    State(shared): State<Arc<Shared>>,
    Path(server): Path<String>,
) -> Response {
    metadata(&shared, shared.routes.get(&server))
}

/// The metadata at the root, when there is only one route that it could mean.
pub(super) async fn of_only_route(State(shared): State<Arc<Shared>>) -> Response {
    let mut routes = shared.routes.values();
    let only = routes.next().filter(|_| routes.next().is_none());
    metadata(&shared, only)
}

fn metadata(shared: &Shared, route: Option<&Arc<Route>>) -> Response {
    let Some(route) = route.filter(|route| !route.open) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let issuers: Vec<&str> = shared.verifier.issuers().collect();
    let scopes: Vec<&str> = route.scopes.iter().map(String::as_str).collect();
    Json(identity::protected_resource_metadata(&route.audience, &issuers, &scopes)).into_response()
}
