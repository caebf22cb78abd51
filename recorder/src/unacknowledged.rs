//! What was numbered and is not known to be durable: kept until it is, and resent after a broken stream.

use std::collections::VecDeque;

use proto::ChainHead;
use proto::v1::{Acknowledgement, NewEvent, Opened};
use tlog::{Hash, LeafIndex, leaf_hash};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::chain::Numbered;
use crate::error::RecordError;
use crate::recorder::{Place, Receipt};

/// Where the answer to a call of `record` goes.
pub(crate) type Reply = oneshot::Sender<Result<Vec<Receipt>, RecordError>>;

/// The ledger says something that contradicts what this recorder did or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// The newest acknowledged event whose place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AcknowledgedHead {
    pub(crate) leaf_index: LeafIndex,
    pub(crate) leaf_hash: Hash,
}

#[derive(Default)]
pub(crate) struct Unacknowledged {
    groups: VecDeque<Group>,
    events: usize,
    /// The last event that is known to be durable.
    last: Option<ChainHead>,
    /// The last one whose place is known.
    head: Option<AcknowledgedHead>,
}

/// The events of one call, answered together.
struct Group {
    events: VecDeque<Numbered>,
    receipts: Vec<Receipt>,
    reply: Option<Reply>,
    _budget: Option<OwnedSemaphorePermit>,
}

impl Unacknowledged {
    pub(crate) fn push(
        &mut self,
        events: Vec<Numbered>,
        reply: Option<Reply>,
        budget: Option<OwnedSemaphorePermit>,
    ) {
        self.events += events.len();
        let receipts = Vec::with_capacity(events.len());
        self.groups.push_back(Group { events: events.into(), receipts, reply, _budget: budget });
    }

    /// Number of events on their way.
    pub(crate) fn len(&self) -> usize {
        self.events
    }

    pub(crate) fn head(&self) -> Option<AcknowledgedHead> {
        self.head
    }

    /// Everything to send again, in order.
    pub(crate) fn resend(&self) -> Vec<NewEvent> {
        self.groups.iter().flat_map(|group| &group.events).map(|event| event.new.clone()).collect()
    }

    /// A stream was opened: the ledger's head must be one that this recorder made, and not behind what the
    /// ledger acknowledged before. Everything up to it is durable, though its place is not known; returns how
    /// many events that settled.
    pub(crate) fn reconcile(&mut self, opened: &Opened) -> Result<u64, Contradiction> {
        let lost = |message: String| Contradiction { code: "ledger_lost_events", message };
        let Some(head) = &opened.head else {
            return match self.last {
                None => Ok(0),
                Some(last) => Err(lost(format!(
                    "it acknowledged event {} of this epoch and now knows nothing of it",
                    last.sequence
                ))),
            };
        };
        if let Some(last) = self.last
            && (head.sequence < last.sequence
                || (head.sequence == last.sequence && head.hash != last.hash[..]))
        {
            return Err(lost(format!(
                "it acknowledged event {}, but its head is now {}",
                last.sequence, head.sequence
            )));
        }
        let mut settled = 0;
        while self.last.is_none_or(|last| last.sequence < head.sequence) {
            let next = self.groups.front().and_then(|group| group.events.front());
            let Some(next) = next.map(|event| event.head) else {
                return Err(Contradiction {
                    code: "ledger_ahead",
                    message: format!("its head {} is not an event of this recorder", head.sequence),
                });
            };
            self.acknowledge_next(next, None);
            settled += 1;
        }
        if self.last.is_some_and(|last| last.hash != head.hash[..]) {
            return Err(Contradiction {
                code: "ledger_head_differs",
                message: format!("its event {} is not the one that was sent", head.sequence),
            });
        }
        Ok(settled)
    }

    /// The ledger acknowledged an event on the open stream, on which everything was sent anew that the ledger
    /// did not have when it opened: so each answer is about the next event, with its leaf, further along in
    /// the log than the one before.
    pub(crate) fn acknowledge(&mut self, told: &Acknowledgement) -> Result<(), Contradiction> {
        let contradiction = |code, message| Err(Contradiction { code, message });
        let sequence = told.sequence;
        let next = self.groups.front().and_then(|group| group.events.front());
        let Some(next) = next.filter(|event| event.head.sequence == sequence) else {
            let message = format!("it acknowledged event {sequence}, which is not next");
            return contradiction("acknowledgement_unexpected", message);
        };
        let leaf_hash = leaf_hash(&proto::encode_entry(told.recorded_at_ns, &next.new.event));
        if told.leaf_hash != leaf_hash.0[..] {
            let message = format!("the leaf it made of event {sequence} is not its leaf");
            return contradiction("acknowledgement_of_another_leaf", message);
        }
        let leaf_index = LeafIndex(told.leaf_index);
        if let Some(before) = self.head.filter(|before| leaf_index <= before.leaf_index) {
            let message = format!(
                "it says that event {sequence} stands at index {leaf_index}, but an earlier one stands at {}",
                before.leaf_index
            );
            return contradiction("acknowledgement_out_of_order", message);
        }
        let head = next.head;
        self.head = Some(AcknowledgedHead { leaf_index, leaf_hash });
        self.acknowledge_next(
            head,
            Some(Place { leaf_index, recorded_at_ns: told.recorded_at_ns }),
        );
        Ok(())
    }

