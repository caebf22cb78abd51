//! Getting events into the ledger, within a bound of time.
//!
//! Two kinds of event: what is *about to happen* waits for the ledger and, when that fails, does not happen
//! ([`Log::record_request`], [`Log::record_refusal`]). What *has happened* ([`Log::record`]) is kept and tried
//! until it is durable, whether or not somebody still waits for it.

use std::future::Future;
use std::time::Duration;

use recorder::{Draft, RecordError, Recorder};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

/// How long an event that was handed to the recorder is kept for a ledger that is away. What it holds counts
/// against the exchanges that may be open.
pub(crate) const PERSISTENCE: Duration = Duration::from_secs(3600);
/// Pause between two looks at a recorder that is not ready.
const PAUSE: Duration = Duration::from_millis(50);

/// The way to the ledger.
pub(crate) struct Log {
    recorder: Recorder,
    wait: Duration,
    tasks: TaskTracker,
}

/// An event is not durable, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unrecorded {
    /// The recorder was not ready within the wait: nothing was handed to it.
    #[error(transparent)]
    NotReady(RecordError),
    /// The recorder does not take it.
    #[error(transparent)]
    Refused(RecordError),
    /// The wait is over; the event may still become durable.
    #[error("the ledger did not acknowledge the record within {} ms", .wait.as_millis())]
    Late {
        /// The bound.
        wait: Duration,
    },
    /// The task of the attempt failed.
    #[error("recording failed inside the gateway")]
    Broken,
}

impl Unrecorded {
    /// It will never be recorded, because it is larger than an event and its disclosures may be.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Unrecorded::Refused(RecordError::TooLarge { .. }))
    }

    /// It may become durable yet.
    pub(crate) fn may_come(&self) -> bool {
        match self {
            Unrecorded::NotReady(_) => false,
            Unrecorded::Refused(error) => error.may_come(),
            Unrecorded::Late { .. } | Unrecorded::Broken => true,
        }
    }
}

impl Log {
    pub(crate) fn new(recorder: Recorder, wait: Duration, tasks: TaskTracker) -> Log {
        Log { recorder, wait, tasks }
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Records a request that is to be forwarded once it is durable. Should it become durable only after this
    /// gave up, `denial` follows it in the chain. `hold` is kept until the fate of both is known.
    ///
    /// # Errors
    /// [`Unrecorded`]: it must not be forwarded.
    pub(crate) async fn record_request(
        &self,
        drafts: Vec<Draft>,
        denial: Option<Draft>,
        hold: impl Clone + Send + 'static,
    ) -> Result<(), Unrecorded> {
        let deadline = Instant::now() + self.wait;
        self.ready(deadline).await?;
        let recorder = self.recorder.clone();
        let attempt = async move { recorder.record_all(drafts).await.map(drop) };
        let outcome = self.outcome(&mut self.start(attempt, hold.clone()), deadline).await;
        if let (Err(Unrecorded::Late { .. }), Some(denial)) = (&outcome, denial) {
            let attempt = persist(self.recorder.clone(), vec![denial]);
            self.start(attempt, hold);
        }
        outcome
    }

    /// Records that something was refused.
    ///
    /// # Errors
    /// [`Unrecorded`]: then it is not recorded, and the caller is told so.
    pub(crate) async fn record_refusal(&self, draft: Draft) -> Result<(), Unrecorded> {
        let deadline = Instant::now() + self.wait;
        self.ready(deadline).await?;
        let recorder = self.recorder.clone();
        let mut attempt = self.start(async move { recorder.record(draft).await.map(drop) }, ());
        let outcome = self.outcome(&mut attempt, deadline).await;
        // Whether or not it was sent already, nothing else depends on it.
        attempt.abort();
        outcome
    }

    /// Records what has happened: consecutive events in one commit. `Ok` means durable. After [`Unrecorded::Late`]
    /// it goes on trying, apart from the caller, and keeps `hold` meanwhile.
    ///
    /// # Errors
    /// [`Unrecorded`]: what depends on the record must not happen.
    pub(crate) async fn record(
        &self,
        drafts: Vec<Draft>,
        hold: impl Send + 'static,
    ) -> Result<(), Unrecorded> {
        let deadline = Instant::now() + self.wait;
        let mut attempt = self.start(persist(self.recorder.clone(), drafts), hold);
        self.outcome(&mut attempt, deadline).await
    }

    /// Records counts of what has happened. A ledger that is away leaves them to the caller; what was sent is tried
    /// until it is durable.
    ///
    /// # Errors
    /// [`Unrecorded`].
    pub(crate) async fn record_counts(&self, drafts: Vec<Draft>) -> Result<(), Unrecorded> {
        self.ready(Instant::now() + self.wait).await?;
        self.record(drafts, ()).await
    }

    /// Waits until the recorder would take an event. So a ledger that is away leaves nothing behind in queues.
    async fn ready(&self, deadline: Instant) -> Result<(), Unrecorded> {
        loop {
            match self.recorder.readiness() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retryable() && Instant::now() + PAUSE < deadline => {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(Unrecorded::NotReady(error)),
            }
        }
    }

    /// Runs an attempt on a task of its own: one that was begun is never dropped half way.
    fn start<H: Send + 'static>(
        &self,
        attempt: impl Future<Output = Result<(), RecordError>> + Send + 'static,
        hold: H,
    ) -> JoinHandle<Result<(), RecordError>> {
        self.tasks.spawn(async move {
            let outcome = attempt.await;
            drop(hold);
            outcome
        })
    }

    async fn outcome(
        &self,
        attempt: &mut JoinHandle<Result<(), RecordError>>,
        deadline: Instant,
    ) -> Result<(), Unrecorded> {
        match timeout_at(deadline, attempt).await {
            Ok(Ok(outcome)) => outcome.map_err(Unrecorded::Refused),
            Ok(Err(_)) => Err(Unrecorded::Broken),
            Err(_) => Err(Unrecorded::Late { wait: self.wait }),
        }
    }
}

/// Records what has happened. Tries again only after errors that leave no doubt that it is not in the log;
/// what was sent, the recorder itself keeps until it is durable.
async fn persist(recorder: Recorder, drafts: Vec<Draft>) -> Result<(), RecordError> {
    let deadline = Instant::now() + PERSISTENCE;
    loop {
        let Err(error) = recorder.record_all(drafts.clone()).await else { return Ok(()) };
        let not_in_the_log =
            matches!(error, RecordError::Overloaded | RecordError::Unverified { .. });
        if not_in_the_log && Instant::now() < deadline {
            sleep(PAUSE).await;
            continue;
        }
        metrics::counter!("exhibit_gateway_unrecorded_total").increment(1);
        tracing::error!(code = error.code(), %error, "what has happened could not be recorded");
        return Err(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_handed_over_may_come() {
        let away = || RecordError::Unavailable { reason: "away".to_owned() };
        assert!(!Unrecorded::NotReady(away()).may_come());
        assert!(Unrecorded::Refused(away()).may_come());
        assert!(!Unrecorded::Refused(RecordError::Overloaded).may_come());
    }
}
