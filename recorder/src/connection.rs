//! One Append stream: opened with a signed challenge, then frames both ways.

use std::time::Duration;

use proto::append::challenge_text;
use proto::ids::Id;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::{Answer, AppendRequest, AppendResponse, Open, Opened};
use tlog::SigningKey;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

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

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        let code = status.metadata().get("exhibit-code").and_then(|code| code.to_str().ok());
        match code {
            // Another stream of this epoch that is about to end, a key that is about to be registered, a
            // ledger that is about to restart.
            None
            | Some(
                "recorder_already_open"
                | "recorder_unknown"
                | "ledger_stopped"
                | "not_published"
                | "watches"
                | "store_failed",
            ) => Broken::Retry(status.message().to_owned()),
            Some(code) => {
                Broken::Refused { code: code.to_owned(), message: status.message().to_owned() }
            }
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
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
