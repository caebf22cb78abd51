//! `POST /v1/packages`: a period in, a ZIP out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use proto::v1::MediaType;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use query::{Accessed, DoorError, Query, Visitor};
use serde::Deserialize;
use tlog::SigningKey;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;
use verifier::CustomQuery;

use crate::archive::write_zip;
use crate::journal::{Journal, Release, Unrecorded};
use crate::package::{EXPORT_ROLES, ExportError, ExportRequest, Exported, export_from};

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Exports at the same time; each holds its package in memory.
const MAX_EXPORTS: usize = 2;
/// SHA-256 of the tag manifest, as recorded.
const DIGEST: HeaderName = HeaderName::from_static("exhibit-package-sha256");

/// Serves packages beside the doors of a query node. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(Arc<Inner>);

struct Inner {
    query: Query,
    signer: SigningKey,
    dir: PathBuf,
    turns: Arc<Semaphore>,
}

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    from: jiff::Timestamp,
    to: jiff::Timestamp,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    criteria: Vec<String>,
    #[serde(default)]
    custom_queries: Vec<CustomQuery>,
}

impl Exporter {
    /// Exports from `query`, signed by `signer`; packages are made in the folder `dir` and removed once sent.
    pub fn new(query: Query, signer: SigningKey, dir: PathBuf) -> Self {
        Self(Arc::new(Inner { query, signer, dir, turns: Arc::new(Semaphore::new(MAX_EXPORTS)) }))
    }

    /// The routes, to be merged with [`Query::router`].
    pub fn router(self) -> Router {
        Router::new().route("/v1/packages", post(answer)).with_state(self)
    }
}

async fn answer(State(exporter): State<Exporter>, request: Request) -> Response {
    match exporter.package(request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

impl Exporter {
    async fn package(&self, request: Request) -> Result<Response, DoorError> {
        let Inner { query, signer, dir, turns } = &*self.0;
        let (parts, body) = request.into_parts();
        let visitor = query.admit(&parts).await?;
        let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
            let message =
                format!("the request body cannot be read, or has more than {MAX_BODY_BYTES} bytes");
            return Err(DoorError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message));
        };
        let Some(role) = visitor.role(&EXPORT_ROLES) else {
            self.refuse(&visitor, Outcome::Denied, body).await?;
            return Err(query.forbid(&EXPORT_ROLES));
        };
        let asked: Asked = match serde_json::from_slice(&body) {
            Ok(asked) => asked,
            Err(error) => {
                self.refuse(&visitor, Outcome::Refused, body).await?;
                let message = format!("the request is not usable: {error}");
                return Err(DoorError::new(StatusCode::BAD_REQUEST, "bad_request", message)
                    .hint(r#"{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"}"#));
            }
        };
        let Ok(_turn) = turns.try_acquire() else {
            let message = format!("{MAX_EXPORTS} exports are being made; try again in a minute");
            return Err(DoorError::new(StatusCode::TOO_MANY_REQUESTS, "exports_busy", message));
        };
        let archive = query.archive()?;
        let wanted = ExportRequest {
            from: asked.from,
            to: asked.to,
            role,
            open: asked.open,
            criteria: asked.criteria,
            custom_queries: asked.custom_queries,
            requester: Bytes::new(),
        };
        let folder = dir.join(recorder::random_id().to_string());
        let journal = VisitorJournal { query, visitor: &visitor };
        match export_from(&archive, &journal, signer, wanted, &folder).await {
            Ok(exported) => send(exported, folder).await,
            Err(error) => {
                self.refuse(&visitor, Outcome::Refused, body).await?;
                Err(refusal(&error))
            }
        }
    }

    /// Records an access that was not granted.
    async fn refuse(
        &self,
        visitor: &Visitor,
        result: Outcome,
        body: Bytes,
    ) -> Result<(), DoorError> {
        let accessed = Accessed {
            door: Door::Export,
            result,
            role: visitor.role(&EXPORT_ROLES),
            query: Some((MediaType::Octets, body)),
            ..Accessed::default()
        };
        self.0.query.record_access(visitor, accessed).await
    }
}

/// Records exports as accesses of a visitor.
struct VisitorJournal<'a> {
    query: &'a Query,
    visitor: &'a Visitor,
}

impl Journal for VisitorJournal<'_> {
    async fn record(&self, release: &Release) -> Result<(), Unrecorded> {
        let accessed = Accessed {
            door: Door::Export,
            result: Outcome::Allowed,
            role: Some(release.role),
            checkpoint_size: release.checkpoint_size,
            first_index: release.leaves.start,
            end_index: release.leaves.end,
            output_digest: Bytes::copy_from_slice(&release.digest),
            query: Some((MediaType::Json, release.query.clone())),
        };
        let recorded = self.query.record_access(self.visitor, accessed).await;
        recorded.map_err(|error| Unrecorded {
            reason: error.message().to_owned(),
            is_retryable: error.status() == StatusCode::SERVICE_UNAVAILABLE,
        })
    }
}

/// Streams the package; its files are gone from the folder before the first byte is sent.
async fn send(exported: Exported, folder: PathBuf) -> Result<Response, DoorError> {
    let range = exported.parameters.range;
    let name = format!("exhibit-{}-{}", range.start, range.end);
    let zip_path = folder.with_extension("zip");
    let zipped = tokio::task::spawn_blocking({
        let (name, zip_path) = (name.clone(), zip_path.clone());
        move || zip(&folder, &name, &zip_path)
    });
    let zipped = zipped.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let (file, size) = zipped.map_err(|error| {
        tracing::error!(%error, path = %zip_path.display(), "a package could not be zipped");
        DoorError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "disk",
            "the package could not be written",
        )
    })?;
    let mut response =
        Response::new(Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CONTENT_LENGTH, size.into());
    for (header, value) in [
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.zip\"")),
        (DIGEST, hex::encode(exported.digest)),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(header, value);
        }
    }
    Ok(response)
}

/// The archive as an open file that no folder names any more.
fn zip(folder: &Path, name: &str, path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    let made = write_zip(folder, name, path).and_then(|()| std::fs::File::open(path));
    let removed = std::fs::remove_dir_all(folder).and(match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    let file = made?;
    removed?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn refusal(error: &ExportError) -> DoorError {
    let status = match error {
        ExportError::Unrecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ if error.is_callers_fault() => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if !error.is_callers_fault() {
        tracing::error!(%error, "an export failed");
    }
    DoorError::new(status, error.code(), error.to_string())
}
