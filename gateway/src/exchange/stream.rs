//! A response that is a stream: each message is masked and recorded before it goes on, and so is what else of its
//! event goes on. Comments lose their text and pass at once.

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use proto::disclosure::size_class;
use proto::kind::Kind;
use proto::v1;
use proto::v1::{Direction, MediaType, Outcome, Slot};
use recorder::Draft;

use super::Exchange;
use super::caller::Caller;
use super::closing::Ending;
use super::inspect::{self, Inspected};
use super::response::{Head, lost, withheld};
use super::watch::Watch;
use crate::http::headers::LAST_EVENT_ID;
use crate::http::returned;
use crate::inventory::Observation;
use crate::message::Reply;
use crate::record::Unrecorded;
use crate::route::Route;
use crate::sse::{Frame, Piece, Splitter, TooLarge};

/// What field names and line ends add to a message of the largest size.
const FRAMING_BYTES: usize = 64 * 1024;
/// Most messages that are recorded in one commit.
const BATCH: usize = 64;
/// Most bytes of messages that are recorded in one commit, beyond the first message.
const BATCH_BYTES: usize = 1024 * 1024;

/// Messages that arrived together: recorded in one commit, then released.
#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    releases: Vec<Bytes>,
    size_bytes: usize,
    marks: Vec<[u8; 16]>,
    observation: Option<Observation>,
    /// The final response is among them.
    closes: bool,
}

/// What has come of a stream.
struct Incoming {
    splitter: Splitter,
    /// Nothing more will come.
    ended: bool,
    /// Events had ids, so the client can ask for what it missed.
    resumable: bool,
}

impl Incoming {
    fn next_piece(&mut self) -> Result<Option<Piece>, TooLarge> {
        let mut piece = self.splitter.next_piece()?;
        if piece.is_none() && self.ended {
            piece = self.splitter.rest();
        }
        self.resumable |= piece.as_ref().is_some_and(|piece| piece.id.is_some());
        Ok(piece)
    }
}

impl Exchange {
    pub(super) async fn relay_stream(
        &mut self,
        route: &Route,
        head: Head,
        mut response: reqwest::Response,
        mut watch: Watch,
        caller: &mut Caller,
    ) -> Result<(), Ending> {
        self.record_sessions(route, &head).await?;
        caller.begin(head.status, returned::returned(&head.headers));
        let splitter = Splitter::new(proto::MAX_MESSAGE_BYTES + FRAMING_BYTES);
        let mut incoming = Incoming { splitter, ended: false, resumable: false };
        loop {
            let chunk = match watch.over(response.chunk(), caller).await? {
                Ok(chunk) => chunk,
                // A client of a resumable stream comes again, as it would without a gateway in between.
                Err(_) if incoming.resumable && !self.is_modern() => return self.stream_ended(),
                Err(error) if self.is_listening() => {
                    tracing::debug!(error = %upstream_reason(error), "a listening stream broke");
                    return self.stream_ended();
                }
                Err(error) if self.closed => {
                    tracing::debug!(error = %upstream_reason(error), "a stream broke after its response");
                    return Ok(());
                }
                Err(error) => return Err(lost(error)),
            };
            match chunk {
                Some(chunk) => incoming.splitter.push(&chunk),
                None => incoming.ended = true,
            }
            self.pass(route, &mut incoming, &mut watch, caller).await?;
            if self.closed {
                watch.nothing_is_due();
            }
            if incoming.ended {
                return self.stream_ended();
            }
        }
    }

    /// Makes durable what the head says of sessions, before it goes on.
    async fn record_sessions(&mut self, route: &Route, head: &Head) -> Result<(), Ending> {
        let opening = self.opened_session(route, head);
        let mut drafts = self.opening(opening.as_ref());
        let ended = self.ended_session(head.status);
        drafts.extend(ended.iter().map(|(session, reason)| self.session_closed(session, *reason)));
        if drafts.is_empty() {
            return Ok(());
        }
        let recorded = self.shared.log.record(drafts, self.place.clone()).await;
        self.settle(opening, recorded.as_ref().err());
        recorded.map_err(|unrecorded| {
            Ending::Ambiguous(format!("the session could not be recorded: {unrecorded}"))
        })?;
        if let Some((session, _)) = &ended {
            self.shared.sessions.remove(session);
        }
        Ok(())
    }

    /// What the clean end of a stream means.
    fn stream_ended(&self) -> Result<(), Ending> {
        if self.closed {
            return Ok(());
        }
        if !StatusCode::from_u16(self.upstream_status).is_ok_and(|status| status.is_success()) {
            return Err(Ending::Failed);
        }
        if self.is_modern() && !self.is_listening() {
            return Err(Ending::Ambiguous(
                "the server closed the stream without an answer".to_owned(),
            ));
        }
        Err(Ending::StreamEnded)
    }

