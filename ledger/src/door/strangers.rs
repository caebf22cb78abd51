//! gRPC calls whose caller is not known yet: short messages, little time, and only so many at once.
//!
//! tonic makes room for a message when its length is announced, and reads all of it before a handler sees the call.
//! So the bound lies around the body, and falls when the handler says who calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{BoxError, Router};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};

use super::status;

/// How long a caller may take to show who it is.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest message of a stranger. An Open, an Answer and a SubscribeRequest have less than 200 bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// Calls of strangers that may be open at once.
const MAX_CALLS: usize = 1_024;

/// Lays the bounds around every call of `router`.
pub(super) fn bound(router: Router) -> Router {
    let places = Arc::new(Semaphore::new(MAX_CALLS));
    router.route_layer(middleware::from_fn_with_state(places, bounded))
}

/// A caller that is not known yet; [`known`](Stranger::known) lifts its bounds. It stands in the extensions of its
/// request. Clones are the same caller; the default is one that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stranger {
    /// Its place among the strangers, until it is known or gone.
    place: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Stranger {
    /// From now on its messages may be as long as others', and it takes no place.
    pub(super) fn known(&self) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn is_known(&self) -> bool {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// The time is that to the head of the answer: a Subscribe has its reader's role by then. The answer to an Append
/// begins at once, and its handshake keeps the time itself.
async fn bounded(
    State(places): State<Arc<Semaphore>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(place) = places.try_acquire_owned() else {
        let message = format!(
            "{MAX_CALLS} callers have not shown yet who they are, and no more are heard; try again shortly"
        );
        return status::status(Code::ResourceExhausted, "too_many_strangers", message).into_http();
    };
    let stranger = Stranger { place: Arc::new(Mutex::new(Some(place))) };
    request.extensions_mut().insert(stranger.clone());
    let request = request.map(|body| watched(body, stranger));
    tokio::time::timeout(TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        let message = format!(
            "the request was not there, or its caller not known, within {TIMEOUT:?}; call again"
        );
        status::status(Code::DeadlineExceeded, "stranger_timeout", message).into_http()
    })
}

/// The same body, which fails at the first long message of a stranger. Trailers, which no request of ours has, are
/// dropped.
fn watched(body: Body, stranger: Stranger) -> Body {
    let mut lengths = Lengths::default();
    let mut is_known = false;
    Body::from_stream(body.into_data_stream().map(move |data| -> Result<Bytes, BoxError> {
        let data = data?;
        is_known = is_known || stranger.is_known();
        if !is_known {
            let announced = lengths.longest(&data);
            if announced > MAX_MESSAGE_BYTES {
                return Err(too_long(announced).into());
            }
        }
        Ok(data)
    }))
}

fn too_long(announced: usize) -> Status {
    let message = format!(
        "a message of {announced} bytes was announced before its caller was known; until then at most \
         {MAX_MESSAGE_BYTES} are taken: prove the recorder's key first, and subscribe with nothing but an index"
    );
    status::status(Code::ResourceExhausted, "message_of_a_stranger", message)
}

/// The lengths of gRPC messages, read from the five bytes before each: a flag and the length, big-endian.
#[derive(Default)]
struct Lengths {
    /// The last four bytes of the prefix as far as it was read, and how many of its five that is.
    prefix: u32,
    read: u8,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Lengths {
    /// The longest message that is announced in `data`, which follows what was read before; 0 for none.
    fn longest(&mut self, mut data: &[u8]) -> usize {
        let mut longest = 0;
        while let Some((first, rest)) = data.split_first() {
            if self.left > 0 {
                let here = self.left.min(data.len());
                self.left -= here;
                data = &data[here..];
                continue;
            }
            data = rest;
            self.prefix = (self.prefix << 8) | u32::from(*first);
            self.read += 1;
            if self.read == 5 {
                self.left = self.prefix as usize;
                longest = longest.max(self.left);
                (self.prefix, self.read) = (0, 0);
            }
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use axum::routing::post;
    use tonic::codegen::Service;

    use super::*;

    #[test]
    fn lengths_are_read_wherever_the_bytes_are_cut() {
        let message = |length: u32| {
            let mut bytes = vec![0];
            bytes.extend(length.to_be_bytes());
            bytes.extend(vec![0xff; length as usize]);
            bytes
        };
        let stream = [message(3), message(0), message(70_000), message(2)].concat();
        for size in [1, 2, 3, 5, 7, 4_096, stream.len()] {
            let mut lengths = Lengths::default();
            let found: Vec<usize> =
                stream.chunks(size).map(|part| lengths.longest(part)).filter(|n| *n > 3).collect();
            assert_eq!(found, [70_000], "in parts of {size}");
        }
        // At the announcement, before a byte of it is there.
        assert_eq!(Lengths::default().longest(&message(70_000)[..5]), 70_000);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_turned_away_in_time() {
        let reads = |body: Body| async move { axum::body::to_bytes(body, 100).await.unwrap() };
        let mut router = bound(Router::new().route("/", post(reads)));
        let nothing = Body::from_stream(futures_util::stream::pending::<Result<Bytes, BoxError>>());
        let started = tokio::time::Instant::now();
        let silent = axum::http::Request::post("/").body(nothing).unwrap();
        let answer = router.call(silent).await.unwrap();
        assert_eq!(code(answer.headers()), (Code::DeadlineExceeded, "stranger_timeout".into()));
        assert!((TIMEOUT..TIMEOUT * 2).contains(&started.elapsed()));
    }

    #[tokio::test]
    async fn only_so_many_are_heard_at_once_and_the_known_do_not_count() {
        let (seen, mut strangers) = tokio::sync::mpsc::unbounded_channel();
        let waits = move |request: Request| {
            seen.send(request.extensions().get::<Stranger>().unwrap().clone()).unwrap();
            async move {
                let _kept = request;
                std::future::pending::<()>().await;
            }
        };
        let router = bound(Router::new().route("/", post(waits)));
        let call =
            || router.clone().call(axum::http::Request::post("/").body(Body::empty()).unwrap());
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..MAX_CALLS {
            calls.spawn(call());
        }
        let first = strangers.recv().await.unwrap();
        for _ in 1..MAX_CALLS {
            strangers.recv().await.unwrap();
        }
        let refused = call().await.unwrap();
        let (why, code) = code(refused.headers());
        assert_eq!((why, &*code), (Code::ResourceExhausted, "too_many_strangers"));
        // One is known, and there is room for one.
        first.known();
        calls.spawn(call());
        strangers.recv().await.unwrap();
        assert!(call().await.unwrap().headers().contains_key("grpc-status"));
        // Who goes away leaves room, too.
        calls.shutdown().await;
        let waiting = tokio::spawn(call());
        strangers.recv().await.unwrap();
        waiting.abort();
    }

    fn code(headers: &HeaderMap) -> (Code, String) {
        let status = Status::from_header_map(headers).unwrap();
        (status.code(), headers["exhibit-code"].to_str().unwrap().to_owned())
    }
}
