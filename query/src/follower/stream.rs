//! The follower's task: reads from the ledger, hands over to the local copy, and comes back after a lost
//! connection. It ends at the first contradiction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::MachineKey;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::{SubscribeRequest, SubscribeResponse};
use recorder::{LedgerAddress, root_cause};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::copy::{CopyError, LocalCopy};
use super::view::View;

/// Silence and lag up to here are no reason to send callers elsewhere.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// A message holds whole entries with their disclosures, each up to 16 MiB.
const MAX_MESSAGE_BYTES: usize = 4 * proto::MAX_MESSAGE_BYTES;

/// Where the log is read.
pub(crate) struct Source {
    pub(crate) ledger: LedgerAddress,
    pub(crate) audience: String,
    pub(crate) key: MachineKey,
}

/// A running follower; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Following {
    view: watch::Receiver<Option<Arc<View>>>,
    status: watch::Receiver<Status>,
}

#[derive(Debug, Clone)]
struct Status {
    /// Since when there is no connection.
    away_since: Option<Instant>,
    /// Since when there are leaves that no checkpoint covers.
    waiting_since: Option<Instant>,
    last_failure: Option<String>,
    /// Following has ended for good.
    stopped: Option<String>,
}

impl Following {
    /// A follower that will not run, because of what was found before.
    pub(crate) fn stopped(reason: String) -> Self {
        metrics::gauge!("exhibit_query_stopped").set(1.0);
        let mut status = Status::new();
        status.stopped = Some(reason);
        Self { view: watch::channel(None).1, status: watch::channel(status).1 }
    }

    /// A follower that is told what to show, connected for as long as it lives.
    #[cfg(test)]
    pub(crate) fn given(view: Option<Arc<View>>) -> (watch::Sender<Option<Arc<View>>>, Self) {
        let (sender, view) = watch::channel(view);
        let mut status = Status::new();
        status.away_since = None;
        (sender, Self { view, status: watch::channel(status).1 })
    }

    /// Starts to follow; ends when `cancel` is.
    pub(crate) fn start(
        source: Source,
        copy: LocalCopy,
        cancel: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (view, view_receiver) = watch::channel(copy.view());
        let (status, status_receiver) = watch::channel(Status::new());
        let follower = Follower { source, view, status };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = follower.run(copy) => {}
            }
        });
        (Self { view: view_receiver, status: status_receiver }, task)
    }

    /// Everything that is verified, or why there is nothing to show.
    pub(crate) fn view(&self) -> Result<Arc<View>, String> {
        if let Some(reason) = &self.status.borrow().stopped {
            return Err(reason.clone());
        }
        let view = self.view.borrow().clone();
        view.ok_or_else(|| {
            let failure = self.status.borrow().last_failure.clone();
            let why = failure.map(|failure| format!(" ({failure})")).unwrap_or_default();
            format!("the log has not yet been read up to a verified checkpoint{why}")
        })
    }

    /// Returns when a newer view is there; at once when it was missed. Never when there will be none.
    pub(crate) async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Why callers should ask another node.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        self.view()?;
        let status = self.status.borrow();
        let too_long =
            |since: Option<Instant>| since.is_some_and(|since| since.elapsed() > PATIENCE);
        if too_long(status.away_since) {
            let failure = status.last_failure.as_deref().unwrap_or("no answer");
            return Err(format!("the ledger cannot be reached: {failure}"));
        }
        if too_long(status.waiting_since) {
            return Err("entries arrive, but no checkpoint covers them".to_owned());
        }
        Ok(())
    }
}

impl Status {
    fn new() -> Self {
        let away_since = Some(Instant::now());
        Self { away_since, waiting_since: None, last_failure: None, stopped: None }
    }
}

struct Follower {
    source: Source,
    view: watch::Sender<Option<Arc<View>>>,
    status: watch::Sender<Status>,
}

/// Why one connection ended.
enum Ended {
    /// As every stream does that outlives its token: open another.
    Expired,
    /// Try again.
    Lost(String),
    /// Do not.
    Stopped(String),
}

