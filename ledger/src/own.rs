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
    ChainHead as ReportedHead, ClockState, ClockStepped, Disclosure, Event, LogContinued, LogMark,
    MediaType, NewEvent, Opening, RecorderConflict, RecorderSeal, RecorderStarted, RecorderStopped,
    Slot,
};
use proto::{ChainHead, Duty, chain};
use tlog::{SignError, Signer, VerifyingKey};
use tokio::sync::{Mutex, watch};

use crate::clock::unix_now_ns;
use crate::health::Troubles;
use crate::intake::{Intake, Judged};
use crate::log_keys::LogKeys;
use crate::publish::Published;
use crate::registry::{Lease, Registry};
use crate::sequencer::{Arrival, Committed, Rider, Sequencer, Stopped};
use crate::signing;
use crate::store::{Store, StoredChain};

/// How often the heads of all recorders are written down.
const MARK_INTERVAL: Duration = Duration::from_secs(3600);
/// Longest time from an own event to its seal.
const ACTIVE_SEAL: Duration = Duration::from_secs(1);
/// Longest time between two seals of an idle recorder.
const IDLE_SEAL: Duration = Duration::from_secs(10);
/// A key that did not sign is asked again after so long.
const SIGN_AGAIN: Duration = Duration::from_secs(5);

/// What troubles are reported under.
const SEALS: &str = "the ledger's own chain is not sealed";

/// JSON that an event discloses in a slot; slots ascend.
pub(crate) type Content = (Slot, Bytes);

/// Records the ledger's own events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OwnRecorder {
    chain: Arc<Mutex<OwnChain>>,
    registry: Arc<Registry>,
    /// vkeys of the log, for marks.
    log_vkeys: Arc<[String]>,
}

struct OwnChain {
    /// The stop is recorded, and nothing comes after it.
    has_ended: bool,
    /// An event was refused behind others that have their numbers already: what came next would leave a gap.
    is_broken: bool,
    /// Something was recorded after the last seal.
    is_unsealed: bool,
    sealed_at: Instant,
    /// The key did not sign: until then it is not asked again.
    sign_again_at: Option<Instant>,
    intake: Intake,
    lease: Lease,
    epoch: Id,
    key: Arc<dyn Signer>,
    verifying: VerifyingKey,
    origin: Arc<str>,
    sequencer: Sequencer,
    published: watch::Receiver<Arc<Published>>,
    troubles: Troubles,
}

/// Why a seal was not recorded.
enum Unsealed {
    /// The sequencer has ended.
    Stopped(Stopped),
    /// The key does not sign now. What was recorded is durable all the same, and the next seal covers it.
    Key(SignError),
}

/// What the ledger needs to record.
pub(crate) struct OwnParts {
    pub(crate) key: Arc<dyn Signer>,
    pub(crate) log_keys: LogKeys,
    /// What the log has to be told of its keys, and its recorders'.
    pub(crate) key_changes: Vec<Kind>,
    pub(crate) troubles: Troubles,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sequencer: Sequencer,
    pub(crate) published: watch::Receiver<Arc<Published>>,
    /// The step that a person confirmed, in nanoseconds; 0 when it could not be measured.
    pub(crate) confirmed_clock_step: Option<i64>,
    /// The log that this one continues; its first entry says so.
    pub(crate) continues: Option<LogContinued>,
}

impl OwnRecorder {
    /// Opens a new epoch and records the start: RecorderStarted, what changed of the keys, the heads of all recorders.
    ///
    /// # Errors
    /// [`Stopped`] when the sequencer has ended.
    pub(crate) async fn start(parts: OwnParts) -> Result<Self, Stopped> {
        let (own, previous) = Self::open(&parts, false)?;
        if let Some(continued) = parts.continues {
            own.record(Kind::LogContinued(continued), Vec::new()).await?;
        }
        own.record(Kind::RecorderStarted(started(previous)), Vec::new()).await?;
        if let Some(step_ns) = parts.confirmed_clock_step {
            let step = ClockStepped { step_ns, confirmed: true };
            own.record(Kind::ClockStepped(step), Vec::new()).await?;
        }
        for change in parts.key_changes {
            own.record(change, Vec::new()).await?;
        }
        own.mark().await?;
        Ok(own)
    }

