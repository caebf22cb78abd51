//! Answers in the form that was asked for.
//!
//! JSON is whole or an error. The other forms stream: when a bound is met midway the body breaks off without its
//! proper end, so that no client takes a part for the whole.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tlog::Checkpoint;

use super::error::DoorError;
use crate::engine::SqlError;
use crate::engine::running::Answer;
use crate::engine::text::Cells;

const CHECKPOINT: HeaderName = HeaderName::from_static("exhibit-checkpoint");
const TREE_SIZE: HeaderName = HeaderName::from_static("exhibit-tree-size");

/// A form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// With cells that no spreadsheet takes for a formula?
    Csv {
        excel: bool,
    },
    Ndjson,
    Arrow,
}

impl Format {
    /// The first form of `Accept` that is known here; JSON when it does not matter.
    pub(crate) fn of(request: &Parts) -> Result<Self, DoorError> {
        let excel =
            request.uri.query().is_some_and(|query| query.split('&').any(|p| p == "excel=1"));
        let accept: Vec<&str> = request
            .headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let accept = accept.join(",");
        if accept.trim().is_empty() {
            return Ok(Self::Json);
        }
        let wanted = accept.split(',').filter_map(|one| {
            match one.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "application/json" | "application/*" | "*/*" => Some(Self::Json),
                "text/csv" | "text/*" => Some(Self::Csv { excel }),
                "application/x-ndjson" | "application/jsonl" => Some(Self::Ndjson),
                "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
                _ => None,
            }
        });
        wanted.into_iter().next().ok_or_else(|| {
            DoorError::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "no form in Accept is known here")
                .hint("application/json, text/csv, application/x-ndjson, application/vnd.apache.arrow.stream")
        })
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Csv { .. } => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        })
    }
}

/// The response to a query. Errors before the first batch are plain errors, whatever the form.
pub(crate) async fn respond(
    mut answer: Answer,
    format: Format,
    (checkpoint, note): (&Checkpoint, &str),
) -> Result<Response, DoorError> {
    let body = if format == Format::Json {
        Body::from(whole(answer, checkpoint, note).await?)
    } else {
        let batch = answer.next().await.transpose()?;
        // What is run may be typed more narrowly than what was planned.
        let schema = batch.as_ref().map_or_else(|| answer.schema().clone(), RecordBatch::schema);
        let mut encoder = Encoder::new(format, &schema)?;
        let mut first = encoder.start()?;
        let is_complete = batch.is_none();
        if let Some(batch) = batch {
            first.extend(encoder.batch(&batch)?);
        }
        stream_body(first, answer, encoder, is_complete)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, format.content_type());
    headers.insert(TREE_SIZE, checkpoint.size.0.into());
    // Base64 is made of header characters; a note with very many cosignatures would not fit a header.
    if let Ok(note) = HeaderValue::from_str(&STANDARD.encode(note))
        && note.len() <= 16 * 1024
    {
        headers.insert(CHECKPOINT, note);
    }
    Ok(response)
}

async fn whole(
    mut answer: Answer,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<String, DoorError> {
    let names = answer.schema().fields().iter().map(|field| field.name().as_str());
    let mut body = format!("{{\"columns\":{},\"rows\":[", names.collect::<Value>());
    let mut row_count = 0u64;
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        let cells = Cells::of(&batch).map_err(failed)?;
        for row in 0..batch.num_rows() {
            if row_count > 0 {
                body.push(',');
            }
            body.push_str(&cells.json_row(row).collect::<Value>().to_string());
            row_count += 1;
        }
    }
    let (size, note) = (checkpoint.size, Value::from(note));
    body.push_str(&format!(
        "],\"row_count\":{row_count},\"checkpoint\":{note},\"tree_size\":{size}}}"
    ));
    Ok(body)
}

enum Step {
    First(Vec<u8>),
    Next,
    Done,
}

fn stream_body(first: Vec<u8>, answer: Answer, encoder: Encoder, is_complete: bool) -> Body {
    let state = (Step::First(first), answer, encoder, is_complete);
    Body::from_stream(stream::unfold(
        state,
        |(step, mut answer, mut encoder, is_complete)| async move {
            let (bytes, step) = match step {
                Step::Done => return None,
                Step::First(mut first) if is_complete => {
                    let end = encoder.end().map(|end| {
                        first.extend(end);
                        first
                    });
                    (end, Step::Done)
                }
                Step::First(first) => (Ok(first), Step::Next),
                Step::Next => match answer.next().await {
                    Some(Ok(batch)) => (encoder.batch(&batch), Step::Next),
                    // The error ends the body without the mark of its end: a client must notice.
                    Some(Err(error)) => {
                        // Its words may quote cells: they are the reader's, not the operator's.
                        tracing::warn!(code = error.code(), "an answer broke off");
                        (Err(error), Step::Done)
                    }
                    None => (encoder.end(), Step::Done),
                },
            };
            let step = if bytes.is_err() { Step::Done } else { step };
            let bytes =
                bytes.map(Bytes::from).map_err(|error| std::io::Error::other(error.to_string()));
            Some((bytes, (step, answer, encoder, is_complete)))
        },
    ))
}

