//! A response that is a stream: each message is masked and recorded before it goes on. What else an event has is
//! written anew and passes at once.

use bytes::Bytes;
use proto::disclosure::size_class;
use proto::kind::Kind;
use proto::v1;
use proto::v1::{Direction, Outcome, Slot};
use recorder::Draft;

use super::Exchange;
use super::caller::Caller;
use super::closing::Ending;
use super::inspect::{self, Inspected};
use super::response::{Head, lost, withheld};
use super::watch::Watch;
use crate::http::returned;
use crate::inventory::Observation;
use crate::message::Reply;
use crate::record::Unrecorded;
use crate::route::Route;
use crate::sse::{Piece, Splitter, TooLarge};

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
        let opening = self.opened_session(route, &head);
        if opening.is_some() {
            let drafts = self.opening(opening.as_ref());
            let recorded = self.shared.log.record(drafts, self.permit.clone()).await;
            self.settle(opening, recorded.as_ref().err());
            recorded.map_err(|unrecorded| {
                Ending::Ambiguous(format!("the session could not be recorded: {unrecorded}"))
            })?;
        }
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
            if incoming.ended {
                return self.stream_ended();
            }
        }
    }

    /// What the clean end of a stream means.
    fn stream_ended(&self) -> Result<(), Ending> {
        if self.closed {
            return Ok(());
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
        let Some(data) = piece.data.clone() else {
            batch.releases.push(piece.written(b"", |text| self.is_clean(text)));
            return Ok(());
        };
        let mark = self.session.as_ref().zip(piece.id.as_ref());
        let mark = mark.map(|(session, id)| self.shared.sessions.mark(session, id, &data));
        let inspected = inspect::json(&self.shared, data.clone()).await;
        let inspected = inspected.map_err(|error| withheld(&error.to_string()))?;
        let replayed = mark.is_some_and(|mark| self.shared.sessions.was_seen(&mark));
        if !replayed {
            self.record_piece(route, &data, &inspected, batch);
            batch.marks.extend(mark);
        }
        self.remember_question(route, &inspected.reply);
        batch.size_bytes += inspected.size_bytes;
        batch.releases.push(piece.written(&inspected.release, |text| self.is_clean(text)));
        Ok(())
    }

    /// Do detectors find nothing in it?
    fn is_clean(&self, text: &str) -> bool {
        !self.shared.snapshot.mask_text(text).changed
    }

    fn record_piece(
        &mut self,
        route: &Route,
        data: &Bytes,
        inspected: &Inspected,
        batch: &mut Batch,
    ) {
        let outcome = self.final_outcome(inspected).filter(|_| !self.closed);
        if let Some(outcome) = outcome {
            batch.observation = self.observation(route, data, inspected);
            batch.drafts.extend(self.observing(batch.observation.as_ref()));
            batch.drafts.push(self.response(outcome, inspected));
            batch.closes = true;
            self.closed = true;
            return;
        }
        let kind = Kind::StreamMessage(v1::StreamMessage {
            call: Some(self.call.clone()),
            direction: Direction::ServerToClient.into(),
            masks: inspected.masks.clone(),
            request_event_id: self.request_event(),
            size_class: size_class(inspected.size_bytes),
        });
        let record = inspected.record.clone();
        batch.drafts.push(self.draft(kind).disclose(Slot::Message, inspected.media_type, record));
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
            let owner = sessions.owner(principal);
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
            let recorded = self.shared.log.record(batch.drafts, self.permit.clone()).await;
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
