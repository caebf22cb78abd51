//! A response with one body: read, masked, recorded, released.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use controls::Document;
use proto::kind::Kind;
use proto::v1;
use proto::v1::{Outcome, Slot, session_closed};
use recorder::Draft;

use super::Exchange;
use super::caller::Caller;
use super::closing::Ending;
use super::inspect::{self, Inspected};
use super::watch::Watch;
use crate::http::headers::SESSION_ID;
use crate::http::returned::{self, BodyKind};
use crate::inventory::Observation;
use crate::message::{Class, Reply};
use crate::record::Unrecorded;
use crate::route::Route;
use crate::session::Session;
use crate::upstream;

/// The head of a server's response.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// A session that is about to open.
pub(super) struct Opening {
    session: Session,
    /// The one that has to go for it.
    evicted: Option<Session>,
}

impl Exchange {
    /// Relays a response to its recorded end.
    pub(super) async fn relay(
        &mut self,
        route: &Route,
        response: reqwest::Response,
        watch: Watch,
        caller: &mut Caller,
    ) -> Result<(), Ending> {
        self.upstream_status = response.status().as_u16();
        let head = Head { status: response.status(), headers: response.headers().clone() };
        if head.headers.get(SESSION_ID).is_some_and(|id| !returned::is_session_id(id)) {
            return Err(withheld("its Mcp-Session-Id is not visible ASCII of acceptable length"));
        }
        match returned::body_kind(&head.headers) {
            // What is framed as a stream is masked as one, or not passed on.
            BodyKind::Events => match replaced(head.status) {
                None => self.relay_stream(route, head, response, watch, caller).await,
                Some(reason) => Err(withheld(&format!("it is an event stream, and {reason}"))),
            },
            BodyKind::Unreadable(reason) => Err(withheld(reason)),
            kind => self.relay_body(route, kind, head, response, watch, caller).await,
        }
    }