enum Encoder {
    Csv {
        names: Vec<String>,
        excel: bool,
    },
    /// Keys as JSON, in the order of the columns.
    Ndjson {
        keys: Vec<String>,
    },
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    fn new(format: Format, schema: &SchemaRef) -> Result<Self, SqlError> {
        let names = || schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        Ok(match format {
            Format::Json | Format::Ndjson => Self::Ndjson { keys: distinct(&names()) },
            Format::Csv { excel } => Self::Csv { names: names(), excel },
            Format::Arrow => {
                Self::Arrow(Box::new(StreamWriter::try_new(Vec::new(), schema).map_err(failed)?))
            }
        })
    }

    fn start(&mut self) -> Result<Vec<u8>, SqlError> {
        match self {
            Self::Csv { names, excel } => {
                csv_lines([names.iter().map(|name| cell(Some(name.clone()), *excel)).collect()])
            }
            Self::Ndjson { .. } => Ok(Vec::new()),
            Self::Arrow(writer) => Ok(std::mem::take(writer.get_mut())),
        }
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, SqlError> {
        match self {
            Self::Csv { excel, .. } => {
                let cells = Cells::of(batch).map_err(failed)?;
                let row = |row| cells.row(row).map(|text| cell(text, *excel)).collect();
                csv_lines((0..batch.num_rows()).map(row))
            }
            Self::Ndjson { keys } => {
                let cells = Cells::of(batch).map_err(failed)?;
                let mut lines = Vec::new();
                for row in 0..batch.num_rows() {
                    let members = keys.iter().zip(cells.json_row(row));
                    let members = members.map(|(key, value)| format!("{key}:{value}"));
                    let line = members.collect::<Vec<_>>().join(",");
                    lines.extend(format!("{{{line}}}\n").bytes());
                }
                Ok(lines)
            }
            Self::Arrow(writer) => {
                writer.write(batch).map_err(failed)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }

    fn end(&mut self) -> Result<Vec<u8>, SqlError> {
        match self {
            Self::Csv { .. } | Self::Ndjson { .. } => Ok(Vec::new()),
            Self::Arrow(writer) => {
                writer.finish().map_err(failed)?;
                Ok(std::mem::take(writer.get_mut()))
            }
        }
    }
}

/// Keys of an object, as JSON: a name that comes again gets its position.
fn distinct(names: &[String]) -> Vec<String> {
    let name = |(position, name): (usize, &String)| {
        let again = names[..position].contains(name);
        let key = if again { format!("{name}_{}", position + 1) } else { name.clone() };
        Value::String(key).to_string()
    };
    names.iter().enumerate().map(name).collect()
}

fn csv_lines(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Vec<u8>, SqlError> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        writer.write_record(&row).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

/// A cell as CSV has it; for spreadsheets an apostrophe stands before what they would take for a formula.
fn cell(text: Option<String>, excel: bool) -> String {
    let text = text.unwrap_or_default();
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && text.parse::<f64>().is_err();
    if excel && is_formula { format!("'{text}") } else { text }
}

fn failed(error: impl std::fmt::Display) -> SqlError {
    SqlError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_neutralised_only_on_request() {
        let shown = |text: &str, excel| cell(Some(text.to_owned()), excel);
        for text in ["=1+1", "+cmd|x", "-2+3", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(shown(text, true), format!("'{text}"));
            assert_eq!(shown(text, false), text);
        }
        for text in ["-5", "+1.5", "plain", ""] {
            assert_eq!(shown(text, true), text);
        }
    }

    #[test]
    fn the_first_known_form_is_taken() {
        let of = |accept: &str| {
            let request = http::Request::builder().uri("/v1/sql?excel=1").header(ACCEPT, accept);
            Format::of(&request.body(()).unwrap().into_parts().0).map_err(|e| e.code().to_owned())
        };
        assert_eq!(of("text/html, text/csv;q=0.9, */*"), Ok(Format::Csv { excel: true }));
        assert_eq!(of("*/*"), Ok(Format::Json));
        assert_eq!(of("APPLICATION/X-NDJSON"), Ok(Format::Ndjson));
        assert_eq!(of("image/png"), Err("not_acceptable".to_owned()));
    }

    #[test]
    fn keys_are_distinct() {
        let names = ["a", "b", "a"].map(str::to_owned);
        assert_eq!(distinct(&names), ["\"a\"", "\"b\"", "\"a_3\""]);
    }
}
