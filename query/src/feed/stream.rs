//! `GET /v1/events/stream`: server-sent events, resumable by `Last-Event-ID`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use proto::Role;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::cursor;
use super::page::{Form, Page};
use super::places::Place;
use super::poll::{decode, news, parameters};
use crate::door::Doors;
use crate::door::access::Visitor;
use crate::door::error::DoorError;

/// Events read, and noted as delivered, at a time.
const STRIDE: u64 = 100;
/// How long one look for news lasts; the stream itself lives as long as the token.
const LOOK: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamParameters {
    cursor: Option<String>,
    format: Option<String>,
}

pub(crate) async fn stream(
    State(doors): State<Doors>,
    request: Request<Body>,
) -> Result<Response, DoorError> {
    let mut parts = request.into_parts().0;
    let (visitor, role) = super::admit(&doors, &parts).await?;
    let asked: StreamParameters = parameters(&mut parts).await?;
    let form = Form::of(asked.format.as_deref())?;
    let place = doors.places.take(visitor.principal())?;
    let last_id = match parts.headers.get("last-event-id") {
        None => None,
        Some(id) => Some(id.to_str().map(str::to_owned).map_err(|_| {
            DoorError::new(StatusCode::BAD_REQUEST, "feed_bad_cursor", "Last-Event-ID is no text")
        })?),
    };
    let archive = doors.archive()?;
    let next = match last_id.or(asked.cursor) {
        Some(text) => decode(&archive, &text)?,
        None => 0,
    };
    let expires = Duration::from_secs(visitor.principal().expires_at);
    let left = expires
        .saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::MAX));
    let origin = archive.checkpoint().0.origin.clone();
    // No clock of ours goes far enough to overflow within a year.
    let ends = Instant::now() + left.min(Duration::from_secs(365 * 86_400));
    let feed = Feed {
        doors,
        visitor,
        role,
        form,
        origin,
        next,
        ready: VecDeque::new(),
        ends,
        _place: place,
    };
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct Feed {
    doors: Doors,
    visitor: Visitor,
    role: Role,
    form: Form,
    origin: String,
    next: u64,
    ready: VecDeque<(u64, Value)>,
    /// When the token expires.
    ends: Instant,
    _place: Place,
}

impl Feed {
    /// `None` ends the stream: the token expired, or nothing can be served; the client comes back with its cursor.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((index, event)) = self.ready.pop_front() {
                let id = cursor::encode(index + 1, &self.origin);
                return Some(Event::default().id(id).data(event.to_string()));
            }
            let now = Instant::now();
            if now >= self.ends {
                return None;
            }
            let archive = news(&self.doors, self.next, self.ends.min(now + LOOK)).await.ok()?;
            let until = archive.size();
            // Records of deliveries go out with the next event that is more than that.
            if self.next >= until || !archive.has_news(self.next).ok()? {
                continue;
            }
            let range = (self.next, until);
            let page = Page::read(&archive, self.role, self.form, range, STRIDE).await.ok()?;
            let (journal, delivered) = (self.doors.journal.as_ref(), self.next..page.next);
            let deliveries = &self.doors.deliveries;
            deliveries.deliver(journal, (&self.visitor, self.role), delivered, until).await.ok()?;
            self.next = page.next;
            self.ready = page.events.into();
        }
    }
}
