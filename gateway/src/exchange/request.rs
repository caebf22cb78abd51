//! What the caller says: read within bounds, and understood.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use proto::names::is_known_method;
use proto::v1;

use super::Exchange;
use super::inspect::off_thread;
use super::refusal::{Refusal, broken, malformed, too_large};
use crate::error;
use crate::http::headers::{self, PROTOCOL_VERSION};
use crate::inventory::Declared;
use crate::message::{Message, era, mirror};
use crate::route::Route;

/// Arguments that stand in headers only.
pub(super) type Undeclared = Vec<(String, String)>;

impl Exchange {
    /// Reads and understands the message; the headers that repeat parts of it must agree with it.
    pub(super) async fn read_message(
        &mut self,
        route: &Route,
        body: Body,
    ) -> Result<Undeclared, Refusal> {
        if let Some(name) = headers::duplicated(&self.headers) {
            let message = format!("the header {name} is there more than once: send it once");
            return Err(malformed(-32600, message));
        }
        if self.method != Method::POST {
            return Ok(Undeclared::new());
        }
        let bytes = self.read_body(body).await?;
        let parsed = off_thread(bytes.len(), move || Message::parse(&bytes)).await;
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
        consistent.map_err(|mismatch| malformed(error::HEADER_MISMATCH, mismatch.to_string()))
    }

    /// The body, within its bounds of size and time.
    async fn read_body(&self, mut body: Body) -> Result<Bytes, Refusal> {
        let mut read = BytesMut::new();
        loop {
            let frame = tokio::time::timeout(self.shared.waits.body, body.frame()).await;
            match frame {
                Ok(None) => return Ok(read.freeze()),
                Ok(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if read.len() + data.len() > proto::MAX_MESSAGE_BYTES {
                        let most = proto::MAX_MESSAGE_BYTES;
                        return Err(too_large(&format!(
                            "a message may have {most} bytes: send less"
                        )));
                    }
                    read.extend_from_slice(&data);
                }
                Ok(Some(Err(_))) => return Err(malformed(-32700, "the body broke off".to_owned())),
                Err(_) => {
                    let told = "the rest of the body did not come in time".to_owned();
                    return Err(Refusal::denied(
                        v1::Refusal::Malformed,
                        StatusCode::REQUEST_TIMEOUT,
                        -32700,
                        told,
                    ));
                }
            }
        }
    }
}
