//! The two pull modes: `poll` always tells where to go on and waits when there is nothing; `events` is a finite
//! listing whose last page has no next.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query as Parameters, State};
use axum::http::Request;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, LINK};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cursor;
use super::page::{Form, MAX_LIMIT, Page};
use crate::archive::Archive;
use crate::door::Doors;
use crate::door::error::DoorError;

const DEFAULT_LIMIT: u64 = 500;
const DEFAULT_WAIT_SECONDS: u64 = 20;
const MAX_WAIT_SECONDS: u64 = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollParameters {
    cursor: Option<String>,
    limit: Option<u64>,
    /// Seconds.
    wait: Option<u64>,
    format: Option<String>,
}

/// `GET /v1/events/poll`
pub(crate) async fn poll(
    State(doors): State<Doors>,
    request: Request<Body>,
) -> Result<Response, DoorError> {
    let mut parts = request.into_parts().0;
    let (visitor, role) = super::admit(&doors, &parts).await?;
    let asked: PollParameters = parameters(&mut parts).await?;
    let (form, limit) = (Form::of(asked.format.as_deref())?, limit(asked.limit)?);
    let place = doors.places.take(visitor.principal())?;
    let archive = doors.archive()?;
    let from = match &asked.cursor {
        Some(text) => decode(&archive, text)?,
        None => 0,
    };
    let wait = asked.wait.unwrap_or(DEFAULT_WAIT_SECONDS).min(MAX_WAIT_SECONDS);
    let archive = news(&doors, from, Instant::now() + Duration::from_secs(wait)).await?;
    drop(place);
    let size = archive.size();
    let page = Page::read(&archive, role, form, (from, size.max(from)), limit).await?;
    let delivered = from..page.next;
    doors.deliveries.deliver(doors.journal.as_ref(), (&visitor, role), delivered, size).await?;
    let next = cursor::encode(page.next, &archive.checkpoint().0.origin);
    let mut link = format!("/v1/events/poll?cursor={next}&limit={limit}&wait={wait}");
    if form == Form::Raw {
        link.push_str("&format=raw");
    }
    let has_more = page.next < size;
    respond(&parts, &archive, page, &Envelope { next: Some((next, link)), resume: None, has_more })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FiniteParameters {
    /// A time (RFC 3339) or a leaf index; the first one that is in.
    since: Option<String>,
    /// A time or a leaf index; the first one that is out.
    until: Option<String>,
    cursor: Option<String>,
    limit: Option<u64>,
    format: Option<String>,
}

/// `GET /v1/events`
pub(crate) async fn finite(
    State(doors): State<Doors>,
    request: Request<Body>,
) -> Result<Response, DoorError> {
    let mut parts = request.into_parts().0;
    let (visitor, role) = super::admit(&doors, &parts).await?;
    let asked: FiniteParameters = parameters(&mut parts).await?;
    let (form, limit) = (Form::of(asked.format.as_deref())?, limit(asked.limit)?);
    let archive = doors.archive()?;
    let size = archive.size();
    let until = match &asked.until {
        Some(until) => position(&archive, "until", until).await?.min(size),
        None => size,
    };
    let from = match (&asked.cursor, &asked.since) {
        (Some(text), _) => decode(&archive, text)?,
        (None, Some(since)) => position(&archive, "since", since).await?,
        (None, None) => 0,
    };
    if asked.cursor.is_none() && asked.since.is_some() && asked.until.is_some() && from > until {
        return Err(bad("feed_reversed_range", "`since` lies behind `until`"));
    }
    let page = Page::read(&archive, role, form, (from, until.max(from)), limit).await?;
    let delivered = from..page.next;
    doors.deliveries.deliver(doors.journal.as_ref(), (&visitor, role), delivered, size).await?;
    let position = cursor::encode(page.next, &archive.checkpoint().0.origin);
    let has_more = page.next < until;
    let next = has_more.then(|| {
        // The end is pinned, so that a log that grows does not make the listing endless.
        let mut link = format!("/v1/events?cursor={position}&until={until}&limit={limit}");
        if form == Form::Raw {
            link.push_str("&format=raw");
        }
        (position.clone(), link)
    });
    let resume = (!has_more).then_some(position);
    respond(&parts, &archive, page, &Envelope { next, resume, has_more })
}

/// Query parameters, with an error of ours.
pub(crate) async fn parameters<T: serde::de::DeserializeOwned + 'static>(
    parts: &mut Parts,
) -> Result<T, DoorError> {
    let parsed = Parameters::<T>::from_request_parts(parts, &()).await;
    let Parameters(parameters) =
        parsed.map_err(|error| bad("feed_bad_parameter", &error.body_text()))?;
    Ok(parameters)
}

