//! Asking the ledger for a backup of itself. The folder is the configuration's alone: a caller names none.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use proto::Role;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use serde::Deserialize;
use serde_json::json;
use tonic::{Code, Status};

use super::access::Reading;
use super::problem::{problem, refusal};
use super::{Doors, status};
use crate::backup::{Backup, BackupError, Backups, ReadBack};

/// Nothing but a word of how.
const MAX_BODY_BYTES: usize = 1 << 10;

pub(super) fn router(doors: Doors) -> Router {
    Router::new()
        .route("/v1/backups", post(make))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(doors)
}

/// How a backup is asked for; nothing at all is the default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// It is read back and checked before it is answered.
    #[serde(default)]
    verify: bool,
}

impl Asked {
    fn read(body: &Bytes) -> Result<Self, serde_json::Error> {
        if body.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(body) }
    }
}

/// Makes a backup, and answers when it is whole.
async fn make(
    State(doors): State<Doors>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let backups = match admit(&doors, header, &extensions).await {
        Ok(backups) => backups,
        Err(refused) => return refusal(&refused),
    };
    let read_back = match Asked::read(&body) {
        Ok(Asked { verify: true }) => ReadBack::Now,
        Ok(Asked { verify: false }) => ReadBack::OneIn(0),
        Err(error) => {
            let message = format!("what is asked for cannot be read: {error}");
            return problem(StatusCode::BAD_REQUEST, "backup_unusable", &message);
        }
    };
    match backups.make(read_back).await {
        Ok(backup) => Json(answer(&backup)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a backup was not made, or is not good");
            let status = match error {
                BackupError::Busy(_)
                | BackupError::BeingRead(_)
                | BackupError::Purging
                | BackupError::OtherLog { .. }
                | BackupError::OtherHistory { .. } => StatusCode::CONFLICT,
                BackupError::NotGood { .. }
                | BackupError::NotReadBack { .. }
                | BackupError::Damaged { .. } => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            problem(status, error.code(), &error.to_string())
        }
    }
}

/// Only an admin may have all evidence copied, and that is recorded first: so it stands in the backup, too.
async fn admit(
    doors: &Doors,
    authorization: Option<&str>,
    extensions: &Extensions,
) -> Result<Arc<Backups>, Status> {
    let end_index = doors.published.borrow().checkpoint.size.0;
    let reading = Reading { door: Door::Backup, first_index: 0, end_index };
    let reader = doors.admit(authorization, extensions, reading).await?;
    if reader.role != Role::Admin {
        doors.record(&reader, reading, Outcome::Denied).await?;
        let message = "a backup holds all evidence: asking for one needs the role admin";
        return Err(status::status(Code::PermissionDenied, "role_missing", message));
    }
    let Some(backups) = doors.backups.clone() else {
        doors.record(&reader, reading, Outcome::Refused).await?;
        let message = "the ledger's configuration names no folder for backups: add `folder` to [ledger.backup]";
        return Err(status::status(Code::FailedPrecondition, "no_backup_folder", message));
    };
    doors.record(&reader, reading, Outcome::Allowed).await?;
    Ok(backups)
}

fn answer(backup: &Backup) -> serde_json::Value {
    json!({
        "backup": backup.backup, "folder": backup.folder, "origin": backup.checkpoint.origin,
        "size": backup.checkpoint.size.0, "root": backup.checkpoint.root.to_string(), "files": backup.files,
        "bytes": backup.bytes, "bytes_copied": backup.bytes_copied, "purged": backup.purged,
        "mended": backup.mended, "lost": backup.lost, "verified": backup.verified,
        "not_good": backup.not_good
    })
}
