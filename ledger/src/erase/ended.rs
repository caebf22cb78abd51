//! Whether an exchange that has no closing event can get one still.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use proto::decode_entry;
use proto::ids::Id;
use proto::kind::Kind;
use tlog::LeafIndex;

use super::Erasures;
use super::unit::Unit;
use crate::store::{Store, StoreError};

/// Entries that are read at once on the way back from a seal to what it seals.
const AT_ONCE: u64 = 256;
/// Heads of which is remembered whether they are a stop.
const MAX_REMEMBERED: usize = 10_000;

/// Which heads of epochs are a stop, or the seal over one: how far apart the two stand is up to what others record in
/// between, so that each is looked for once.
#[derive(Debug, Default)]
pub(super) struct Stops(Mutex<HashMap<u64, bool>>);

impl Stops {
    fn are_at(&self, store: &dyn Store, head: LeafIndex, epoch: Id) -> Result<bool, StoreError> {
        let remembered = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered().get(&head.0) {
            return Ok(*known);
        }
        let has_stopped = has_stopped(store, head, epoch)?;
        let mut remembered = remembered();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(head.0, has_stopped);
        Ok(has_stopped)
    }
}

/// Epochs that have ended, as far as was asked.
pub(super) struct Ended<'a> {
    erasures: &'a Erasures,
    known: HashMap<(String, Id), bool>,
}

impl<'a> Ended<'a> {
    pub(super) fn of(erasures: &'a Erasures) -> Self {
        Self { erasures, known: HashMap::new() }
    }

    /// Whether the epoch of a unit has ended: no stream of it is open, and its recorder stopped, began a later one, is suspended,
    /// or is registered no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn has(&mut self, unit: &Unit) -> Result<bool, StoreError> {
        let Some(epoch) = unit.epoch else { return Ok(true) };
        let place = (unit.recorder_id.clone(), epoch);
        if let Some(known) = self.known.get(&place) {
            return Ok(*known);
        }
        let has_ended = self.look(&unit.recorder_id, epoch)?;
        self.known.insert(place, has_ended);
        Ok(has_ended)
    }

    fn look(&self, recorder_id: &str, epoch: Id) -> Result<bool, StoreError> {
        let registry = &self.erasures.registry;
        if registry.is_streaming(recorder_id, epoch) {
            return Ok(false);
        }
        let may_append = registry.is_registered(recorder_id) && !registry.is_suspended(recorder_id);
        if !may_append || registry.newest_epoch(recorder_id) != Some(epoch) {
            return Ok(true);
        }
        match registry.head_of(recorder_id, epoch) {
            Some(head) => self.erasures.stops.are_at(&*self.erasures.store, head, epoch),
            None => Ok(false),
        }
    }
}

/// Whether the event at the head of an epoch is its stop, or the seal over that, wherever the stop stands.
fn has_stopped(store: &dyn Store, head: LeafIndex, epoch: Id) -> Result<bool, StoreError> {
    let at_head = of_epoch(store, head.0, head.0 + 1, epoch)?.pop();
    let sealed = match at_head {
        Some((_, Kind::RecorderStopped(_))) => return Ok(true),
        Some((_, Kind::RecorderSeal(seal))) => seal.sequence,
        _ => return Ok(false),
    };
    let mut end = head.0;
    while end > 0 {
        let start = end.saturating_sub(AT_ONCE);
        for (sequence, kind) in of_epoch(store, start, end, epoch)?.into_iter().rev() {
            if sequence <= sealed {
                return Ok(sequence == sealed && matches!(kind, Kind::RecorderStopped(_)));
            }
        }
        end = start;
    }
    Ok(false)
}

/// Numbers and kinds of the events of this epoch among some entries, in their order.
fn of_epoch(
    store: &dyn Store,
    start: u64,
    end: u64,
    epoch: Id,
) -> Result<Vec<(u64, Kind)>, StoreError> {
    let count = usize::try_from(end - start).unwrap_or(usize::MAX);
    let entries = store.entries(LeafIndex(start), count, usize::MAX)?;
    if entries.len() < count {
        let missing = start + entries.len() as u64;
        return Err(StoreError::Damaged(format!("entry {missing} is missing")));
    }
    let mut found = Vec::new();
    for (index, entry) in (start..).zip(&entries) {
        let leaf = decode_entry(entry)
            .map_err(|error| StoreError::Damaged(format!("entry {index}: {error}")))?;
        let recorder = leaf.event.recorder.unwrap_or_default();
        if recorder.epoch == epoch.0[..] {
            found.extend(leaf.event.kind.map(|kind| (recorder.sequence, kind)));
        }
    }
    Ok(found)
}