pub(crate) fn limit(asked: Option<u64>) -> Result<u64, DoorError> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        limit @ 1..=MAX_LIMIT => Ok(limit),
        _ => Err(bad("feed_bad_limit", &format!("limit must be 1 to {MAX_LIMIT}"))),
    }
}

pub(crate) fn decode(archive: &Archive, text: &str) -> Result<u64, DoorError> {
    cursor::decode(text, &archive.checkpoint().0.origin, archive.size())
}

/// What is verified once there is something new from `index` on, or when it is time. The record of a delivery is not
/// news: else a consumer's own pulls would wake it for ever.
pub(crate) async fn news(
    doors: &Doors,
    index: u64,
    deadline: Instant,
) -> Result<Archive, DoorError> {
    let mut following = doors.following.clone();
    loop {
        let archive = doors.archive()?;
        if index < archive.size() && archive.has_news(index)? {
            return Ok(archive);
        }
        if tokio::time::timeout_at(deadline, following.changed()).await.is_err() {
            return doors.archive();
        }
    }
}

/// The index that a time or an index names.
async fn position(archive: &Archive, name: &str, text: &str) -> Result<u64, DoorError> {
    if let Ok(index) = text.parse::<u64>() {
        return Ok(index.min(archive.size()));
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        let message =
            format!("`{name}` is neither a time such as 2026-07-28T09:00:00Z nor an index");
        bad("feed_bad_time", &message)
    })?;
    let time = u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX);
    Ok(archive.first_at_or_after(time).await?.unwrap_or(archive.size()))
}

fn bad(code: &str, message: &str) -> DoorError {
    DoorError::new(StatusCode::BAD_REQUEST, code, message)
}

struct Envelope {
    /// Cursor and link.
    next: Option<(String, String)>,
    resume: Option<String>,
    has_more: bool,
}

/// The envelope as JSON; as NDJSON only the events, with the envelope in headers.
fn respond(
    request: &Parts,
    archive: &Archive,
    page: Page,
    envelope: &Envelope,
) -> Result<Response, DoorError> {
    let (checkpoint, note) = archive.checkpoint();
    let is_ndjson = request.headers.get_all(ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|a| a.contains("ndjson") || a.contains("application/jsonl"))
    });
    let events = page.events.into_iter().map(|(_, event)| event);
    let (content_type, body) = if is_ndjson {
        ("application/x-ndjson", events.map(|event| format!("{event}\n")).collect())
    } else {
        let mut body = json!({
            "events": events.collect::<Vec<Value>>(),
            "has_more": envelope.has_more,
            "checkpoint": note,
            "tree_size": checkpoint.size.0,
        });
        if let Some((next, _)) = &envelope.next {
            body["next_cursor"] = next.as_str().into();
        }
        if let Some(resume) = &envelope.resume {
            body["resume_cursor"] = resume.as_str().into();
        }
        ("application/json", body.to_string())
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(HeaderName::from_static("exhibit-tree-size"), checkpoint.size.0.into());
    let cursor = envelope.next.as_ref().map(|(next, _)| next).or(envelope.resume.as_ref());
    // Cursors and links are made of characters that headers may hold.
    if let Some(Ok(cursor)) = cursor.map(|cursor| HeaderValue::from_str(cursor)) {
        headers.insert(HeaderName::from_static("exhibit-next-cursor"), cursor);
    }
    if let Some((_, link)) = &envelope.next
        && let Ok(link) = HeaderValue::from_str(&format!("<{link}>; rel=\"next\""))
    {
        headers.insert(LINK, link);
    }
    Ok(response)
}
