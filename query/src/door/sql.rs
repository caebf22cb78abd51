//! `POST /v1/sql`: one statement, recorded before it is answered.

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use proto::Role;
use proto::v1::MediaType;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use serde::Deserialize;

use super::Doors;
use super::access::{Accessed, Visitor};
use super::body::read_body;
use super::error::DoorError;
use super::render::{self, Format};
use crate::archive::Archive;
use crate::engine::guard::MAX_SQL_BYTES;
use crate::engine::running::{Busy, Planned};
use crate::engine::session::Shown;
use crate::rows::disclosures::Slots;

/// Who may ask SQL.
const ROLES: [Role; 3] = [Role::Admin, Role::Auditor, Role::Compliance];
/// Of a body: the SQL as JSON, each byte escaped.
const MAX_BODY_BYTES: usize = 6 * MAX_SQL_BYTES + 1024;

pub(crate) async fn answer(
    State(doors): State<Doors>,
    request: Request<Body>,
) -> Result<Response, DoorError> {
    let (parts, body) = request.into_parts();
    let visitor = doors.admit(&parts).await?;
    let sql = read(&parts, body).await?;
    let asked = Asked { role: visitor.role(&ROLES), visitor, sql };
    // In a task of its own: what was asked is recorded even when the asker leaves before it is.
    let admitting = tokio::spawn({
        let doors = doors.clone();
        async move { admit(&doors, &parts, asked).await }
    });
    let (archive, format, planned) = admitting.await.map_err(|_| {
        let message = "the query was aborted before it ran: see the log of this node";
        DoorError::new(StatusCode::INTERNAL_SERVER_ERROR, "sql_failed", message)
    })??;
    let answer = doors.engine.run(planned);
    render::respond(answer, format, archive.checkpoint()).await
}

/// Plans what was asked, and records it with what came of that.
async fn admit(doors: &Doors, parts: &Parts, asked: Asked) -> Result<Prepared, DoorError> {
    let Some(role) = asked.role else {
        asked.record(doors, Outcome::Denied, 0).await?;
        return Err(doors.forbid(&asked.visitor, &ROLES, None));
    };
    match prepare(doors, parts, role, &asked.sql).await {
        Ok(prepared) => {
            asked.record(doors, Outcome::Allowed, prepared.0.size()).await?;
            Ok(prepared)
        }
        Err(error) => {
            asked.record(doors, Outcome::Refused, 0).await?;
            Err(error)
        }
    }
}

type Prepared = (Archive, Format, Planned);

struct Asked {
    visitor: Visitor,
    role: Option<Role>,
    sql: String,
}

impl Asked {
    async fn record(
        &self,
        doors: &Doors,
        result: Outcome,
        checkpoint_size: u64,
    ) -> Result<(), DoorError> {
        let accessed = Accessed {
            door: Door::Sql,
            result,
            role: self.role,
            checkpoint_size,
            query: Some((MediaType::Sql, Bytes::copy_from_slice(self.sql.as_bytes()))),
            ..Accessed::default()
        };
        Ok(doors.record(&self.visitor, accessed).await?)
    }
}

async fn prepare(
    doors: &Doors,
    parts: &Parts,
    role: Role,
    sql: &str,
) -> Result<Prepared, DoorError> {
    let archive = doors.archive()?;
    let format = Format::of(parts)?;
    let turn = doors.engine.turn().await.map_err(|Busy| {
        DoorError::busy("sql_busy", "as many queries run as may run at a time: try again")
    })?;
    let shown = Shown {
        parts: archive.view().parts.clone().into(),
        slots: Slots::visible_to(role),
        prover: Some(archive.clone()),
    };
    let planned = doors.engine.plan(turn, shown, sql.to_owned()).await?;
    Ok((archive, format, planned))
}

/// The SQL: the body as it is, or `{"sql": "…"}` when the body is JSON.
async fn read(parts: &Parts, body: Body) -> Result<String, DoorError> {
    let body = read_body(body, MAX_BODY_BYTES, "sql_too_long").await?;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = content_type.is_some_and(|value| {
        value.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"))
    });
    if is_json {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Question {
            sql: String,
        }
        let question: Question = serde_json::from_slice(&body).map_err(|error| {
            DoorError::new(StatusCode::BAD_REQUEST, "body_malformed", error.to_string())
                .hint(r#"send {"sql": "SELECT …"}, or the SQL itself as text/plain"#)
        })?;
        return Ok(question.sql);
    }
    String::from_utf8(body.into()).map_err(|_| {
        DoorError::new(StatusCode::BAD_REQUEST, "body_malformed", "the SQL text is not UTF-8")
    })
}
