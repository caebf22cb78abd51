//! The log over HTTP, as C2SP tlog-tiles lays it out: checkpoint, signed root and hash tiles for
//! everybody, entries for readers.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use tlog::{TILE_WIDTH, Tile, TileKind, TreeSize};
use tonic::Status;

use super::Doors;
use super::access::Reading;
use super::problem::http_status;
use super::signed_root::signed_root;

/// Full tiles never change.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

pub(super) fn router(doors: Doors) -> Router {
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/checkpoint.cose", get(signed_root))
        .route("/tile/{*path}", get(tile))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(doors)
}

async fn checkpoint(State(doors): State<Doors>) -> Response {
    let note = doors.published.borrow().note.to_string();
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, note).into_response()
}

pub(super) async fn tile(
    State(doors): State<Doors>,
    Path(path): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Response {
    let tile = match Tile::parse(&format!("tile/{path}")) {
        Ok(tile) => tile,
        Err(error) => return problem(StatusCode::NOT_FOUND, &error.to_string()),
    };
    let mut caching = IMMUTABLE;
    let size = doors.published.borrow().checkpoint.size;
    if tile.kind == TileKind::Entries {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Err(status) = admit(&doors, header, &extensions, &tile, size).await {
            return problem(http_status(&status), status.message());
        }
        caching = "private, max-age=31536000, immutable";
    }
    let tree = doors.tree.clone();
    let read = tokio::task::spawn_blocking(move || tree.tile_bytes(&tile, size)).await;
    match read {
        Ok(Ok(Some(bytes))) => {
            let kind = "application/octet-stream";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching)], bytes)
                .into_response()
        }
        Ok(Ok(None)) => {
            problem(StatusCode::NOT_FOUND, &format!("no such tile in a tree of {size} entries"))
        }
        Ok(Err(error)) => unreadable(&path, &error),
        Err(error) => unreadable(&path, &error),
    }
}

fn unreadable(path: &str, error: &dyn std::fmt::Display) -> Response {
    tracing::error!(%error, tile = path, "a tile could not be read");
    let message = format!(
        "the ledger could not read tile/{path} from its store; its log says why, and `exhibit fsck` on the stopped ledger \
         finds what is damaged"
    );
    problem(StatusCode::INTERNAL_SERVER_ERROR, &message)
}

/// Lets a reader have a tile of entries, once that is recorded.
async fn admit(
    doors: &Doors,
    authorization: Option<&str>,
    extensions: &Extensions,
    tile: &Tile,
    size: TreeSize,
) -> Result<(), Status> {
    let first_index = tile.index.saturating_mul(u64::from(TILE_WIDTH));
    let end_index = first_index.saturating_add(u64::from(tile.width));
    let reading = Reading { door: Door::Tiles, first_index, end_index };
    let reader = doors.admit(authorization, extensions, reading).await?;
    let result = if end_index <= size.0 { Outcome::Allowed } else { Outcome::Refused };
    doors.record(&reader, reading, result).await
}

pub(super) async fn readyz(State(doors): State<Doors>) -> Response {
    match doors.health.readiness() {
        Ok(()) => match &doors.read_only {
            Some(reason) => format!("read-only: {reason}\n").into_response(),
            None => {
                let warnings = doors.health.warnings();
                let warnings = warnings.iter().map(|warning| format!("warning: {warning}\n"));
                format!("ready\n{}", warnings.collect::<String>()).into_response()
            }
        },
        Err(reason) => problem(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

fn problem(code: StatusCode, message: &str) -> Response {
    (code, format!("{message}\n")).into_response()
}
