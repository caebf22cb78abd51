//! Numbering: a draft becomes an event with its place in the chain and its commitments.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proto::canonical::encode_event;
use proto::disclosure::disclose;
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::{ClockState, Event, NewEvent, Opening, RecorderSeal};
use proto::{ChainHead, MAX_MESSAGE_BYTES, event_hash};
use tlog::{Checkpoint, Hash, Signer, TreeSize, VerifyingKey};

use crate::draft::Draft;
use crate::error::RecordError;

/// A numbered event, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Numbered {
    pub(crate) event_id: Id,
    pub(crate) head: ChainHead,
    pub(crate) new: NewEvent,
}

/// A seal that lacks its signature.
#[derive(Debug)]
pub(crate) struct UnsignedSeal {
    /// What the recorder's key has to sign.
    pub(crate) text: String,
    seal: RecorderSeal,
}

impl UnsignedSeal {
    /// The seal as an event.
    pub(crate) fn signed(self, signature: &[u8; 64]) -> Draft {
        let signature = Bytes::copy_from_slice(signature);
        Draft::new(Kind::RecorderSeal(RecorderSeal { signature, ..self.seal }))
    }
}

/// The chain of one epoch.
pub(crate) struct Chain {
    key: Arc<dyn Signer>,
    verifying: VerifyingKey,
    origin: String,
    epoch: Id,
    head: Option<ChainHead>,
}

impl Chain {
    pub(crate) fn new(key: Arc<dyn Signer>, origin: String, epoch: Id) -> Self {
        let verifying = key.verifying_key();
        Self { key, verifying, origin, epoch, head: None }
    }

    pub(crate) fn key(&self) -> &Arc<dyn Signer> {
        &self.key
    }

    pub(crate) fn epoch(&self) -> Id {
        self.epoch
    }

    /// Gives drafts consecutive places: all of them, or none.
    ///
    /// # Errors
    /// [`RecordError::Invalid`], [`RecordError::TooLarge`]: the chain stays as it was.
    pub(crate) fn number(&mut self, drafts: Vec<Draft>) -> Result<Vec<Numbered>, RecordError> {
        let before = self.head;
        let numbered: Result<Vec<_>, _> =
            drafts.into_iter().map(|draft| self.number_one(draft)).collect();
        if numbered.is_err() {
            self.head = before;
        }
        numbered
    }

    /// A seal over the current head, which must be the next event of the chain; `None` while the chain is empty.
    pub(crate) fn seal(&self, verified: Option<&Checkpoint>) -> Option<UnsignedSeal> {
        let head = self.head?;
        let (size, root) = verified.map_or_else(
            || (TreeSize(0), Hash::empty_root()),
            |checkpoint| (checkpoint.size, checkpoint.root),
        );
        let seal = Seal {
            origin: &self.origin,
            recorder_id: self.verifying.name(),
            epoch: self.epoch,
            head,
            checkpoint_size: size,
            checkpoint_root: root,
        };
        let text = seal.text();
        let seal = RecorderSeal {
            sequence: head.sequence,
            hash: Bytes::copy_from_slice(&head.hash),
            checkpoint_size: size.0,
            checkpoint_root: Bytes::copy_from_slice(&root.0),
            key_id: Bytes::copy_from_slice(&self.verifying.key_id()),
            signature: Bytes::new(),
            clock: Some(ClockState::default()),
        };
        Some(UnsignedSeal { text, seal })
    }

    fn number_one(&mut self, draft: Draft) -> Result<Numbered, RecordError> {
        let mut disclosures = Vec::with_capacity(draft.contents.len());
        let mut openings = Vec::with_capacity(draft.contents.len());
        for content in draft.contents {
            if content.bytes.len() > MAX_MESSAGE_BYTES {
                return Err(RecordError::TooLarge { size_bytes: content.bytes.len() });
            }
            let salt = fresh_salt()?;
            disclosures.push(disclose(content.slot, content.media_type, &salt, &content.bytes));
            openings.push(Opening {
                slot: content.slot.into(),
                salt: Bytes::copy_from_slice(&salt),
                content: content.bytes,
            });
        }
        let id = |id: Option<Id>| id.map(Id::to_bytes).unwrap_or_default();
        let recorder = proto::chain::next(self.head.as_ref(), self.verifying.name(), &self.epoch.0);
        let sequence = recorder.sequence;
        let event = Event {
            event_id: draft.event_id.to_bytes(),
            occurred_at_ns: unix_now_ns(),
            recorder: Some(recorder),
            session_id: id(draft.session_id),
            exchange_id: id(draft.exchange_id),
            trace_id: id(draft.trace_id),
            disclosures,
            kind: Some(draft.kind),
        };
        let event = encode_event(&event).map_err(|error| RecordError::Invalid(Arc::new(error)))?;
        let head = ChainHead { sequence, hash: event_hash(&event) };
        self.head = Some(head);
        Ok(Numbered { event_id: draft.event_id, head, new: NewEvent { event, openings } })
    }
}

fn fresh_salt() -> Result<[u8; 32], RecordError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|error| RecordError::Unavailable {
        reason: format!("the operating system gives no randomness: {error}"),
    })?;
    Ok(salt)
}

fn unix_now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::chain::{Position, position};
    use proto::decode_event;
    use proto::v1::{MediaType, RecorderStopped, Slot};
    use tlog::SigningKey;

    fn chain() -> Chain {
        let key = SigningKey::from_seed("gateway-1", [1; 32]).unwrap();
        Chain::new(Arc::new(key), "log.example".into(), Id([2; 16]))
    }

    fn draft() -> Draft {
        Draft::new(Kind::RecorderStopped(RecorderStopped { drained: false }))
    }

    #[test]
    fn each_event_follows_the_one_before() {
        let mut chain = chain();
        let mut head = None;
        for numbered in chain.number(vec![draft(), draft(), draft()]).unwrap() {
            let event = decode_event(&numbered.new.event).unwrap();
            assert_eq!(position(head.as_ref(), &event.recorder.unwrap()), Position::Next);
            head = Some(numbered.head);
        }
    }

    #[test]
    fn a_refused_batch_leaves_no_gap() {
        let mut chain = chain();
        chain.number(vec![draft()]).unwrap();
        let before = chain.head;
        let large = vec![0u8; MAX_MESSAGE_BYTES + 1];
        let bad = draft().disclose(Slot::Message, MediaType::Json, large);
        assert!(matches!(chain.number(vec![draft(), bad]), Err(RecordError::TooLarge { .. })));
        assert_eq!(chain.head, before);
    }

    #[test]
    fn a_seal_verifies_with_the_key_alone() {
        let mut chain = chain();
        assert!(chain.seal(None).is_none());
        chain.number(vec![draft()]).unwrap();
        let unsigned = chain.seal(None).unwrap();
        let signature = chain.key().sign_bytes(unsigned.text.as_bytes()).unwrap();
        let Kind::RecorderSeal(seal) = unsigned.signed(&signature).kind else { panic!() };
        let key = chain.key.verifying_key();
        let verify = |seal: &RecorderSeal| {
            proto::seal::verify(seal, "log.example", "gateway-1", chain.epoch, &key)
        };
        assert!(verify(&seal));
        let other = RecorderSeal { sequence: seal.sequence + 1, ..seal };
        assert!(!verify(&other));
    }
}
