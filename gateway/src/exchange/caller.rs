//! The caller's end of an exchange: an answer at once, or a stream; and whether anybody still listens.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::error::Told;
use crate::message::RequestId;

/// Pieces of a stream that wait for a slow caller; then the server waits too.
const WAITING_PIECES: usize = 16;

/// Where the answer goes.
pub(super) struct Caller(State);

enum State {
    Waiting(oneshot::Sender<Response<Body>>),
    Streaming(mpsc::Sender<Bytes>),
    Done,
}

impl Caller {
    pub(super) fn new(answer: oneshot::Sender<Response<Body>>) -> Caller {
        Caller(State::Waiting(answer))
    }

    /// Answers, whole. Without effect when an answer has begun, or nobody waits for it.
    pub(super) fn answer(&mut self, response: Response<Body>) {
        if let State::Waiting(answer) = std::mem::replace(&mut self.0, State::Done) {
            // A caller that went away gets no answer; what it would have been is recorded.
            drop(answer.send(response));
        }
    }

    /// Begins a stream: its head goes out at once.
    pub(super) fn begin(&mut self, status: StatusCode, headers: HeaderMap) {
        let (pieces, received) = mpsc::channel(WAITING_PIECES);
        let frames =
            ReceiverStream::new(received).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let mut response = Response::new(Body::new(StreamBody::new(frames)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        self.answer(response);
        self.0 = State::Streaming(pieces);
    }

    /// Sends the next piece of a stream, waiting for a slow caller. Nothing happens when it is gone.
    pub(super) async fn send(&mut self, piece: Bytes) {
        if let State::Streaming(pieces) = &self.0
            && pieces.send(piece).await.is_err()
        {
            tracing::trace!("a piece of a stream found nobody");
        }
    }

    /// Tells an error: as the answer, or as the last event of a stream, for which a caller that does not read it is
    /// given so long.
    pub(super) async fn fail(&mut self, told: &Told, id: Option<&RequestId>, wait: Duration) {
        match &self.0 {
            State::Waiting(_) => self.answer(told.response(id)),
            State::Streaming(_) => {
                if id.is_some() {
                    let event = [b"event: message\ndata: ", &told.body(id)[..], b"\n\n"].concat();
                    if tokio::time::timeout(wait, self.send(event.into())).await.is_err() {
                        tracing::debug!(
                            "a caller that does not read was not told how its stream ends"
                        );
                    }
                }
                self.0 = State::Done;
            }
            State::Done => {}
        }
    }

    /// Ends the stream, for a caller that does not read it.
    pub(super) fn abandon(&mut self) {
        self.0 = State::Done;
    }

    /// Resolves when the caller has gone away; never after the answer was given whole.
    pub(super) async fn gone(&mut self) {
        match &mut self.0 {
            State::Waiting(answer) => answer.closed().await,
            State::Streaming(pieces) => pieces.closed().await,
            State::Done => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::json::Document;

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_read_holds_nothing_up() {
        let (answer, answered) = oneshot::channel();
        let mut caller = Caller::new(answer);
        caller.begin(StatusCode::OK, HeaderMap::new());
        let _unread = answered.await.unwrap();
        for _ in 0..WAITING_PIECES {
            caller.send(Bytes::from_static(b"x")).await;
        }
        let told = Told::new(StatusCode::OK, 1, "too late");
        let id = RequestId::of(Document::parse(b"1").unwrap().root());
        let failing = caller.fail(&told, id.as_ref(), Duration::from_secs(5));
        let bound = Duration::from_secs(6);
        assert!(tokio::time::timeout(bound, failing).await.is_ok(), "it still waits");
        assert!(matches!(caller.0, State::Done));
    }
}