    /// The recorder of a ledger that is only read: it records nothing.
    ///
    /// # Errors
    /// [`Stopped`] when there is no randomness.
    pub(crate) fn silent(parts: &OwnParts) -> Result<Self, Stopped> {
        Ok(Self::open(parts, true)?.0)
    }

    /// A new epoch, in which nothing is recorded yet, and the head of the one before.
    fn open(parts: &OwnParts, has_ended: bool) -> Result<(Self, Option<ReportedHead>), Stopped> {
        let epoch = fresh_epoch()?;
        let verifying = parts.key.verifying_key();
        let lease = parts.registry.lease(verifying.name(), epoch).map_err(|_| Stopped)?;
        let previous = lease.previous().map(report);
        let origin: Arc<str> = parts.log_keys.origin().into();
        let store = Arc::clone(&parts.store);
        let intake = Intake::new(Arc::clone(&origin), verifying.clone(), epoch, None, None, store)
            .with_duty(Duty::Ledger);
        let chain = OwnChain {
            has_ended,
            is_broken: false,
            is_unsealed: false,
            sealed_at: Instant::now(),
            sign_again_at: None,
            intake,
            lease,
            epoch,
            key: Arc::clone(&parts.key),
            verifying,
            origin,
            sequencer: parts.sequencer.clone(),
            published: parts.published.clone(),
            troubles: parts.troubles.clone(),
        };
        let registry = Arc::clone(&parts.registry);
        let log_vkeys = parts.log_keys.vkeys().into();
        Ok((Self { chain: Arc::new(Mutex::new(chain)), registry, log_vkeys }, previous))
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
        let rider = Rider { suspend: Some(suspended), ..Rider::default() };
        let event = (Kind::RecorderConflict(conflict), Vec::new());
        self.record_with(vec![event], rider).await.map(|_| ())
    }

