//! What an event must pass before it gets a place: every rule that its bytes and its chain can show.

use std::sync::Arc;

use bytes::Bytes;
use proto::chain::{Position, position};
use proto::disclosure::{OpeningError, check_openings};
use proto::ids::Id;
use proto::kind::{Kind, kind_name};
use proto::v1::recorder_conflict::Reason;
use proto::v1::{Event, NewEvent, Opening, Recorder, RecorderConflict};
use proto::{ChainHead, Duty, EventError, decode_event, event_hash};
use tlog::VerifyingKey;

use crate::sequencer::Arrival;
use crate::store::Store;
use crate::vault::{NotSealed, Sealer};

/// Why an event is refused. The recorder is at fault; nothing of the event is stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("the event names recorder {claimed:?}, but this stream belongs to {expected:?}")]
    Recorder { claimed: String, expected: String },
    #[error("the event names epoch {claimed}, but this stream belongs to epoch {expected}")]
    Epoch { claimed: String, expected: Id },
    #[error(transparent)]
    Opening(#[from] OpeningError),
    #[error("the seal over sequence {0} does not verify with this recorder's key")]
    Seal(u64),
    #[error(
        "event {sequence} lies below the head of this epoch, event {head}: it was stored before and cannot be \
         compared; send again only what the ledger did not acknowledge, from the head that it told"
    )]
    BelowHead { sequence: u64, head: u64 },
}

impl Refusal {
    /// Stable name of the refusal.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Refusal::Event(EventError::TooLarge { .. }) => "event_too_large",
            Refusal::Event(EventError::Undecodable(_)) => "event_undecodable",
            Refusal::Event(EventError::NotCanonical { .. }) => "event_not_canonical",
            Refusal::Event(EventError::Shape(_)) => "event_malformed",
            Refusal::Recorder { .. } => "event_of_another_recorder",
            Refusal::Epoch { .. } => "event_of_another_epoch",
            Refusal::Opening(OpeningError::Missing(_)) => "disclosure_missing",
            Refusal::Opening(OpeningError::Surplus(_)) => "disclosure_surplus",
            Refusal::Opening(_) => "disclosure_mismatch",
            Refusal::Seal(_) => "seal_invalid",
            Refusal::BelowHead { .. } => "event_below_head",
        }
    }
}

/// How an event was judged.
#[derive(Debug)]
pub(crate) enum Judged {
    /// It is next in its chain.
    Next(Box<Accepted>),
    /// It is the head, byte for byte, and stored once what was accepted before is.
    Resent { sequence: u64 },
    /// It contradicts the chain.
    Fork(RecorderConflict),
    /// It is next in its chain, and its recorder may not record events of this kind, which has this name.
    Forbidden(RecorderConflict, &'static str),
}

/// An event that passed every check and follows its chain.
#[derive(Debug)]
pub(crate) struct Accepted {
    event: Event,
    bytes: Bytes,
    openings: Vec<Opening>,
    head: ChainHead,
    active_snapshot: Option<[u8; 32]>,
}

/// The checks of one stream, and how far its chain has come.
pub(crate) struct Intake {
    origin: Arc<str>,
    recorder_id: Arc<str>,
    key: VerifyingKey,
    duty: Duty,
    epoch: Id,
    head: Option<ChainHead>,
    active_snapshot: Option<[u8; 32]>,
    sealer: Sealer,
}

impl Intake {
    pub(crate) fn new(
        origin: Arc<str>,
        key: VerifyingKey,
        epoch: Id,
        head: Option<ChainHead>,
        active_snapshot: Option<[u8; 32]>,
        store: Arc<dyn Store>,
    ) -> Self {
        let recorder_id = key.name().into();
        let sealer = Sealer::new(store, head.is_some());
        Self { origin, recorder_id, key, duty: Duty::Any, epoch, head, active_snapshot, sealer }
    }

    /// The same stream, of a recorder that is this.
    pub(crate) fn with_duty(mut self, duty: Duty) -> Self {
        self.duty = duty;
        self
    }

    /// Name of the stream's recorder.
    pub(crate) fn recorder_id(&self) -> &str {
        &self.recorder_id
    }

    /// The chain as far as it was accepted.
    pub(crate) fn head(&self) -> Option<&ChainHead> {
        self.head.as_ref()
    }

