//! `POST /v1/packages`: a period in, a ZIP out.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use proto::Role;
use proto::v1::MediaType;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use query::{Accessed, DoorError, Query, Visitor, read_body};
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
    /// RFC 3339, as `to`.
    from: String,
    to: String,
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
        let Inner { query, turns, .. } = &*self.0;
        let (parts, body) = request.into_parts();
        let visitor = query.admit(&parts).await?;
        let body = read_body(body, MAX_BODY_BYTES, "body_too_large").await?;
        let Some(role) = visitor.role(&EXPORT_ROLES) else {
            self.refuse(&visitor, Outcome::Denied, body).await?;
            return Err(query.forbid(&visitor, &EXPORT_ROLES));
        };
        let wanted = match Asked::read(&body, role) {
            Ok(wanted) => wanted,
            Err(error) => {
                self.refuse(&visitor, Outcome::Refused, body).await?;
                return Err(error);
            }
        };
        let exporter = self.clone();
        in_turn(turns, async move { exporter.made(&visitor, wanted, body).await }).await?
    }

    async fn made(
        &self,
        visitor: &Visitor,
        wanted: ExportRequest,
        body: Bytes,
    ) -> Result<Response, DoorError> {
        let Inner { query, signer, dir, .. } = &*self.0;
        let archive = query.archive()?;
        let folder = dir.join(recorder::random_id().to_string());
        let journal = VisitorJournal { query, visitor };
        match export_from(&archive, &journal, signer, wanted, &folder).await {
            Ok(exported) => send(exported, folder).await,
            Err(error) => {
                self.refuse(visitor, Outcome::Refused, body).await?;
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

/// Does an export's work in one of a few turns. The work goes on when its caller leaves, because what it does on other
/// threads cannot be stopped; so the turn is the work's own, and ends with it.
async fn in_turn<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, DoorError> {
    let Ok(turn) = Arc::clone(turns).try_acquire_owned() else {
        let message = format!("{MAX_EXPORTS} exports are being made; try again in a minute");
        return Err(DoorError::new(StatusCode::TOO_MANY_REQUESTS, "exports_busy", message));
    };
    let worked = tokio::spawn(async move {
        let worked = work.await;
        drop(turn);
        worked
    });
    worked.await.map_err(|error| {
        tracing::error!(%error, "an export was aborted");
        let message = "the export was aborted; its cause is in the log of the query node";
        DoorError::new(StatusCode::INTERNAL_SERVER_ERROR, "package_not_made", message)
    })
}

impl Asked {
    /// What a body asks for, or why it cannot be understood.
    fn read(body: &[u8], role: Role) -> Result<ExportRequest, DoorError> {
        let asked: Self = serde_json::from_slice(body).map_err(|error| {
            let told = error.to_string();
            // Whoever asks by a program has seen no JSON; a place in it helps only where it is broken.
            let told = match told.rsplit_once(" at line ") {
                Some((what, _)) if error.is_data() => what,
                _ => &told,
            };
            bad("bad_request", format!("the request is not usable: {told}"))
                .hint(r#"{"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z"}"#)
        })?;
        Ok(ExportRequest {
            from: instant("from", &asked.from)?,
            to: instant("to", &asked.to)?,
            role,
            open: asked.open,
            criteria: asked.criteria,
            custom_queries: asked.custom_queries,
            requester: Bytes::new(),
        })
    }
}

fn instant(field: &str, given: &str) -> Result<jiff::Timestamp, DoorError> {
    given.parse().map_err(|_| {
        // An example near what was meant, when a date is all that was given.
        let day = given.parse::<jiff::civil::Date>();
        let day = day.map_or_else(|_| "2026-03-01".to_owned(), |day| day.to_string());
        bad("bad_time", format!("{field}: {given:?} is not a time with a zone"))
            .hint(format!("times are RFC 3339, such as {day}T00:00:00Z"))
    })
}

fn bad(code: &str, message: String) -> DoorError {
    DoorError::new(StatusCode::BAD_REQUEST, code, message)
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_its_work_though_the_caller_left() {
        let turns = Arc::new(Semaphore::new(1));
        let (end, ended) = oneshot::channel::<()>();
        let left = in_turn(&turns, async move { ended.await.is_ok() });
        let left = tokio::time::timeout(Duration::from_millis(20), left).await;
        assert!(left.is_err(), "the work was to last longer");
        let busy = in_turn(&turns, async {}).await.unwrap_err();
        assert_eq!((busy.status().as_u16(), busy.code()), (429, "exports_busy"));
        end.send(()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while turns.available_permits() == 0 {
            assert!(Instant::now() < deadline, "the turn was not given back");
            tokio::task::yield_now().await;
        }
        assert_eq!(in_turn(&turns, async { 7 }).await.unwrap(), 7);
    }

    #[test]
    fn what_cannot_be_understood_is_told_without_positions() {
        let read = |body: &str| {
            let error = Asked::read(body.as_bytes(), Role::Auditor).unwrap_err();
            (error.code().to_owned(), error.message().to_owned())
        };
        let told = |code: &str, message: &str| (code.to_owned(), message.to_owned());
        assert_eq!(
            read(r#"{"from":"2026-11-21","to":"2026-12-01T00:00:00Z"}"#),
            told("bad_time", r#"from: "2026-11-21" is not a time with a zone"#)
        );
        assert_eq!(
            read(r#"{"from":"2026-11-21T00:00:00Z","to":"tomorrow"}"#),
            told("bad_time", r#"to: "tomorrow" is not a time with a zone"#)
        );
        assert_eq!(
            read(r#"{"from":"2026-11-21T00:00:00Z"}"#),
            told("bad_request", "the request is not usable: missing field `to`")
        );
        assert!(read("{").1.contains("line 1"), "{:?}", read("{"));
        let body = r#"{"from":"2026-11-21T00:00:00Z","to":"2026-12-01T01:00:00+01:00"}"#;
        let wanted = Asked::read(body.as_bytes(), Role::Auditor).unwrap();
        assert_eq!(wanted.to.to_string(), "2026-12-01T00:00:00Z");
        let hinted = instant("from", "2026-11-21").unwrap_err();
        let hinted = serde_json::to_value(format!("{hinted:?}")).unwrap().to_string();
        assert!(hinted.contains("2026-11-21T00:00:00Z"), "{hinted}");
    }
}