    /// Records an event with what it discloses; durable when this returns.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn record(&self, kind: Kind, contents: Vec<Content>) -> Result<(), Stopped> {
        self.record_with(vec![(kind, contents)], Rider::default()).await.map(|_| ())
    }

    /// Records events in one commit, with what becomes durable beside them; their places.
    ///
    /// On a task of its own: a caller that goes away must not leave a number of the chain without its event.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn record_with(
        &self,
        events: Vec<(Kind, Vec<Content>)>,
        rider: Rider,
    ) -> Result<Vec<Committed>, Stopped> {
        let chain = Arc::clone(&self.chain);
        let append = tokio::spawn(async move { chain.lock().await.append(events, rider).await });
        append.await.map_err(|_| Stopped)?
    }

    /// Seals and marks until the stop, or until the sequencer ends.
    ///
    /// # Errors
    /// [`Stopped`]: the sequencer has ended, and nobody stopped the ledger.
    pub(crate) async fn run(self) -> Result<(), Stopped> {
        let mut seal = tokio::time::interval(ACTIVE_SEAL);
        let mut mark = tokio::time::interval(MARK_INTERVAL);
        mark.tick().await;
        loop {
            let recorded = tokio::select! {
                _ = seal.tick() => self.seal_what_is_due().await,
                _ = mark.tick() => self.mark().await,
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
        let recorded = match chain.append(vec![(stopped, Vec::new())], Rider::default()).await {
            Ok(_) => match chain.append_seal().await {
                Err(Unsealed::Stopped(stopped)) => Err(stopped),
                Err(Unsealed::Key(error)) => {
                    tracing::warn!(%error, "the ledger's own chain ends without a seal");
                    Ok(())
                }
                Ok(()) => Ok(()),
            },
            Err(stopped) => Err(stopped),
        };
        chain.has_ended = true;
        recorded
    }

    async fn mark(&self) -> Result<(), Stopped> {
        let snapshots = self.registry.active_snapshots();
        let mark = LogMark {
            recorders: self.registry.heads(),
            snapshot_digests: snapshots.iter().map(|digest| digest.to_vec().into()).collect(),
            vkeys: self.log_vkeys.to_vec(),
        };
        self.record(Kind::LogMark(mark), Vec::new()).await
    }

    async fn seal_what_is_due(&self) -> Result<(), Stopped> {
        let mut chain = self.chain.lock().await;
        if chain.is_broken {
            return Err(Stopped);
        }
        let is_due = chain.is_unsealed || chain.sealed_at.elapsed() >= IDLE_SEAL;
        let may_ask = chain.sign_again_at.is_none_or(|at| Instant::now() >= at);
        if !is_due || !may_ask || chain.has_ended {
            return Ok(());
        }
        match chain.append_seal().await {
            Ok(()) => {
                chain.sign_again_at = None;
                chain.troubles.is_over(SEALS);
                Ok(())
            }
            Err(Unsealed::Stopped(stopped)) => Err(stopped),
            Err(Unsealed::Key(error)) => {
                chain.sign_again_at = Some(Instant::now() + SIGN_AGAIN);
                chain.troubles.report(SEALS, &error);
                Ok(())
            }
        }
    }
}

impl OwnChain {
    async fn append(
        &mut self,
        events: Vec<(Kind, Vec<Content>)>,
        rider: Rider,
    ) -> Result<Vec<Committed>, Stopped> {
        if self.has_ended || self.is_broken {
            return Err(Stopped);
        }
        let arrivals = events.into_iter().map(|(kind, contents)| self.arrival(kind, contents));
        let arrivals = arrivals.collect::<Result<Vec<_>, _>>();
        // Ends the ledger at the next look of its recorder: the numbers that were given are in no commit.
        self.is_broken = arrivals.is_err();
        let arrivals = arrivals?;
        let last = arrivals.last().map(|arrival| (arrival.head, arrival.active_snapshot));
        let committed = self.sequencer.submit_with(arrivals, rider).await?;
        let places = committed.await.map_err(|_| Stopped)?;
        if let (Some((head, snapshot)), Some(place)) = (last, places.last()) {
            self.lease.advance(head, place.leaf_index, snapshot);
            self.is_unsealed = true;
        }
        Ok(places)
    }

    /// The next event of the chain. It must reach the sequencer.
    fn arrival(&mut self, kind: Kind, contents: Vec<Content>) -> Result<Arrival, Stopped> {
        let (disclosures, openings) = commit(contents)?;
        let event = Event {
            event_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
            occurred_at_ns: unix_now_ns(),
            recorder: Some(chain::next(self.intake.head(), self.verifying.name(), &self.epoch.0)),
            disclosures,
            kind: Some(kind),
            ..Event::default()
        };
        let event = encode_event(&event).map_err(refused)?;
        let judged = self.intake.judge(NewEvent { event, openings });
        let Judged::Next(accepted) = judged.map_err(refused)? else {
            return Err(refused("it does not follow its own chain"));
        };
        self.intake.seal(*accepted).map_err(refused)
    }

    async fn append_seal(&mut self) -> Result<(), Unsealed> {
        let (text, seal) = self.unsigned_seal();
        let signature = signing::sign(&self.key, text).await.map_err(Unsealed::Key)?;
        let seal = RecorderSeal { signature: signature.to_vec().into(), ..seal };
        let sealed = self.append(vec![(Kind::RecorderSeal(seal), Vec::new())], Rider::default());
        sealed.await.map_err(Unsealed::Stopped)?;
        (self.is_unsealed, self.sealed_at) = (false, Instant::now());
        Ok(())
    }

    /// What the key has to sign, and the seal without its signature.
    fn unsigned_seal(&self) -> (String, RecorderSeal) {
        let head = self.intake.head().copied().unwrap_or(ChainHead { sequence: 0, hash: [0; 32] });
        let published = self.published.borrow();
        let seal = Seal {
            origin: &self.origin,
            recorder_id: self.verifying.name(),
            epoch: self.epoch,
            head,
            checkpoint_size: published.checkpoint.size,
            checkpoint_root: published.checkpoint.root,
        };
        let unsigned = RecorderSeal {
            sequence: head.sequence,
            hash: head.hash.to_vec().into(),
            checkpoint_size: seal.checkpoint_size.0,
            checkpoint_root: seal.checkpoint_root.0.to_vec().into(),
            key_id: self.verifying.key_id().to_vec().into(),
            signature: Bytes::new(),
            clock: Some(ClockState::default()),
        };
        (seal.text(), unsigned)
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
