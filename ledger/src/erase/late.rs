//! What comes in an exchange after its closing event, by exchange: one pass over the log since the start, which goes on
//! where it was.
//!
//! Retention counts from the last event of an exchange. Most exchanges end with their closing event; of the few in which a
//! stream went on after it, the place of the newest event is remembered here, so that nobody has to search the log for it.
//!
//! What is not known here is not sealed under the key of a closed exchange, up to where was looked: retention destroys keys by
//! that word. It holds because the intake takes no event that begins an exchange once something was disclosed in it
//! (`vault/sealer.rs`). So behind the closing event nothing looks like another beginning, and all that comes there is late.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use proto::decode_entry;
use proto::kind::{Kind, closes_exchange, is_alone};
use tlog::LeafIndex;

use crate::store::{Store, StoreError};
use crate::vault::{self, KeyId};

/// Entries read at once, and about how many bytes of them.
const ENTRIES_AT_ONCE: usize = 1_024;
const BYTES_AT_ONCE: usize = 4 << 20;

/// Open exchanges that are remembered: some ten MiB. Most never close because their gateway ended. Of one that is forgotten
/// every further event counts as late, its closing event, too, so that it is kept the longer.
const MAX_OPEN: usize = 500_000;
/// Exchanges that went on, of which the newest leaf is remembered exactly: about 50 MiB.
const MAX_LATE: usize = 1_000_000;
/// Of the others only the newest leaf of all those is, that share so many bits of their key: 8 MiB. They are kept the longer.
const SHARED_BITS: u32 = 20;

/// What came late, and what is open.
#[derive(Debug)]
pub(super) struct Late {
    /// Leaves before this were looked at.
    next: u64,
    open: HashSet<KeyId>,
    /// The newest leaf of each exchange that went on after its closing event.
    late: HashMap<KeyId, u64>,
    /// Of those for which there was no room: the newest leaf + 1 of all that share some bits, or 0.
    shared: Vec<u64>,
    max_open: usize,
    max_late: usize,
}

impl Default for Late {
    fn default() -> Self {
        Self::bounded(MAX_OPEN, MAX_LATE)
    }
}

impl Late {
    fn bounded(max_open: usize, max_late: usize) -> Self {
        let (open, late, shared) = (HashSet::new(), HashMap::new(), Vec::new());
        Self { next: 0, open, late, shared, max_open, max_late }
    }

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
            self.opens(exchange)
        } else if is_alone(kind) {
            self.open.remove(&exchange);
            false
        } else if closes_exchange(kind) {
            !self.open.remove(&exchange)
        } else {
            !self.open.contains(&exchange)
        };
        if is_late {
            self.goes_on(exchange, index);
        }
    }

    /// Whether it was open already.
    fn opens(&mut self, exchange: KeyId) -> bool {
        if self.open.len() >= self.max_open && !self.open.contains(&exchange) {
            self.open.clear();
        }
        !self.open.insert(exchange)
    }

    fn goes_on(&mut self, exchange: KeyId, index: u64) {
        let has_room = self.late.len() < self.max_late;
        match self.late.entry(exchange) {
            Entry::Occupied(mut newest) => _ = newest.insert(index),
            Entry::Vacant(place) if has_room => _ = place.insert(index),
            Entry::Vacant(_) => {
                self.shared.resize(1 << SHARED_BITS, 0);
                self.shared[shared_at(&exchange)] = index + 1;
            }
        }
    }

    /// Leaves before this were looked at.
    pub(super) fn looked_to(&self) -> u64 {
        self.next
    }

    /// Whether anything of a closed exchange stands at or behind a leaf, or may.
    pub(super) fn reaches(&self, exchange: &KeyId, index: u64) -> bool {
        let shared = self.shared.get(shared_at(exchange)).is_some_and(|newest| *newest > index);
        shared || self.late.get(exchange).is_some_and(|newest| *newest >= index)
    }

    /// Nobody asks for leaves before this any more.
    pub(super) fn forget_before(&mut self, index: u64) {
        self.late.retain(|_, newest| *newest >= index);
        if self.shared.iter().all(|newest| *newest <= index) {
            self.shared = Vec::new();
        }
    }
}

/// Ids of keys are hashes.
fn shared_at(exchange: &KeyId) -> usize {
    let bits = exchange.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
    usize::try_from(bits >> (u32::BITS - SHARED_BITS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{
        AuthenticationFailed, CallDenied, RequestReceived, ResponseReturned, StreamMessage,
    };

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

    /// Whatever is first in an exchange, what follows its end is late. Break it: let `see` ask a closing event for its request
    /// before it calls it late, or leave open what `is_alone` closes.
    #[test]
    fn nothing_that_follows_an_end_is_taken_for_a_part_of_it() {
        let asked = Kind::RequestReceived(RequestReceived::default());
        let message = Kind::StreamMessage(StreamMessage::default());
        let nameless = Kind::ResponseReturned(ResponseReturned::default());
        let refused = Kind::CallDenied(CallDenied::default());
        let knocked = Kind::AuthenticationFailed(AuthenticationFailed::default());
        for before in [
            vec![&asked, &nameless],
            vec![&nameless],
            vec![&refused],
            vec![&knocked],
            // A request that discloses nothing, which the intake lets the rest follow.
            vec![&asked, &refused],
            vec![&asked, &knocked],
        ] {
            for after in [&message, &nameless] {
                let mut late = Late::default();
                before.iter().zip(0..).for_each(|(kind, index)| late.see(index, [1; 16], kind));
                assert!(!late.reaches(&[1; 16], 1), "{before:?}");
                late.see(9, [1; 16], after);
                assert!(late.reaches(&[1; 16], 9), "{after:?} after {before:?}");
            }
        }
    }

    /// Break it: let `opens` and `goes_on` go without their bounds, or `goes_on` drop what has no room.
    #[test]
    fn what_has_no_room_is_kept_the_longer() {
        let mut late = Late::bounded(4, 4);
        let asked = Kind::RequestReceived(RequestReceived::default());
        let message = Kind::StreamMessage(StreamMessage::default());
        for number in 0..100 {
            late.see(u64::from(number), [number; 16], &asked);
            assert!(late.open.len() <= 4);
        }
        for number in 0..100 {
            late.see(200 + u64::from(number), [number; 16], &message);
            assert!(late.late.len() <= 4);
        }
        // Nothing is said to be over sooner, whether it was forgotten or shares its place. (The last four are open still.)
        assert!((0..96).all(|number| late.reaches(&[number; 16], 200 + u64::from(number))));
        late.forget_before(400);
        assert!(late.shared.is_empty() && !late.reaches(&[0; 16], 0));
    }
}