    async fn relay_body(
        &mut self,
        route: &Route,
        kind: BodyKind,
        head: Head,
        mut response: reqwest::Response,
        mut watch: Watch,
        caller: &mut Caller,
    ) -> Result<(), Ending> {
        let mut body = BytesMut::new();
        while let Some(chunk) = watch.over(response.chunk(), caller).await?.map_err(lost)? {
            if body.len() + chunk.len() > proto::MAX_MESSAGE_BYTES {
                let reason = format!("it has more than {} bytes", proto::MAX_MESSAGE_BYTES);
                return Err(Ending::Withheld(v1::Refusal::TooLarge, reason));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        let inspected = match kind {
            BodyKind::Json if !body.is_empty() => inspect::json(&self.shared, body.clone()).await,
            _ => inspect::text(&self.shared, body.clone()).await,
        };
        let inspected = inspected.map_err(|error| withheld(&error.to_string()))?;
        self.record_body(route, &head, &body, &inspected).await?;
        if let Some(reason) = replaced(head.status) {
            return Err(Ending::Replaced(reason));
        }
        let mut response = Response::new(Body::from(inspected.release));
        *response.status_mut() = head.status;
        *response.headers_mut() = returned::returned(&head.headers);
        caller.answer(response);
        Ok(())
    }

    /// Makes the response durable, with what follows from it for sessions and inventory, in one commit.
    async fn record_body(
        &mut self,
        route: &Route,
        head: &Head,
        body: &Bytes,
        inspected: &Inspected,
    ) -> Result<(), Ending> {
        let opening = self.opened_session(route, head);
        let mut drafts = self.opening(opening.as_ref());
        let observation = self.observation(route, body, inspected);
        drafts.extend(self.observing(observation.as_ref()));
        let ended = self.ended_session(head.status);
        if let Some((session, reason)) = &ended {
            drafts.push(self.session_closed(session, *reason));
        }
        drafts.push(self.response(self.outcome(head.status, inspected), inspected));
        let recorded = self.close(drafts).await;
        self.settle(opening, recorded.as_ref().err());
        if let Err(unrecorded) = recorded {
            return Err(self.unclosed(&unrecorded));
        }
        observation.into_iter().for_each(|observation| self.shared.inventory.adopt(observation));
        if let Some((session, _)) = &ended {
            self.shared.sessions.remove(session);
        }
        Ok(())
    }

    /// The closing event with the response's bytes.
    pub(super) fn response(&self, outcome: Outcome, inspected: &Inspected) -> Draft {
        let draft = self.draft(self.returned(outcome, Some(inspected)));
        if inspected.record.is_empty() {
            return draft;
        }
        draft.disclose(Slot::Message, inspected.media_type, inspected.record.clone())
    }

    fn outcome(&self, status: StatusCode, inspected: &Inspected) -> Outcome {
        match &inspected.reply {
            Reply::Final { outcome, .. } => *outcome,
            _ if status == StatusCode::ACCEPTED => Outcome::Accepted,
            _ => {
                let class = self.message.as_ref().map(|message| &message.class);
                let nothing_due = !matches!(class, Some(Class::Request(_)));
                if status.is_success() && nothing_due {
                    Outcome::Accepted
                } else {
                    Outcome::HttpError
                }
            }
        }
    }

    /// The session that a response opens: one that it names and that is not known yet. It is known after
    /// [`Exchange::settle`], and so is that another had to make room.
    pub(super) fn opened_session(&mut self, route: &Route, head: &Head) -> Option<Opening> {
        if !head.status.is_success() || self.is_modern() || self.session.is_some() {
            return None;
        }
        let protocol_id = head.headers.get(SESSION_ID)?;
        let principal = self.principal.as_ref()?;
        let sessions = &self.shared.sessions;
        let key = sessions.key(&route.name, protocol_id.as_bytes());
        if sessions.contains(key) {
            return None;
        }
        let described = self.message.as_ref().and_then(|message| message.client_info.clone());
        let owner = sessions.owner(principal, &route.name);
        let session =
            sessions.prepare(&route.name, (key, owner), self.call.auth_method(), described);
        let evicted = sessions.evict(owner);
        self.session = Some(session.clone());
        Some(Opening { session, evicted })
    }

    /// The events of a session that opens, and of the one that makes room for it.
    pub(super) fn opening(&self, opening: Option<&Opening>) -> Vec<Draft> {
        let Some(Opening { session, evicted }) = opening else { return Vec::new() };
        let evicted =
            evicted.as_ref().map(|old| self.session_closed(old, session_closed::Reason::Evicted));
        let kind = Kind::SessionOpened(v1::SessionOpened {
            server: session.server.to_string(),
            era: Session::ERA.into(),
            auth_method: session.auth_method.into(),
        });
        evicted.into_iter().chain([self.draft_with_caller(kind)]).collect()
    }

    /// What becomes of the sessions once the events of an opening are durable, or are not.
    pub(super) fn settle(&mut self, opening: Option<Opening>, unrecorded: Option<&Unrecorded>) {
        let Some(Opening { session, evicted }) = opening else { return };
        let sessions = &self.shared.sessions;
        if unrecorded.is_some_and(|unrecorded| !unrecorded.may_come()) {
            // It was never opened, and nobody had to go.
            evicted.iter().for_each(|old| sessions.keep(old));
            self.session = None;
            return;
        }
        if let Some(old) = evicted {
            sessions.remove(&old);
        }
        if unrecorded.is_none() {
            sessions.insert(session);
        }
    }

    /// The session that ends with this response, and why.
    pub(super) fn ended_session(
        &self,
        status: StatusCode,
    ) -> Option<(Session, session_closed::Reason)> {
        let session = self.session.clone()?;
        if status == StatusCode::NOT_FOUND {
            return Some((session, session_closed::Reason::UnknownUpstream));
        }
        let deleted = self.method == axum::http::Method::DELETE && status.is_success();
        deleted.then_some((session, session_closed::Reason::Deleted))
    }

    /// What a list of tools says that was not known.
    pub(super) fn observation(
        &self,
        route: &Route,
        message: &Bytes,
        inspected: &Inspected,
    ) -> Option<Observation> {
        let request = self.message.as_ref().filter(|request| request.method == "tools/list")?;
        if !matches!(inspected.reply, Reply::Final { outcome: Outcome::Result, .. }) {
            return None;
        }
        let document = Document::parse(message).ok()?;
        let masked = Document::parse(&inspected.record).ok()?;
        self.shared.inventory.observe(&route.name, &document, &masked, request.paged)
    }

    /// The events of an observation.
    pub(super) fn observing(&self, observation: Option<&Observation>) -> Vec<Draft> {
        let events = observation.map(Observation::events).unwrap_or_default();
        events.into_iter().map(|event| self.draft(Kind::ToolInventoryObserved(event))).collect()
    }
}

pub(super) fn withheld(reason: &str) -> Ending {
    Ending::Withheld(v1::Refusal::Unmaskable, reason.to_owned())
}

pub(super) fn lost(error: reqwest::Error) -> Ending {
    Ending::Ambiguous(upstream::reason(&error.without_url()))
}

/// Why a response with this status is replaced by an error of the gateway: it speaks of the gateway's own
/// account at the server, or would lead the caller around the gateway.
fn replaced(status: StatusCode) -> Option<String> {
    let about = match status {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "the server behind the gateway does not accept the gateway's credential"
        }
        status if status.is_redirection() => {
            "the server behind the gateway answered with a redirect"
        }
        _ => return None,
    };
    Some(format!("{about} (HTTP {}): tell the gateway's operator", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_about_the_gateways_own_account_are_replaced() {
        for status in [401, 407, 301, 302, 307, 308] {
            assert!(replaced(StatusCode::from_u16(status).unwrap()).is_some(), "{status}");
        }
        for status in [200, 202, 400, 403, 404, 405, 406, 415, 500, 503] {
            assert!(replaced(StatusCode::from_u16(status).unwrap()).is_none(), "{status}");
        }
    }
}