    /// Records and releases every piece that is complete.
    async fn pass(
        &mut self,
        route: &Route,
        incoming: &mut Incoming,
        watch: &mut Watch,
        caller: &mut Caller,
    ) -> Result<(), Ending> {
        let mut batch = Batch::default();
        let fault = loop {
            let piece = match incoming.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(error) => {
                    break Err(Ending::Withheld(v1::Refusal::TooLarge, error.to_string()));
                }
            };
            if let Err(ending) = self.take(route, piece, &mut batch).await {
                break Err(ending);
            }
            let full = batch.drafts.len() >= BATCH || batch.size_bytes >= BATCH_BYTES;
            if batch.drafts.is_empty() || full {
                self.flush(std::mem::take(&mut batch), watch, caller).await?;
            }
        };
        // What came before a fault is sound, and may hold the response.
        self.flush(batch, watch, caller).await?;
        fault
    }

    /// Takes one piece into the batch.
    async fn take(&mut self, route: &Route, piece: Piece, batch: &mut Batch) -> Result<(), Ending> {
        let snapshot = &self.shared.snapshot;
        let frame = piece.frame(|text| !snapshot.mask_text(text).changed);
        let data = piece.data.clone().unwrap_or_default();
        let mark = self.mark(&frame, &data);
        let mut release = data.clone();
        let mut draft = None;
        if !data.is_empty() {
            let inspected = inspect::json(&self.shared, data.clone()).await;
            let inspected = inspected.map_err(|error| withheld(&error.to_string()))?;
            let outcome = self.final_outcome(&inspected).filter(|_| !self.closed);
            if outcome.is_some() || !self.was_recorded(mark.as_ref()) {
                draft = Some(self.record_piece(route, &data, &inspected, outcome, batch));
            }
            self.remember_question(route, &inspected.reply);
            batch.size_bytes += inspected.size_bytes;
            release = inspected.release;
        } else if frame.has_id() && !self.was_recorded(mark.as_ref()) {
            draft = Some(self.draft(self.stream_message(Vec::new(), 0)));
        }
        if let Some(mut draft) = draft {
            if let Some(frame) = frame.recorded() {
                draft = draft.disclose(Slot::Frame, MediaType::Json, frame);
            }
            batch.drafts.push(draft);
            batch.marks.extend(mark);
        }
        let written = piece.written(&frame, &release);
        batch.releases.extend((!written.is_empty()).then_some(written));
        Ok(())
    }

    /// By what an event is known when the server sends it again; all that goes on of it is part of that.
    fn mark(&self, frame: &Frame, data: &Bytes) -> Option<[u8; 16]> {
        let session = self.session.as_ref().filter(|_| frame.has_id())?;
        Some(self.shared.sessions.mark(session, &frame.recorded()?, data))
    }

    /// Does the server send, as it was asked to, again what is recorded? Only then it is not recorded once more.
    fn was_recorded(&self, mark: Option<&[u8; 16]>) -> bool {
        self.method == Method::GET
            && self.headers.contains_key(LAST_EVENT_ID)
            && mark.is_some_and(|mark| self.shared.sessions.was_seen(mark))
    }

    /// The event of a message; with an outcome that of the response, which closes the exchange.
    fn record_piece(
        &mut self,
        route: &Route,
        data: &Bytes,
        inspected: &Inspected,
        outcome: Option<Outcome>,
        batch: &mut Batch,
    ) -> Draft {
        if let Some(outcome) = outcome {
            batch.observation = self.observation(route, data, inspected);
            batch.drafts.extend(self.observing(batch.observation.as_ref()));
            batch.closes = true;
            self.closed = true;
            return self.response(outcome, inspected);
        }
        let message = self.stream_message(inspected.masks.clone(), inspected.size_bytes);
        self.draft(message).disclose(Slot::Message, inspected.media_type, inspected.record.clone())
    }

    fn stream_message(&self, masks: Vec<v1::MaskCount>, size_bytes: usize) -> Kind {
        Kind::StreamMessage(v1::StreamMessage {
            call: Some(self.call.clone()),
            direction: Direction::ServerToClient.into(),
            masks,
            request_event_id: self.request_event(),
            size_class: size_class(size_bytes),
        })
    }

    /// The outcome, when this is the response to the request of the exchange.
    fn final_outcome(&self, inspected: &Inspected) -> Option<Outcome> {
        match &inspected.reply {
            Reply::Final { id: Some(id), outcome, .. } if self.request_id() == Some(id) => {
                Some(*outcome)
            }
            _ => None,
        }
    }

    /// A request of the server is remembered, so that the client's answer can be judged as one to it.
    fn remember_question(&self, route: &Route, reply: &Reply) {
        let (Reply::Call(Some((id, method))), Some(principal)) = (reply, &self.principal) else {
            return;
        };
        if proto::names::is_known_method(method) {
            let sessions = &self.shared.sessions;
            let owner = sessions.owner(principal, &route.name);
            let scope = sessions.scope(self.session.as_ref(), &route.name, owner);
            sessions.asked(scope, id, method.clone());
        }
    }

    /// Makes a batch durable, then releases it.
    async fn flush(
        &mut self,
        batch: Batch,
        watch: &mut Watch,
        caller: &mut Caller,
    ) -> Result<(), Ending> {
        if !batch.drafts.is_empty() {
            let recorded = self.shared.log.record(batch.drafts, self.place.clone()).await;
            recorded.map_err(|unrecorded| self.unflushed(&unrecorded, batch.closes))?;
        }
        batch.marks.into_iter().for_each(|mark| self.shared.sessions.remember(mark));
        batch.observation.into_iter().for_each(|seen| self.shared.inventory.adopt(seen));
        for release in batch.releases {
            watch.deliver(release, caller).await?;
        }
        Ok(())
    }

    /// A batch that is not durable is withheld, and so is all that would follow it.
    fn unflushed(&mut self, unrecorded: &Unrecorded, closes: bool) -> Ending {
        if closes {
            return self.unclosed(unrecorded);
        }
        Ending::Ambiguous(format!("a message of the stream could not be recorded: {unrecorded}"))
    }
}

fn upstream_reason(error: reqwest::Error) -> String {
    crate::upstream::reason(&error.without_url())
}