    /// Judges the next event of the stream.
    ///
    /// # Errors
    /// [`Refusal`]: the first rule it breaks.
    pub(crate) fn judge(&mut self, new: NewEvent) -> Result<Judged, Refusal> {
        let event = decode_event(&new.event)?;
        let recorder = event.recorder.clone().unwrap_or_default();
        self.check_owner(&recorder)?;
        let hash = event_hash(&new.event);
        match position(self.head.as_ref(), &recorder) {
            Position::Resent => self.judge_resent(&recorder, hash),
            Position::Fork => Ok(Judged::Fork(self.conflict(&recorder, hash))),
            Position::Next => {
                if let Some(kind) = event.kind.as_ref().filter(|kind| !self.duty.may_record(kind)) {
                    let conflict = RecorderConflict {
                        reason: Reason::Kind.into(),
                        ..self.conflict(&recorder, hash)
                    };
                    return Ok(Judged::Forbidden(conflict, kind_name(kind)));
                }
                check_openings(&event, &new.openings)?;
                self.check_seal(&event)?;
                let head = ChainHead { sequence: recorder.sequence, hash };
                self.head = Some(head);
                if let Some(Kind::PolicyActivated(policy)) = &event.kind {
                    self.active_snapshot = policy.snapshot_digest[..].try_into().ok();
                }
                Ok(Judged::Next(Box::new(Accepted {
                    event,
                    bytes: new.event,
                    openings: new.openings,
                    head,
                    active_snapshot: self.active_snapshot,
                })))
            }
        }
    }

    /// Makes an accepted event ready for the sequencer, which must get it: a later one may need its key.
    ///
    /// # Errors
    /// [`NotSealed`]; the stream must end then.
    pub(crate) fn seal(&mut self, accepted: Accepted) -> Result<Arrival, NotSealed> {
        let Accepted { event, bytes, openings, head, active_snapshot } = accepted;
        let sealed = self.sealer.seal(&event, head.sequence, &openings)?;
        Ok(Arrival {
            event_bytes: bytes,
            sealed,
            recorder_id: Arc::clone(&self.recorder_id),
            epoch: self.epoch,
            head,
            active_snapshot,
        })
    }

    fn check_owner(&self, recorder: &Recorder) -> Result<(), Refusal> {
        if recorder.recorder_id != *self.recorder_id {
            return Err(Refusal::Recorder {
                claimed: recorder.recorder_id.clone(),
                expected: self.recorder_id.to_string(),
            });
        }
        if recorder.epoch != self.epoch.0[..] {
            let claimed = hex::encode(&recorder.epoch);
            return Err(Refusal::Epoch { claimed, expected: self.epoch });
        }
        Ok(())
    }

    /// Only the head's hash is at hand, so only the head can be told from another event of its number.
    fn judge_resent(&self, recorder: &Recorder, hash: [u8; 32]) -> Result<Judged, Refusal> {
        let sequence = recorder.sequence;
        match self.head {
            Some(head) if sequence < head.sequence => {
                Err(Refusal::BelowHead { sequence, head: head.sequence })
            }
            Some(head) if head.hash == hash => Ok(Judged::Resent { sequence }),
            _ => Ok(Judged::Fork(self.conflict(recorder, hash))),
        }
    }

    fn check_seal(&self, event: &Event) -> Result<(), Refusal> {
        let Some(Kind::RecorderSeal(seal)) = &event.kind else { return Ok(()) };
        let of_head = self
            .head
            .is_some_and(|head| head.sequence == seal.sequence && head.hash == seal.hash[..]);
        let signed =
            proto::seal::verify(seal, &self.origin, &self.recorder_id, self.epoch, &self.key);
        if of_head && signed { Ok(()) } else { Err(Refusal::Seal(seal.sequence)) }
    }

    fn conflict(&self, recorder: &Recorder, event_hash: [u8; 32]) -> RecorderConflict {
        RecorderConflict {
            recorder_id: self.recorder_id.to_string(),
            epoch: self.epoch.to_bytes(),
            sequence: recorder.sequence,
            expected_hash: self.head.map(|head| head.hash.to_vec().into()).unwrap_or_default(),
            claimed_hash: recorder.previous_hash.clone(),
            event_hash: event_hash.to_vec().into(),
            reason: Reason::Unspecified.into(),
        }
    }
}
