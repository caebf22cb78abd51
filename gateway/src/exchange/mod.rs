//! One HTTP request and what becomes of it.
//!
//! `pipeline` is the way from top to bottom. Before anything is forwarded: `admission`, `authentication`,
//! `request`, `judgement`. What comes back: `response` and `stream`, each message through `inspect`. `closing`
//! is how it ends when it ends otherwise. Approvals will stand between `judgement` and forwarding.

mod admission;
mod authentication;
mod caller;
mod closing;
mod inspect;
mod judgement;
mod pipeline;
mod refusal;
mod request;
mod response;
mod stream;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::header::{HOST, ORIGIN, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use bytes::Bytes;
use controls::Snapshot;
use identity::Principal;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{Call, Era, MediaType, Slot};
use recorder::Draft;
use serde_json::value::RawValue;

pub(crate) use pipeline::run;

use crate::http::forwarded::MAX_VALUE_BYTES;
use crate::http::headers::{self, LAST_EVENT_ID, PROTOCOL_VERSION};
use crate::message::{Message, RequestId};
use crate::room::bytes::Claim;
use crate::room::places::Place;
use crate::session::Session;
use crate::start::Shared;

/// What is known of an exchange; it grows on the way.
struct Exchange {
    shared: Arc<Shared>,
    id: Id,
    trace: Option<Id>,
    began: Instant,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    /// Held while the exchange is open, and while its record is on its way; none when there was none left.
    place: Option<Arc<Place>>,
    /// Room for the bytes of its message, until the server has them.
    claim: Option<Claim>,
    principal: Option<Principal>,
    message: Option<Message>,
    /// The id to answer, of a message that was not understood.
    stray_id: Option<RequestId>,
    session: Option<Session>,
    /// What leaves may say of it so far.
    call: Call,
    /// The event of the request, once it is durable.
    request_event_id: Option<Id>,
    /// HTTP status that the server answered with; 0 before.
    upstream_status: u16,
    /// Its closing event was made.
    closed: bool,
}

impl Exchange {
    fn new(
        shared: Arc<Shared>,
        peer: Option<SocketAddr>,
        parts: axum::http::request::Parts,
    ) -> Exchange {
        let place = shared.places.enter().ok().map(Arc::new);
        Exchange {
            id: recorder::random_id(),
            trace: headers::trace_id(&parts.headers),
            began: Instant::now(),
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            peer,
            place,
            claim: None,
            principal: None,
            message: None,
            stray_id: None,
            session: None,
            call: Call::default(),
            request_event_id: None,
            upstream_status: 0,
            closed: false,
            shared,
        }
    }

    /// The id that an answer to the caller carries.
    fn request_id(&self) -> Option<&RequestId> {
        self.message.as_ref().and_then(Message::request_id).or(self.stray_id.as_ref())
    }

    /// Closing the connection cancels the call, and there are no sessions.
    fn is_modern(&self) -> bool {
        self.call.era() == Era::Modern
    }

    /// A stream on which the server speaks when it likes, and owes nothing.
    fn is_listening(&self) -> bool {
        self.method == Method::GET || self.call.method == "subscriptions/listen"
    }

    /// An event of this exchange.
    fn draft(&self, kind: Kind) -> Draft {
        let mut draft = Draft::new(kind).exchange(self.id);
        if let Some(session) = &self.session {
            draft = draft.session(session.id);
        }
        match self.trace {
            Some(trace) => draft.trace(trace),
            None => draft,
        }
    }

    /// The same with who called and from where.
    fn draft_with_caller(&self, kind: Kind) -> Draft {
        let mut draft = self.draft(kind);
        if let Some(principal) = &self.principal {
            // A map of strings, sets and JSON values always serializes.
            let principal = serde_json::to_vec(principal).unwrap_or_default();
            draft = draft.disclose(Slot::Principal, MediaType::Json, principal);
        }
        draft.disclose(Slot::Client, MediaType::Json, self.client())
    }

    /// The CLIENT disclosure. What a client says of itself is masked as all it says.
    fn client(&self) -> Bytes {
        let header = |name| Some(recorded_header(&self.shared.snapshot, self.headers.get(name)?));
        let session = self
            .headers
            .get(headers::SESSION_ID)
            .filter(|_| !self.is_modern())
            .map(|id| self.shared.sessions.key(&self.call.server, id.as_bytes()).to_hex());
        let described = self.message.as_ref().and_then(|message| message.client_info.clone());
        let described =
            described.or_else(|| self.session.as_ref().and_then(|found| found.client_info.clone()));
        let described = described
            .and_then(|info| self.shared.snapshot.mask_message(&info).ok())
            .and_then(|masked| serde_json::from_slice::<Box<RawValue>>(&masked.bytes).ok());
        let client = Client {
            address: self.peer.map(|peer| peer.ip().to_string()),
            port: self.peer.map(|peer| peer.port()),
            user_agent: header(USER_AGENT),
            host: header(HOST),
            origin: header(ORIGIN),
            protocol_version: header(PROTOCOL_VERSION),
            last_event_id: header(LAST_EVENT_ID),
            client_info: described,
            protocol_session: session,
        };
        // Strings and checked JSON always serialize.
        serde_json::to_vec(&client).unwrap_or_default().into()
    }
}

/// Masked whole, or told by its length alone: of a part one could not tell what it is a part of, and masking more
/// than is ever passed on would let anybody keep the gateway busy.
fn recorded_header(snapshot: &Snapshot, value: &HeaderValue) -> String {
    if value.len() > MAX_VALUE_BYTES {
        return format!("[{} bytes, too long to be recorded]", value.len());
    }
    snapshot.mask_text(&String::from_utf8_lossy(value.as_bytes())).text
}

/// The CLIENT disclosure: where a call comes from, by its own account.
#[derive(serde::Serialize)]
struct Client {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// `MCP-Protocol-Version`, which is passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<String>,
    /// `Last-Event-ID`, which is passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_id: Option<String>,
    /// Self-reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<Box<RawValue>>,
    /// Keyed hash of the protocol session id, the same within one start of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_session: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::{NamedText, SnapshotSource};

    #[test]
    fn a_header_is_masked_whole_or_not_read() {
        let permit = "permit(principal, action, resource);".to_owned();
        let policies = vec![NamedText { name: "p.cedar".to_owned(), text: permit }];
        let source = SnapshotSource { policies, ..SnapshotSource::default() };
        let snapshot = Snapshot::build(source).unwrap();
        let recorded =
            |value: &str| recorded_header(&snapshot, &HeaderValue::try_from(value).unwrap());
        let longest = format!("{} 4111111111111111", "x".repeat(MAX_VALUE_BYTES - 17));
        assert!(recorded(&longest).ends_with("x [masked:payment_card]"));
        let longer = format!("x{longest}");
        assert_eq!(recorded(&longer), "[1025 bytes, too long to be recorded]");
    }
}
