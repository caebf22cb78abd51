//! One Append stream: opened with a signed challenge, then frames both ways.

use std::sync::Arc;
use std::time::Duration;

use proto::append::challenge_text;
use proto::ids::Id;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::{Answer, AppendRequest, AppendResponse, Open, Opened, Watch, Watched};
use tlog::Signer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::address::{LedgerAddress, root_cause};
use crate::signing;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause that the ledger may ask for.
const MAX_PUSHBACK: Duration = Duration::from_secs(30);
/// Frames that may wait to be written: more than events may be in flight, so that sending never waits for an
/// answer that nobody reads meanwhile.
const MAX_WAITING_FRAMES: usize = 8_192;
/// The ledger's own bound.
const MAX_GRPC_BYTES: usize = 40 << 20;

/// Why a stream could not be opened, or ended.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Try again: the ledger is away, or says so.
    Retry(String),
    /// Try again, and not before this much time is over: the ledger has more than it can take.
    Later { reason: String, pause: Duration },
    /// The ledger will not have this recorder or this event, now or later.
    Refused { code: String, message: String },
}

/// Refusals that stand until somebody changes something. Whatever else ends a stream may be over at the next
/// attempt: a pause in the handshake, another stream of this epoch that is about to end, a ledger that restarts.
const REFUSALS: [&str; 19] = [
    "recorder_unknown",
    "recorder_suspended",
    "recorder_key",
    "recorder_fork",
    "ledger_lost_events",
    "protocol",
    "event_too_large",
    "event_undecodable",
    "event_not_canonical",
    "event_malformed",
    "event_of_another_recorder",
    "event_of_another_epoch",
    "event_below_head",
    "event_kind",
    "exchange_begun",
    "disclosure_missing",
    "disclosure_surplus",
    "disclosure_mismatch",
    "seal_invalid",
];

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        let passes = matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::Aborted
                | Code::Cancelled
                | Code::ResourceExhausted
                | Code::Unknown
        );
        let metadata = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
        if let Some(code) =
            metadata("exhibit-code").filter(|code| !passes && REFUSALS.contains(code))
        {
            return Broken::Refused { code: code.to_owned(), message };
        }
        let pause = metadata("grpc-retry-pushback-ms").and_then(|pause| pause.parse().ok());
        match pause.map(Duration::from_millis) {
            Some(pause) => Broken::Later { reason: message, pause: pause.min(MAX_PUSHBACK) },
            // Of a connection that broke, the cause stands below the status.
            None if std::error::Error::source(&status).is_some() => {
                Broken::Retry(root_cause(&status))
            }
            None => Broken::Retry(message),
        }
    }
}

/// An open stream.
pub(crate) struct Connection {
    frames: mpsc::Sender<AppendRequest>,
    answers: Streaming<AppendResponse>,
}

/// Connects and opens the stream of `epoch`.
///
/// # Errors
/// [`Broken`].
pub(crate) async fn open(
    ledger: &LedgerAddress,
    origin: &str,
    key: &Arc<dyn Signer>,
    epoch: Id,
) -> Result<(Connection, Opened), Broken> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(ledger, origin, key, epoch))
        .await
        .unwrap_or_else(|_| Err(Broken::Retry("it did not answer in time".to_owned())))
}

async fn handshake(
    ledger: &LedgerAddress,
    origin: &str,
    key: &Arc<dyn Signer>,
    epoch: Id,
) -> Result<(Connection, Opened), Broken> {
    let endpoint = ledger.endpoint().map_err(Broken::Retry)?;
    let channel: Channel =
        endpoint.connect().await.map_err(|error| Broken::Retry(root_cause(&error)))?;
    let (frames, outgoing) = mpsc::channel(MAX_WAITING_FRAMES);
    let mut client = LedgerClient::new(channel)
        .max_decoding_message_size(MAX_GRPC_BYTES)
        .max_encoding_message_size(MAX_GRPC_BYTES);
    let recorder_id = key.verifying_key().name().to_owned();
    let open = Open { recorder_id: recorder_id.clone(), epoch: epoch.to_bytes() };
    let mut connection = {
        // The first frame must be there before the call, or both sides would wait for each other.
        send(&frames, Request::Open(open)).await?;
        let answers = client.append(ReceiverStream::new(outgoing)).await?.into_inner();
        Connection { frames, answers }
    };
    let Response::Challenge(challenge) = connection.next().await? else {
        return Err(unexpected("no challenge"));
    };
    if challenge.origin != origin {
        let message = format!("the ledger there keeps log {:?}, not {origin:?}", challenge.origin);
        return Err(Broken::Refused { code: "origin_differs".to_owned(), message });
    }
    let text = challenge_text(origin, &recorder_id, epoch, &challenge.nonce);
    let signature = signing::sign(key, text).await;
    let signature = signature.map_err(|error| Broken::Retry(error.to_string()))?.to_vec().into();
    connection.send(Request::Answer(Answer { signature })).await?;
    let Response::Opened(opened) = connection.next().await? else {
        return Err(unexpected("no head"));
    };
    Ok((connection, opened))
}

