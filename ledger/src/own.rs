//! The ledger as its own recorder: what only it can say goes into the log by the same rules.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::canonical::encode_event;
use proto::disclosure::disclose;
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::{
    ChainHead as ReportedHead, ClockState, ClockStepped, Disclosure, Event, KeyIntroduced, KeyRole,
    LogMark, MediaType, NewEvent, Opening, RecorderConflict, RecorderSeal, RecorderStarted,
    RecorderStopped, Slot,
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
/// Longest time from an own event to its seal.
const ACTIVE_SEAL: Duration = Duration::from_secs(1);
/// Longest time between two seals of an idle recorder.
const IDLE_SEAL: Duration = Duration::from_secs(10);

/// JSON that an event discloses in a slot; slots ascend.
pub(crate) type Content = (Slot, Bytes);

/// Records the ledger's own events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OwnRecorder {
    chain: Arc<Mutex<OwnChain>>,
    registry: Arc<Registry>,
}

struct OwnChain {
    /// The stop is recorded, and nothing comes after it.
    has_ended: bool,
    /// Something was recorded after the last seal.
    is_unsealed: bool,
    sealed_at: Instant,
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
            has_ended: false,
            is_unsealed: false,
            sealed_at: Instant::now(),
            intake,
            lease,
            epoch,
            key: parts.key,
            origin,
            sequencer: parts.sequencer,
            published: parts.published,
        };
        let own = Self { chain: Arc::new(Mutex::new(chain)), registry: parts.registry };
        own.record(Kind::RecorderStarted(started(previous)), Vec::new()).await?;
        if parts.confirmed_clock_step {
            let step = ClockStepped { step_ns: 0, confirmed: true };
            own.record(Kind::ClockStepped(step), Vec::new()).await?;
        }
        let vkey = parts.log_key.verifying_key().to_string();
        let role = KeyRole::Log.into();
        let key = KeyIntroduced { role, vkey: vkey.clone() };
        own.record(Kind::KeyIntroduced(key), Vec::new()).await?;
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
        self.append(Kind::RecorderConflict(conflict), Vec::new(), Some(suspended)).await
    }

    /// Records an event with what it discloses; durable when this returns.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn record(&self, kind: Kind, contents: Vec<Content>) -> Result<(), Stopped> {
        self.append(kind, contents, None).await
    }

    /// Seals and marks until the stop, or until the sequencer ends.
    ///
    /// # Errors
    /// [`Stopped`]: the sequencer has ended, and nobody stopped the ledger.
    pub(crate) async fn run(self, log_vkey: String) -> Result<(), Stopped> {
        let mut seal = tokio::time::interval(ACTIVE_SEAL);
        let mut mark = tokio::time::interval(MARK_INTERVAL);
        mark.tick().await;
        loop {
            let recorded = tokio::select! {
                _ = seal.tick() => self.seal_what_is_due().await,
                _ = mark.tick() => self.mark(log_vkey.clone()).await,
            };
            if self.chain.lock().await.has_ended {
                return Ok(());
            }
            recorded?;
        }
    }

    /// The last two events of the epoch: stopped, sealed. Nothing is recorded after them.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn stop(&self) -> Result<(), Stopped> {
        let mut chain = self.chain.lock().await;
        let stopped = Kind::RecorderStopped(RecorderStopped { drained: true });
        let recorded = match chain.append(stopped, Vec::new(), None).await {
            Ok(()) => chain.append_seal().await,
            Err(stopped) => Err(stopped),
        };
        chain.has_ended = true;
        recorded
    }

    async fn mark(&self, log_vkey: String) -> Result<(), Stopped> {
        let snapshots = self.registry.active_snapshots();
        let mark = LogMark {
            recorders: self.registry.heads(),
            snapshot_digests: snapshots.iter().map(|digest| digest.to_vec().into()).collect(),
            vkeys: vec![log_vkey],
        };
        self.record(Kind::LogMark(mark), Vec::new()).await
    }

    async fn seal_what_is_due(&self) -> Result<(), Stopped> {
        let mut chain = self.chain.lock().await;
        if chain.is_unsealed || chain.sealed_at.elapsed() >= IDLE_SEAL {
            return chain.append_seal().await;
        }
        Ok(())
    }

    /// On a task of its own: a caller that goes away must not leave a number of the chain without its event.
    async fn append(
        &self,
        kind: Kind,
        contents: Vec<Content>,
        suspend: Option<StoredChain>,
    ) -> Result<(), Stopped> {
        let chain = Arc::clone(&self.chain);
        let append =
            tokio::spawn(async move { chain.lock().await.append(kind, contents, suspend).await });
        append.await.map_err(|_| Stopped)?
    }
}

impl OwnChain {
    async fn append(
        &mut self,
        kind: Kind,
        contents: Vec<Content>,
        suspend: Option<StoredChain>,
    ) -> Result<(), Stopped> {
        if self.has_ended {
            return Err(Stopped);
        }
        let (disclosures, openings) = commit(contents)?;
        let event = Event {
            event_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
            occurred_at_ns: unix_now_ns(),
            recorder: Some(chain::next(self.intake.head(), self.key.name(), &self.epoch.0)),
            disclosures,
            kind: Some(kind),
            ..Event::default()
        };
        let event = encode_event(&event).map_err(refused)?;
        let judged = self.intake.judge(NewEvent { event, openings });
        let Judged::Next(arrival) = judged.map_err(refused)? else {
            return Err(refused("it does not follow its own chain"));
        };
        let (head, snapshot) = (arrival.head, arrival.active_snapshot);
        let committed = self.sequencer.submit(vec![*arrival], suspend).await?;
        let places = committed.await.map_err(|_| Stopped)?;
        let place = places.last().ok_or(Stopped)?;
        self.lease.advance(head, place.leaf_index, snapshot);
        self.is_unsealed = true;
        Ok(())
    }

    async fn append_seal(&mut self) -> Result<(), Stopped> {
        let seal = self.seal();
        self.append(Kind::RecorderSeal(seal), Vec::new(), None).await?;
        (self.is_unsealed, self.sealed_at) = (false, Instant::now());
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

/// Commitments to contents, each under a fresh salt, and what opens them.
fn commit(contents: Vec<Content>) -> Result<(Vec<Disclosure>, Vec<Opening>), Stopped> {
    let mut disclosures = Vec::with_capacity(contents.len());
    let mut openings = Vec::with_capacity(contents.len());
    for (slot, content) in contents {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(refused)?;
        disclosures.push(disclose(slot, MediaType::Json, &salt, &content));
        openings.push(Opening { slot: slot.into(), salt: salt.to_vec().into(), content });
    }
    Ok((disclosures, openings))
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
