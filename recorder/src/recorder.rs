//! The handle by which everybody records.

use std::sync::Arc;

use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::{ClockState, RecorderStarted};
use tlog::LeafIndex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::chain::Chain;
use crate::config::{Limits, RecorderConfig};
use crate::draft::{Draft, random_id};
use crate::error::{RecordError, StartError};
use crate::health::{Health, HealthReceiver};
use crate::memory::Memory;
use crate::session::{Command, Session};
use crate::watch::Watcher;

/// Bytes that one permit of the budget stands for.
const BUDGET_UNIT: usize = 1_024;

/// Proof to the caller that an event is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id.
    pub event_id: Id,
    /// Its number in this recorder's epoch.
    pub sequence: u64,
    /// Where it stands; unknown when the stream broke after it became durable and before it was acknowledged.
    pub place: Option<Place>,
}

/// An event's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its leaf.
    pub leaf_index: LeafIndex,
    /// The ledger's time, Unix nanoseconds.
    pub recorded_at_ns: u64,
}

/// Records events. Cheap to clone; all clones share one chain.
#[derive(Clone)]
pub struct Recorder {
    commands: mpsc::Sender<Command>,
    budget: Arc<Semaphore>,
    health: HealthReceiver,
    limits: Limits,
    origin: Arc<str>,
    recorder_id: Arc<str>,
    epoch: Id,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder({} {})", self.recorder_id, self.epoch)
    }
}

impl Recorder {
    /// Opens a new epoch: connects, proves the key, sees that the log continues the checkpoint that was kept,
    /// records RecorderStarted.
    ///
    /// # Errors
    /// [`StartError`]; nothing goes on in the background then.
    pub async fn start(config: RecorderConfig) -> Result<Self, StartError> {
        let RecorderConfig { ledger, log, key, checkpoint_file, limits } = config;
        let verifying = key.verifying_key();
        if !proto::names::is_leaf_name(verifying.name()) {
            return Err(StartError::Name(verifying.name().to_owned()));
        }
        let memory = Memory::open(checkpoint_file, &log)?;
        let epoch = random_id();
        let origin: Arc<str> = log.name().into();
        let recorder_id: Arc<str> = verifying.name().into();
        let (commands, waiting) = mpsc::channel(limits.queued);
        let (health_tx, health) = watch::channel(Health::Connecting("not connected yet".into()));
        let chain = Chain::new(key, origin.to_string(), epoch);
        let watcher = Watcher::new(log, memory);
        let session =
            Session::new(ledger.clone(), watcher, chain, limits.clone(), waiting, health_tx);
        tokio::spawn(session.run());
        let units = (limits.budget_bytes / BUDGET_UNIT).min(Semaphore::MAX_PERMITS);
        let recorder = Self {
            commands,
            budget: Arc::new(Semaphore::new(units)),
            health,
            limits,
            origin,
            recorder_id,
            epoch,
        };
        let started = recorder.started().await;
        started.map_err(|source| StartError::Record { url: ledger.to_string(), source })?;
        Ok(recorder)
    }

    /// Records one event. `Ok` means that the ledger has made it durable.
    ///
    /// # Errors
    /// [`RecordError`]; the event may become durable all the same when [`RecordError::may_come`] says so.
    pub async fn record(&self, draft: Draft) -> Result<Receipt, RecordError> {
        let receipts = self.record_all(vec![draft]).await?;
        receipts.into_iter().next().ok_or(RecordError::Stopped)
    }

    /// Records events that stand side by side in the chain, and answers when all of them are durable.
    ///
    /// # Errors
    /// As [`Recorder::record`]; of invalid drafts none is recorded.
    pub async fn record_all(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, RecordError> {
        let deadline = Instant::now() + self.limits.record_timeout;
        self.submit(drafts, deadline).await
    }

    /// Why an event would not be recorded now, if so.
    ///
    /// # Errors
    /// What [`Recorder::record`] would answer.
    pub fn readiness(&self) -> Result<(), RecordError> {
        self.health.borrow().readiness()
    }

    /// Origin of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Name of the recorder's key, which stands in every event.
    pub fn recorder_id(&self) -> &str {
        &self.recorder_id
    }

    /// The epoch that [`Recorder::start`] opened.
    pub fn epoch(&self) -> Id {
        self.epoch
    }

    /// Ends the epoch: records RecorderStopped and a last seal after everything that waits, and returns when
    /// they are durable, or when the ledger has been away for too long.
    pub async fn stop(&self, drained: bool) {
        let (reply, done) = oneshot::channel();
        let deadline = Instant::now() + self.limits.record_timeout;
        let stop = async {
            self.commands.send(Command::Stop { drained, reply }).await.ok()?;
            done.await.ok()
        };
        if timeout_at(deadline, stop).await.ok().flatten().is_none() {
            tracing::warn!("the recorder stopped without recording its stop");
        }
    }

    async fn started(&self) -> Result<(), RecordError> {
        let (reply, opened) = oneshot::channel();
        let deadline = Instant::now() + self.limits.start_timeout;
        let unavailable = |_| self.health.borrow().error();
        self.commands.send(Command::Previous { reply }).await.map_err(|_| RecordError::Stopped)?;
        let mut health = self.health.clone();
        let previous = tokio::select! {
            previous = timeout_at(deadline, opened) => previous.map_err(unavailable)?,
            refused = health.wait_for(|health| health.turns_away().is_some()) => {
                return Err(refused.map_or(RecordError::Stopped, |health| health.error()));
            }
        };
        let previous = previous.map_err(|_| self.health.borrow().error())?.unwrap_or_default();
        let started = RecorderStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            previous_epoch: previous.epoch,
            previous_sequence: previous.sequence,
            previous_hash: previous.hash,
            clock: Some(ClockState::default()),
        };
        let draft = Draft::new(Kind::RecorderStarted(started));
        self.submit(vec![draft], deadline).await.map(|_receipts| ())
    }

    async fn submit(
        &self,
        drafts: Vec<Draft>,
        deadline: Instant,
    ) -> Result<Vec<Receipt>, RecordError> {
        if let Some(error) = self.health.borrow().turns_away() {
            return Err(error);
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: usize = drafts.iter().map(Draft::size_bytes).sum();
        let units = bytes.div_ceil(BUDGET_UNIT).min(self.limits.budget_bytes / BUDGET_UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let budget = timeout_at(deadline, Arc::clone(&self.budget).acquire_many_owned(units))
            .await
            .map_err(|_| RecordError::Overloaded)?
            .map_err(|_| RecordError::Stopped)?;
        let (reply, receipts) = oneshot::channel();
        let command = Command::Record { drafts, reply, budget };
        match timeout_at(deadline, self.commands.send(command)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(self.health.borrow().error()),
            Err(_) => return Err(RecordError::Overloaded),
        }
        match timeout_at(deadline, receipts).await {
            Ok(Ok(receipts)) => receipts,
            Ok(Err(_)) | Err(_) => Err(self.health.borrow().unacknowledged()),
        }
    }
}
