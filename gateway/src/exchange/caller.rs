//! The caller's end of an exchange: an answer at once, or a stream; and whether anybody still listens.

use std::convert::Infallible;

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

    /// Tells an error: as the answer, or as the last event of a stream.
    pub(super) async fn fail(&mut self, told: &Told, id: Option<&RequestId>) {
        match &self.0 {
            State::Waiting(_) => self.answer(told.response(id)),
            State::Streaming(_) => {
                if id.is_some() {
                    let event = [b"event: message\ndata: ", &told.body(id)[..], b"\n\n"].concat();
                    self.send(event.into()).await;
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
