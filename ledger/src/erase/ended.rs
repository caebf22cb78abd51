//! Whether an exchange that has no closing event can get one still.

use std::collections::HashMap;

use proto::decode_entry;
use proto::ids::Id;
use proto::kind::Kind;
use tlog::LeafIndex;

use super::Erasures;
use super::unit::Unit;
use crate::store::{Store, StoreError};

/// Entries before a seal among which the stop stands that it seals.
const SEARCHED: u64 = 1_024;

/// Epochs that have ended, as far as was asked.
pub(super) struct Ended<'a> {
    erasures: &'a Erasures,
    known: HashMap<(String, Id), bool>,
}

impl<'a> Ended<'a> {
    pub(super) fn of(erasures: &'a Erasures) -> Self {
        Self { erasures, known: HashMap::new() }
    }

    /// Whether the epoch of a unit has ended: no stream of it is open, and its recorder stopped, began a later one, or is
    /// registered no more.
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
        let is_newest = registry.newest_epoch(recorder_id) == Some(epoch);
        if !registry.is_registered(recorder_id) || !is_newest {
            return Ok(true);
        }
        match registry.head_of(recorder_id, epoch) {
            Some(head) => has_stopped(&*self.erasures.store, head, epoch),
            None => Ok(false),
        }
    }
}

/// Whether the event at the head of an epoch is its stop, or the seal over that.
fn has_stopped(store: &dyn Store, head: LeafIndex, epoch: Id) -> Result<bool, StoreError> {
    let sealed = match event_at(store, head.0, epoch)? {
        Some((_, Kind::RecorderStopped(_))) => return Ok(true),
        Some((_, Kind::RecorderSeal(seal))) => seal.sequence,
        _ => return Ok(false),
    };
    for index in (head.0.saturating_sub(SEARCHED)..head.0).rev() {
        match event_at(store, index, epoch)? {
            Some((sequence, kind)) if sequence == sealed => {
                return Ok(matches!(kind, Kind::RecorderStopped(_)));
            }
            _ => {}
        }
    }
    Ok(false)
}

/// Number and kind of an event, if it is of this epoch.
fn event_at(store: &dyn Store, index: u64, epoch: Id) -> Result<Option<(u64, Kind)>, StoreError> {
    let entry = store.entries(LeafIndex(index), 1, 0)?;
    let Some(Ok(leaf)) = entry.first().map(decode_entry) else {
        return Err(StoreError::Damaged(format!("entry {index} cannot be read")));
    };
    let recorder = leaf.event.recorder.unwrap_or_default();
    let is_here = recorder.epoch == epoch.0[..];
    Ok(leaf.event.kind.filter(|_| is_here).map(|kind| (recorder.sequence, kind)))
}