impl Connection {
    /// Queues a frame.
    pub(crate) async fn send(&self, frame: Request) -> Result<(), Broken> {
        send(&self.frames, frame).await
    }

    /// Asks for a proof while nothing else is on its way.
    pub(crate) async fn ask(&mut self, watch: Watch) -> Result<Watched, Broken> {
        self.send(Request::Watch(watch)).await?;
        let answer = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.next()).await;
        match answer
            .unwrap_or_else(|_| Err(Broken::Retry("it did not prove in time".to_owned())))?
        {
            Response::Watched(watched) => Ok(watched),
            _ => Err(unexpected("no proof")),
        }
    }

    /// The ledger's next answer.
    pub(crate) async fn next(&mut self) -> Result<Response, Broken> {
        match self.answers.message().await? {
            Some(AppendResponse { frame: Some(frame) }) => Ok(frame),
            Some(AppendResponse { frame: None }) => Err(unexpected("an empty frame")),
            None => Err(Broken::Retry("it closed the stream".to_owned())),
        }
    }
}

async fn send(frames: &mpsc::Sender<AppendRequest>, frame: Request) -> Result<(), Broken> {
    frames
        .send(AppendRequest { frame: Some(frame) })
        .await
        .map_err(|_| Broken::Retry("the stream has ended".to_owned()))
}

fn unexpected(what: &str) -> Broken {
    Broken::Refused { code: "protocol".to_owned(), message: format!("the ledger sent {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::{MetadataMap, MetadataValue};

    fn is_final(code: Code, exhibit_code: Option<&'static str>) -> bool {
        let mut metadata = MetadataMap::new();
        if let Some(exhibit_code) = exhibit_code {
            metadata.insert("exhibit-code", MetadataValue::from_static(exhibit_code));
        }
        let status = Status::with_metadata(code, "why", metadata);
        matches!(Broken::from(status), Broken::Refused { .. })
    }

    #[test]
    fn only_what_somebody_must_change_is_final() {
        for passing in [
            (Code::DeadlineExceeded, Some("handshake_timeout")),
            (Code::DeadlineExceeded, Some("protocol")),
            (Code::Internal, Some("randomness")),
            (Code::Unavailable, Some("ledger_stopped")),
            (Code::AlreadyExists, Some("recorder_already_open")),
            (Code::FailedPrecondition, Some("a_code_of_tomorrow")),
            (Code::PermissionDenied, None),
        ] {
            assert!(!is_final(passing.0, passing.1), "{passing:?}");
        }
        for last in [
            (Code::Unauthenticated, Some("recorder_unknown")),
            (Code::Unauthenticated, Some("recorder_key")),
            (Code::PermissionDenied, Some("recorder_suspended")),
            (Code::FailedPrecondition, Some("recorder_fork")),
            (Code::FailedPrecondition, Some("ledger_lost_events")),
            (Code::InvalidArgument, Some("event_malformed")),
            (Code::InvalidArgument, Some("exchange_begun")),
            (Code::PermissionDenied, Some("event_kind")),
        ] {
            assert!(is_final(last.0, last.1), "{last:?}");
        }
    }

    #[test]
    fn a_pause_that_the_ledger_asks_for_is_taken_within_bounds() {
        let asked = |pause: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("exhibit-code", MetadataValue::from_static("recorder_too_fast"));
            metadata.insert("grpc-retry-pushback-ms", MetadataValue::from_static(pause));
            Broken::from(Status::with_metadata(Code::ResourceExhausted, "slower", metadata))
        };
        let pause = |broken| match broken {
            Broken::Later { pause, .. } => Some(pause),
            _ => None,
        };
        assert_eq!(pause(asked("250")), Some(Duration::from_millis(250)));
        assert_eq!(pause(asked("999999999")), Some(MAX_PUSHBACK));
        for none in ["-1", "soon", ""] {
            assert_eq!(pause(asked(none)), None);
        }
    }
}
