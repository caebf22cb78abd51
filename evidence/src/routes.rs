//! `POST /v1/packages`: a period in, a ZIP out.

mod asked;
mod sending;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use proto::v1::MediaType;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use query::{Accessed, Archive, DoorError, Query, Visitor, read_body};
use tlog::{Note, Policy, Signer};
use tokio::sync::Semaphore;

use asked::Asked;
use sending::send;
use turns::{MAX_EXPORTS, in_turn};

use crate::collect::CollectError;
use crate::journal::{Journal, Release, Unrecorded};
use crate::package::{EXPORT_ROLES, ExportError, ExportRequest, export_while};

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How long an export waits until the witnesses have cosigned the checkpoint.
const QUORUM_PATIENCE: Duration = Duration::from_secs(15);

/// Serves packages beside the doors of a query node. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(Arc<Inner>);

struct Inner {
    query: Query,
    signer: Arc<dyn Signer>,
    quorum: Option<Policy>,
    dir: PathBuf,
    turns: Arc<Semaphore>,
}

impl Exporter {
    /// Exports from `query`, signed by `signer`; packages are made in the folder `dir` and removed once sent. With a
    /// policy, only checkpoints that its quorum of witnesses has cosigned are exported.
    pub fn new(
        query: Query,
        signer: Arc<dyn Signer>,
        quorum: Option<Policy>,
        dir: PathBuf,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(MAX_EXPORTS));
        Self(Arc::new(Inner { query, signer, quorum, dir, turns }))
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
        let archive = match self.cosigned_archive().await {
            Ok(archive) => archive,
            Err(error) => {
                self.refuse(visitor, Outcome::Refused, body).await?;
                return Err(error);
            }
        };
        let mut archive = archive;
        let mut folder = dir.join(recorder::random_id().to_string());
        let journal = VisitorJournal { query, visitor };
        let stopping = query.stopping();
        let again = wanted.clone();
        let mut made = export_while(&archive, &journal, signer, wanted, &folder, &stopping).await;
        let is_absent = matches!(made, Err(ExportError::Collect(CollectError::Undisclosed { .. })));
        if is_absent && let Some(newer) = self.archive_above(&archive).await {
            // What an erasure took is gone here as soon as its event is read, which may stand above the checkpoint.
            (archive, folder) = (newer, dir.join(recorder::random_id().to_string()));
            made = export_while(&archive, &journal, signer, again, &folder, &stopping).await;
        }
        match made {
            Ok(exported) => {
                // Only a convenience: without it, a requester gives the checkpoint along with the next request.
                if let Err(error) = query.keep_exported(&archive).await {
                    tracing::warn!(%error, "the checkpoint of an export was not kept");
                }
                send(exported, folder).await
            }
            Err(error) => {
                self.refuse(visitor, Outcome::Refused, body).await?;
                Err(refusal(&error))
            }
        }
    }

    /// What is verified under a newer checkpoint, if there is one.
    async fn archive_above(&self, archive: &Archive) -> Option<Archive> {
        let newer = self.cosigned_archive().await.ok()?;
        (newer.checkpoint().0.size > archive.checkpoint().0.size).then_some(newer)
    }

    /// What is verified, under the newest checkpoint that has the quorum.
    async fn cosigned_archive(&self) -> Result<Archive, DoorError> {
        let Inner { query, quorum, .. } = &*self.0;
        let Some(policy) = quorum else { return query.archive() };
        let is_good = |note: &str| Note::parse(note).is_ok_and(|note| policy.is_cosigned(&note));
        let archive = query.archive_when(is_good, QUORUM_PATIENCE).await?;
        archive.ok_or_else(|| {
            let message = format!(
                "the quorum of witnesses has not cosigned a checkpoint within {QUORUM_PATIENCE:?}: ask again; if that \
                 goes on, the ledger's log and metrics say which witness does not answer"
            );
            DoorError::new(StatusCode::SERVICE_UNAVAILABLE, "quorum_missing", message)
        })
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

fn refusal(error: &ExportError) -> DoorError {
    let status = match error {
        ExportError::Unrecorded(_) | ExportError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        _ if error.is_callers_fault() => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if !error.is_callers_fault() {
        tracing::error!(%error, "an export failed");
    }
    DoorError::new(status, error.code(), error.to_string())
}
