//! The ledger as its own recorder: what only it can say goes into the log by the same rules.

use std::sync::Arc;
use std::time::Duration;

use proto::canonical::encode_event;
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::{
    ChainHead as ReportedHead, ClockState, ClockStepped, Event, KeyIntroduced, KeyRole, LogMark,
    NewEvent, RecorderConflict, RecorderSeal, RecorderStarted, RecorderStopped,
};
use proto::{ChainHead, chain};
use tlog::SigningKey;
use tokio::sync::{Mutex, watch};

use crate::clock::unix_now_ns;
use crate::intake::{Intake, Judged};
use crate::publish::Published;
use crate::registry::{Lease, Registry};
use crate::sequencer::{Sequencer, Stopped};
use crate::store::StoredChain;

/// How often the heads of all recorders are written down.
const MARK_INTERVAL: Duration = Duration::from_secs(3600);
/// Longest time between two seals of an idle recorder.
const SEAL_INTERVAL: Duration = Duration::from_secs(10);

/// Records the ledger's own events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OwnRecorder {
    chain: Arc<Mutex<OwnChain>>,
    registry: Arc<Registry>,
}

struct OwnChain {
    intake: Intake,
    lease: Lease,
    epoch: Id,
    key: Arc<SigningKey>,
    origin: Arc<str>,
    sequencer: Sequencer,
    published: watch::Receiver<Arc<Published>>,
}

/// What the ledger needs to record.
pub(crate) struct OwnParts {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) log_key: Arc<SigningKey>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) sequencer: Sequencer,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) confirmed_clock_step: bool,
}

impl OwnRecorder {
    /// Opens a new epoch and records the start: RecorderStarted, the log's key, the heads of all recorders.
    ///
    /// # Errors
    /// [`Stopped`] when the sequencer has ended.
    pub(crate) async fn start(parts: OwnParts) -> Result<Self, Stopped> {
        let epoch = fresh_epoch()?;
        let name = parts.key.name().to_owned();
        let lease = parts.registry.lease(&name, epoch).map_err(|_| Stopped)?;
        let previous = lease.previous().map(report);
        let origin: Arc<str> = parts.log_key.name().into();
        let verifying = parts.key.verifying_key();
        let intake = Intake::new(Arc::clone(&origin), verifying, epoch, None, None);
        let chain = OwnChain {
            intake,
            lease,
            epoch,
            key: parts.key,
            origin,
            sequencer: parts.sequencer,
            published: parts.published,
        };
        let own = Self { chain: Arc::new(Mutex::new(chain)), registry: parts.registry };
        own.record(Kind::RecorderStarted(started(previous))).await?;
        if parts.confirmed_clock_step {
            own.record(Kind::ClockStepped(ClockStepped { step_ns: 0, confirmed: true })).await?;
        }
        let vkey = parts.log_key.verifying_key().to_string();
        let role = KeyRole::Log.into();
        own.record(Kind::KeyIntroduced(KeyIntroduced { role, vkey: vkey.clone() })).await?;
        own.mark(vkey).await?;
        Ok(own)
    }

    /// Records a fork and suspends the recorder that made it, in one commit.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn record_conflict(
        &self,
        conflict: RecorderConflict,
        suspended: StoredChain,
    ) -> Result<(), Stopped> {
        let kind = Kind::RecorderConflict(conflict);
        self.chain.lock().await.append(kind, Some(suspended)).await
    }

    /// Seals and marks until the sequencer ends.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn run(self, log_vkey: String) -> Result<(), Stopped> {
        let mut seal = tokio::time::interval(SEAL_INTERVAL);
        let mut mark = tokio::time::interval(MARK_INTERVAL);
        mark.tick().await;
        loop {
            tokio::select! {
                _ = seal.tick() => self.seal().await?,
                _ = mark.tick() => self.mark(log_vkey.clone()).await?,
            }
        }
    }

    /// The last two events of the epoch: stopped, sealed.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn stop(&self) -> Result<(), Stopped> {
        self.record(Kind::RecorderStopped(RecorderStopped { drained: true })).await?;
        self.seal().await
    }

    async fn mark(&self, log_vkey: String) -> Result<(), Stopped> {
        let snapshots = self.registry.active_snapshots();
        let mark = LogMark {
            recorders: self.registry.heads(),
            snapshot_digests: snapshots.iter().map(|digest| digest.to_vec().into()).collect(),
            vkeys: vec![log_vkey],
        };
        self.record(Kind::LogMark(mark)).await
    }

    async fn seal(&self) -> Result<(), Stopped> {
        let mut chain = self.chain.lock().await;
        let seal = chain.seal();
        chain.append(Kind::RecorderSeal(seal), None).await
    }

    async fn record(&self, kind: Kind) -> Result<(), Stopped> {
        self.chain.lock().await.append(kind, None).await
    }
}

impl OwnChain {
    async fn append(&mut self, kind: Kind, suspend: Option<StoredChain>) -> Result<(), Stopped> {
        let event = Event {
            event_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
            occurred_at_ns: unix_now_ns(),
            recorder: Some(chain::next(self.intake.head(), self.key.name(), &self.epoch.0)),
            kind: Some(kind),
            ..Event::default()
        };
        let event = encode_event(&event).map_err(refused)?;
        let judged = self.intake.judge(NewEvent { event, openings: Vec::new() });
        let Judged::Next(arrival) = judged.map_err(refused)? else {
            return Err(refused("it does not follow its own chain"));
        };
        let (head, snapshot) = (arrival.head, arrival.active_snapshot);
        let committed = self.sequencer.submit(vec![*arrival], suspend).await?;
        let places = committed.await.map_err(|_| Stopped)?;
        let place = places.last().ok_or(Stopped)?;
        self.lease.advance(head, place.leaf_index, snapshot);
        Ok(())
    }

    fn seal(&self) -> RecorderSeal {
        let head = self.intake.head().copied().unwrap_or(ChainHead { sequence: 0, hash: [0; 32] });
        let published = self.published.borrow();
        let seal = Seal {
            origin: &self.origin,
            recorder_id: self.key.name(),
            epoch: self.epoch,
            head,
            checkpoint_size: published.checkpoint.size,
            checkpoint_root: published.checkpoint.root,
        };
        RecorderSeal {
            sequence: head.sequence,
            hash: head.hash.to_vec().into(),
            checkpoint_size: seal.checkpoint_size.0,
            checkpoint_root: seal.checkpoint_root.0.to_vec().into(),
            key_id: self.key.verifying_key().key_id().to_vec().into(),
            signature: seal.sign(&self.key).to_vec().into(),
            clock: Some(ClockState::default()),
        }
    }
}

/// An own event that breaks our own rules is a defect: stop rather than record something else.
fn refused(reason: impl std::fmt::Display) -> Stopped {
    tracing::error!(%reason, "the ledger cannot record its own event");
    Stopped
}

fn started(previous: Option<ReportedHead>) -> RecorderStarted {
    let previous = previous.unwrap_or_default();
    RecorderStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        previous_epoch: previous.epoch,
        previous_sequence: previous.sequence,
        previous_hash: previous.hash,
        clock: Some(ClockState::default()),
    }
}

/// A chain's head as the wire shows it.
pub(crate) fn report(chain: &StoredChain) -> ReportedHead {
    ReportedHead {
        epoch: chain.epoch.to_bytes(),
        sequence: chain.head.sequence,
        hash: chain.head.hash.to_vec().into(),
        leaf_index: chain.leaf_index.0,
    }
}

fn fresh_epoch() -> Result<Id, Stopped> {
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(refused)?;
    Ok(Id(epoch))
}