impl Follower {
    async fn run(self, copy: LocalCopy) {
        let mut copy = Some(copy);
        let mut backoff = FIRST_BACKOFF;
        while let Some(current) = copy.take() {
            let before = current.next_index();
            let (returned, ended) = self.read(current).await;
            match ended {
                Ended::Lost(failure) => {
                    tracing::warn!(failure, "the connection to the ledger was lost");
                    self.status.send_modify(|status| {
                        status.away_since.get_or_insert_with(Instant::now);
                        status.last_failure = Some(failure);
                    });
                }
                Ended::Expired => {
                    tracing::debug!("the token of the stream expired; a new one is opened");
                    backoff = FIRST_BACKOFF;
                }
                Ended::Stopped(reason) => {
                    tracing::error!(reason, "FOLLOWING STOPPED: the log is not served any more");
                    metrics::gauge!("exhibit_query_stopped").set(1.0);
                    self.status.send_modify(|status| status.stopped = Some(reason));
                    return;
                }
            }
            if returned.as_ref().is_some_and(|copy| copy.next_index() > before) {
                backoff = FIRST_BACKOFF;
            }
            copy = returned;
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LAST_BACKOFF);
        }
    }

    async fn read(&self, copy: LocalCopy) -> (Option<LocalCopy>, Ended) {
        let mut messages = match self.subscribe(copy.next_index()).await {
            Ok(messages) => messages,
            Err(Refused::Beyond(message)) => {
                let error = copy.beyond(&message);
                return (None, Ended::Stopped(stopped(&error)));
            }
            Err(Refused::Failed(failure)) => return (Some(copy), Ended::Lost(failure)),
        };
        self.status.send_modify(|status| {
            status.away_since = None;
            status.last_failure = None;
        });
        let mut copy = copy;
        loop {
            let message = match messages.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return (Some(copy), Ended::Lost("the ledger ended the stream".into())),
                Err(status) if has_expired(&status) => return (Some(copy), Ended::Expired),
                Err(status) => return (Some(copy), Ended::Lost(failure(&status))),
            };
            let taken = tokio::task::spawn_blocking(move || {
                let taken = copy.take(message);
                (copy, taken)
            });
            let Ok((returned, taken)) = taken.await else {
                return (None, Ended::Stopped("the follower was aborted".to_owned()));
            };
            copy = returned;
            match taken {
                Ok(view) => self.publish(view, copy.is_waiting()),
                Err(error) => return (None, Ended::Stopped(stopped(&error))),
            }
        }
    }

    fn publish(&self, view: Option<Arc<View>>, is_waiting: bool) {
        if let Some(view) = view {
            metrics::gauge!("exhibit_query_tree_size").set(view.size() as f64);
            self.view.send_replace(Some(view));
        }
        self.status.send_if_modified(|status| {
            let was_waiting = status.waiting_since.is_some();
            status.waiting_since =
                is_waiting.then(|| status.waiting_since.unwrap_or_else(Instant::now));
            was_waiting != is_waiting
        });
    }

    async fn subscribe(
        &self,
        from_index: u64,
    ) -> Result<tonic::Streaming<SubscribeResponse>, Refused> {
        let ledger = self.source.ledger.endpoint().map_err(Refused::Failed)?;
        let channel = ledger.connect().await;
        let channel = channel.map_err(|error| Refused::Failed(root_cause(&error)))?;
        let token = self.source.key.token(&self.source.audience);
        let token = token.map_err(|error| Refused::Failed(error.to_string()))?;
        let mut request = tonic::Request::new(SubscribeRequest { from_index });
        let bearer = format!("Bearer {token}").parse();
        let bearer =
            bearer.map_err(|_| Refused::Failed("the token does not fit a header".to_owned()))?;
        request.metadata_mut().insert("authorization", bearer);
        let mut client = LedgerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        match client.subscribe(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) if status.code() == tonic::Code::OutOfRange => {
                Err(Refused::Beyond(status.message().to_owned()))
            }
            Err(status) => Err(Refused::Failed(failure(&status))),
        }
    }
}

/// Why there is no stream.
enum Refused {
    /// The ledger has fewer leaves than we read.
    Beyond(String),
    Failed(String),
}

fn stopped(error: &CopyError) -> String {
    match error {
        CopyError::Contradiction(found) => contradicted(&found.to_string()),
        CopyError::Rows(error) => format!("the local copy failed: {error}"),
    }
}

/// How a contradiction reads at the doors.
pub(crate) fn contradicted(reason: &str) -> String {
    format!(
        "the log contradicts itself: {reason}. What is known of it is kept in contradiction.json"
    )
}

fn has_expired(status: &tonic::Status) -> bool {
    status.metadata().get("exhibit-code").is_some_and(|code| code == "token_expired")
}

/// Of a connection that broke, the cause stands below the status.
fn failure(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(_) => root_cause(status),
        None => format!("{:?}: {}", status.code(), status.message()),
    }
}
