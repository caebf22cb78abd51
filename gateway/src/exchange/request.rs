//! What the caller says: read within bounds, and understood.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use proto::names::is_known_method;
use proto::v1;
use tokio::time::{Instant, timeout_at};

use super::Exchange;
use super::refusal::{Refusal, broken, malformed, too_large};
use crate::error;
use crate::http::forwarded::{self, Unfit};
use crate::http::headers::{self, PROTOCOL_VERSION};
use crate::inventory::Declared;
use crate::message::{Message, era, mirror};
use crate::room::bytes::{Budget, Claim, NoRoom};
use crate::route::Route;

/// Arguments that stand in headers only, by their names among arguments.
pub(super) type Undeclared = Vec<(String, String)>;

impl Exchange {
    /// Reads and understands the message; the headers that repeat parts of it must agree with it.
    pub(super) async fn read_message(
        &mut self,
        route: &Route,
        body: Body,
    ) -> Result<Undeclared, Refusal> {
        let has_body = self.method == Method::POST;
        forwarded::check(&self.headers, has_body).map_err(|unfit| unfit_request(&unfit))?;
        if !has_body {
            return Ok(Undeclared::new());
        }
        let announced = headers::text(&self.headers, &CONTENT_LENGTH);
        let room = (&self.shared.budget, self.claim.as_mut());
        let bytes = read_body(body, announced, self.shared.waits.body, room).await?;
        let size = bytes.len();
        let parse = move || Message::parse(&bytes);
        let parsed = self.shared.computers.run(size, parse).await;
        let message = match parsed {
            Some(Ok(message)) => message,
            Some(Err((error, id))) => {
                self.stray_id = id;
                return Err(malformed(error.code(), error.to_string()));
            }
            None => return Err(broken()),
        };
        let version = headers::text(&self.headers, &PROTOCOL_VERSION);
        self.call.era = era::of(message.meta_version.as_deref(), version).into();
        if is_known_method(&message.method) {
            self.call.method.clone_from(&message.method);
        }
        let tool = (message.method == "tools/call")
            .then(|| {
                message
                    .name
                    .as_deref()
                    .map(|name| (name, self.shared.inventory.tool(&route.name, name)))
            })
            .flatten();
        let mut declared: Arc<[Declared]> = Arc::new([]);
        if let Some((name, Some(tool))) = tool {
            self.call.name = name.to_owned();
            self.call.definition_digest = Bytes::copy_from_slice(&tool.digest);
            declared = tool.declared;
        }
        let consistent = mirror::check(&self.headers, &message, &declared)
            .and_then(|()| mirror::undeclared(&self.headers, &declared));
        self.message = Some(message);
        if self.is_listening() {
            self.listen()?;
        }
        consistent.map_err(|mismatch| malformed(error::HEADER_MISMATCH, mismatch.to_string()))
    }
}

/// The body, `announced` to be so long, within its bounds of size and time, and as there is room for it.
async fn read_body(
    mut body: Body,
    announced: Option<&str>,
    wait: Duration,
    (budget, mut claim): (&Budget, Option<&mut Claim>),
) -> Result<Bytes, Refusal> {
    let deadline = Instant::now() + wait;
    let mut read = BytesMut::new();
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(None) => return Ok(read.freeze()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "the body of a request broke off");
                let told = unfinished("broke off", read.len(), announced);
                return Err(malformed(-32700, told));
            }
            Err(_) => {
                let told = unfinished("did not come in time: it stopped", read.len(), announced);
                let status = StatusCode::REQUEST_TIMEOUT;
                return Err(Refusal::denied(v1::Refusal::Malformed, status, -32700, told));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > proto::MAX_MESSAGE_BYTES {
            let most = proto::MAX_MESSAGE_BYTES;
            return Err(too_large(&format!("a message may have {most} bytes: send less")));
        }
        if let Some(claim) = &mut claim {
            budget.grow(claim, data.len()).await.map_err(|no_room| match no_room {
                NoRoom::Now => Refusal::unavailable(&no_room.to_string()),
                NoRoom::OfCaller(_) => Refusal::too_many(&no_room.to_string()),
            })?;
        }
        read.extend_from_slice(&data);
    }
}

/// What is told of a body that did not come whole.
fn unfinished(what: &str, read: usize, announced: Option<&str>) -> String {
    let of = announced.map(|length| format!(" of {length}")).unwrap_or_default();
    format!(
        "the body of the request {what} after {read} bytes{of}: nothing was forwarded, send it whole again"
    )
}

fn unfit_request(unfit: &Unfit) -> Refusal {
    let status = match unfit {
        Unfit::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Unfit::Twice(_) | Unfit::Unrecordable(_) => StatusCode::BAD_REQUEST,
    };
    Refusal::denied(v1::Refusal::Malformed, status, -32600, unfit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tokio_stream::StreamExt;

    #[tokio::test(start_paused = true)]
    async fn a_body_has_one_deadline_however_it_drips() {
        let drips = |count: usize| {
            let drips = tokio_stream::iter(vec![Bytes::from_static(b" "); count]);
            let drips = drips.throttle(Duration::from_secs(9)).map(Ok::<_, Infallible>);
            Body::from_stream(drips)
        };
        let (wait, budget) = (Duration::from_secs(30), Budget::new(0));
        let read = |count| read_body(drips(count), Some("9"), wait, (&budget, None));
        assert_eq!(read(3).await.unwrap().len(), 3);
        let refused = read(9).await.unwrap_err();
        assert_eq!(refused.told.status, StatusCode::REQUEST_TIMEOUT);
        assert!(refused.told.message.contains("after 4 bytes of 9"), "{}", refused.told.message);
    }
}
