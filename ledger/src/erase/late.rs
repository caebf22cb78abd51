//! What comes in an exchange after its closing event, by exchange: one pass over the log since the start, which goes on
//! where it was.
//!
//! Retention counts from the last event of an exchange. Most exchanges end with their closing event; of the few in which a
//! stream went on after it, the place of the newest event is remembered here, so that nobody has to search the log for it.

use std::collections::{HashMap, HashSet};

use proto::decode_entry;
use proto::kind::{Kind, closes_exchange, request_event_id};
use tlog::LeafIndex;

use crate::store::{Store, StoreError};
use crate::vault::{self, KeyId};

/// Entries read at once, and about how many bytes of them.
const ENTRIES_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 4 << 20;

/// What came late, and what is open.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Leaves before this were looked at.
    next: u64,
    open: HashSet<KeyId>,
    /// The newest leaf of each exchange that went on after its closing event.
    late: HashMap<KeyId, u64>,
}

impl Late {
    /// Looks at the next leaves, `most` of them at most; whether that was all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn look(&mut self, store: &dyn Store, most: u64) -> Result<bool, StoreError> {
        let size = store.head()?.map_or(0, |head| head.size.0);
        let end = size.min(self.next.saturating_add(most));
        while self.next < end {
            let count = usize::try_from(end - self.next).unwrap_or(ENTRIES_AT_ONCE);
            let count = count.min(ENTRIES_AT_ONCE);
            let entries = store.entries(LeafIndex(self.next), count, BYTES_AT_ONCE)?;
            if entries.is_empty() {
                return Err(StoreError::Damaged(format!("entry {} is missing", self.next)));
            }
            for entry in entries {
                let leaf = decode_entry(&entry).map_err(|error| {
                    StoreError::Damaged(format!("entry {}: {error}", self.next))
                })?;
                if !leaf.event.exchange_id.is_empty()
                    && let Some(kind) = &leaf.event.kind
                {
                    self.see(self.next, vault::key_id(&leaf.event), kind);
                }
                self.next += 1;
            }
        }
        Ok(self.next >= size)
    }

    fn see(&mut self, index: u64, exchange: KeyId, kind: &Kind) {
        let is_late = if matches!(kind, Kind::RequestReceived(_)) {
            !self.open.insert(exchange)
        } else if closes_exchange(kind) {
            // One that was refused before it could be decided closes alone.
            !self.open.remove(&exchange) && request_event_id(kind).is_some()
        } else {
            !self.open.contains(&exchange)
        };
        if is_late {
            self.late.insert(exchange, index);
        }
    }

    /// Whether anything of a closed exchange stands at or behind a leaf.
    pub(super) fn reaches(&self, exchange: &KeyId, index: u64) -> bool {
        self.late.get(exchange).is_some_and(|newest| *newest >= index)
    }

    /// Nobody asks for leaves before this any more.
    pub(super) fn forget_before(&mut self, index: u64) {
        self.late.retain(|_, newest| *newest >= index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{CallDenied, RequestReceived, ResponseReturned, StreamMessage};

    #[test]
    fn only_what_comes_after_the_closing_event_is_late() {
        let mut late = Late::default();
        let asked = Kind::RequestReceived(RequestReceived::default());
        let message = Kind::StreamMessage(StreamMessage::default());
        let request_event_id = vec![1; 16].into();
        let answered =
            Kind::ResponseReturned(ResponseReturned { request_event_id, ..Default::default() });
        let refused = Kind::CallDenied(CallDenied::default());
        let (one, two, three) = ([1; 16], [2; 16], [3; 16]);
        for (index, exchange, kind) in [
            (0, one, &asked),
            (1, two, &asked),
            (2, one, &message),
            (3, one, &answered),
            (4, three, &refused),
            (5, one, &message),
            (6, two, &message),
            (7, one, &message),
            (8, two, &answered),
        ] {
            late.see(index, exchange, kind);
        }
        assert!(late.reaches(&one, 7) && !late.reaches(&one, 8));
        assert!(!late.reaches(&two, 0) && !late.reaches(&three, 0));
        // A second closing event is as late as anything.
        late.see(9, two, &answered);
        assert!(late.reaches(&two, 9));
        late.forget_before(8);
        assert!(!late.reaches(&one, 0) && late.reaches(&two, 9));
    }
}
