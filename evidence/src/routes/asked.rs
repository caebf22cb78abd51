//! What the body of a request asks for.

use axum::http::StatusCode;
use bytes::Bytes;
use proto::Role;
use query::DoorError;
use serde::Deserialize;
use verifier::CustomQuery;

use crate::package::ExportRequest;

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// RFC 3339, as `to`.
    from: String,
    to: String,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    criteria: Vec<String>,
    #[serde(default)]
    custom_queries: Vec<CustomQuery>,
    /// Kept checkpoints, as signed notes or in a tlog-proof each.
    #[serde(default)]
    since: Vec<String>,
}

impl Asked {
    /// What a body asks for, or why it cannot be understood.
    pub(super) fn read(body: &[u8], role: Role) -> Result<ExportRequest, DoorError> {
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
            since: asked.since,
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

#[cfg(test)]
mod tests {
    use super::*;

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