    fn acknowledge_next(&mut self, head: ChainHead, place: Option<Place>) {
        self.last = Some(head);
        self.events = self.events.saturating_sub(1);
        let Some(group) = self.groups.front_mut() else { return };
        if let Some(event) = group.events.pop_front() {
            let receipt = Receipt { event_id: event.event_id, sequence: head.sequence, place };
            group.receipts.push(receipt);
        }
        if group.events.is_empty()
            && let Some(group) = self.groups.pop_front()
            && let Some(reply) = group.reply
        {
            // A caller that stopped waiting has been told so.
            reply.send(Ok(group.receipts)).unwrap_or_default();
        }
    }

    /// Answers everybody who still waits.
    pub(crate) fn fail(&mut self, error: &RecordError) {
        for group in self.groups.drain(..) {
            if let Some(reply) = group.reply {
                reply.send(Err(error.clone())).unwrap_or_default();
            }
        }
        self.events = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chain;
    use crate::draft::Draft;
    use std::sync::Arc;

    use bytes::Bytes;
    use proto::ids::Id;
    use proto::kind::Kind;
    use proto::v1::{ChainHead as WireHead, RecorderStopped};
    use tlog::SigningKey;

    fn three() -> (Unacknowledged, Vec<Numbered>) {
        let key = Arc::new(SigningKey::from_seed("r", [1; 32]).unwrap());
        let mut chain = Chain::new(key, "o".into(), Id([1; 16]));
        let draft = || Draft::new(Kind::RecorderStopped(RecorderStopped { drained: true }));
        let events = chain.number(vec![draft(), draft(), draft()]).unwrap();
        let mut waiting = Unacknowledged::default();
        waiting.push(events.clone(), None, None);
        (waiting, events)
    }

    fn told(event: &Numbered, index: u64) -> Acknowledgement {
        let leaf = leaf_hash(&proto::encode_entry(5, &event.new.event));
        Acknowledgement {
            sequence: event.head.sequence,
            leaf_index: index,
            recorded_at_ns: 5,
            leaf_hash: Bytes::copy_from_slice(&leaf.0),
        }
    }

    fn opened(event: Option<&Numbered>) -> Opened {
        let head = event.map(|event| WireHead {
            sequence: event.head.sequence,
            hash: Bytes::copy_from_slice(&event.head.hash),
            ..WireHead::default()
        });
        Opened { head, previous: None }
    }

    #[test]
    fn acknowledged_in_order_and_only_as_sent() {
        let (mut waiting, events) = three();
        assert_eq!(
            waiting.acknowledge(&told(&events[1], 0)).unwrap_err().code,
            "acknowledgement_unexpected"
        );
        waiting.acknowledge(&told(&events[0], 7)).unwrap();
        assert_eq!(waiting.head().unwrap().leaf_index, LeafIndex(7));
        let other = Acknowledgement { recorded_at_ns: 6, ..told(&events[1], 8) };
        assert_eq!(
            waiting.acknowledge(&other).unwrap_err().code,
            "acknowledgement_of_another_leaf"
        );
        assert_eq!(waiting.len(), 2);
    }

    #[test]
    fn an_acknowledgement_without_proof_is_a_contradiction() {
        let (mut waiting, events) = three();
        let mut code = |told| waiting.acknowledge(&told).unwrap_err().code;
        // Nothing to hold the log to.
        let bare = Acknowledgement { leaf_hash: Bytes::new(), ..told(&events[0], 7) };
        assert_eq!(code(bare), "acknowledgement_of_another_leaf");
        waiting.acknowledge(&told(&events[0], 7)).unwrap();
        let mut code = |told| waiting.acknowledge(&told).unwrap_err().code;
        assert_eq!(code(told(&events[0], 7)), "acknowledgement_unexpected");
        // A place that is known to be published already would never be asked about.
        for old in [6, 7] {
            assert_eq!(code(told(&events[1], old)), "acknowledgement_out_of_order");
        }
        assert_eq!(waiting.len(), 2);
        waiting.acknowledge(&told(&events[1], 8)).unwrap();
    }

    #[test]
    fn a_new_stream_resends_what_the_ledger_lacks() {
        let (mut waiting, events) = three();
        assert_eq!(waiting.reconcile(&opened(Some(&events[1]))), Ok(2));
        assert_eq!(waiting.resend(), [events[2].new.clone()]);
    }

    #[test]
    fn a_ledger_that_lost_or_changed_events_is_found_out() {
        let (mut waiting, events) = three();
        waiting.acknowledge(&told(&events[0], 0)).unwrap();
        waiting.acknowledge(&told(&events[1], 1)).unwrap();
        for behind in [None, Some(&events[0])] {
            assert_eq!(waiting.reconcile(&opened(behind)).unwrap_err().code, "ledger_lost_events");
        }
        let mut forged = events[2].clone();
        forged.head.hash = [0; 32];
        assert_eq!(
            waiting.reconcile(&opened(Some(&forged))).unwrap_err().code,
            "ledger_head_differs"
        );
        let (mut waiting, mut events) = three();
        events[2].head.sequence = 9;
        assert_eq!(waiting.reconcile(&opened(Some(&events[2]))).unwrap_err().code, "ledger_ahead");
    }
}
