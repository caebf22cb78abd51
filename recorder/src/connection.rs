//! One Append stream: opened with a signed challenge, then frames both ways.

use std::time::Duration;

use proto::append::challenge_text;
use proto::ids::Id;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::{Answer, AppendRequest, AppendResponse, Open, Opened, Watch, Watched};
use tlog::SigningKey;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::error::StartError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A half-open connection is noticed after interval and timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
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
    /// The ledger will not have this recorder or this event, now or later.
    Refused { code: String, message: String },
}

/// Refusals that stand until somebody changes something. Whatever else ends a stream may be over at the next
/// attempt: a pause in the handshake, another stream of this epoch that is about to end, a ledger that restarts.
const REFUSALS: [&str; 17] = [
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
        let code = status.metadata().get("exhibit-code").and_then(|code| code.to_str().ok());
        match code.filter(|code| !passes && REFUSALS.contains(code)) {
            Some(code) => Broken::Refused { code: code.to_owned(), message },
            None => Broken::Retry(message),
        }
    }
}

/// An open stream.
pub(crate) struct Connection {
    frames: mpsc::Sender<AppendRequest>,
    answers: Streaming<AppendResponse>,
}

/// Where the ledger is; connects anew for each stream.
pub(crate) fn endpoint(url: &str) -> Result<Endpoint, StartError> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| StartError::Url { url: url.to_owned(), reason: error.to_string() })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// Connects and opens the stream of `epoch`.
///
/// # Errors
/// [`Broken`].
pub(crate) async fn open(
    endpoint: &Endpoint,
    origin: &str,
    key: &SigningKey,
    epoch: Id,
) -> Result<(Connection, Opened), Broken> {
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(endpoint, origin, key, epoch))
        .await
        .unwrap_or_else(|_| Err(Broken::Retry("it did not answer in time".to_owned())))
}

async fn handshake(
    endpoint: &Endpoint,
    origin: &str,
    key: &SigningKey,
    epoch: Id,
) -> Result<(Connection, Opened), Broken> {
    let channel: Channel =
        endpoint.connect().await.map_err(|error| Broken::Retry(root_cause(&error)))?;
    let (frames, outgoing) = mpsc::channel(MAX_WAITING_FRAMES);
    let mut client = LedgerClient::new(channel)
        .max_decoding_message_size(MAX_GRPC_BYTES)
        .max_encoding_message_size(MAX_GRPC_BYTES);
    let open = Open { recorder_id: key.name().to_owned(), epoch: epoch.to_bytes() };
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
    let text = challenge_text(origin, key.name(), epoch, &challenge.nonce);
    let signature = key.sign_bytes(text.as_bytes()).to_vec().into();
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

/// The innermost cause, which tells "connection refused" where the outer one says "transport error".
fn root_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.last().unwrap_or(error).to_string()
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
        ] {
            assert!(is_final(last.0, last.1), "{last:?}");
        }
    }
}
