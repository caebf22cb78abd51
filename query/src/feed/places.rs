//! Places of feed requests that wait or stream: so many for all, and of those a share for each principal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::Principal;

use crate::door::error::DoorError;

/// One principal may hold one of so many places; at least one.
const SHARE: usize = 4;

/// Hands out places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    limit: usize,
    held: Arc<Mutex<HashMap<Holder, usize>>>,
}

/// Issuer and subject.
type Holder = (String, String);

/// Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    holder: Holder,
}

impl Places {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// # Errors
    /// 429 when all places are taken, or this principal holds its share.
    pub(crate) fn take(&self, principal: &Principal) -> Result<Place, DoorError> {
        let holder = (principal.issuer.clone(), principal.subject.clone());
        let share = self.limit.div_ceil(SHARE);
        let mut held = self.held();
        if held.values().sum::<usize>() >= self.limit {
            let message = format!(
                "all {} places of feed requests that wait or stream are taken: try again",
                self.limit
            );
            return Err(DoorError::busy("feed_busy", &message));
        }
        let own = held.entry(holder.clone()).or_default();
        if *own >= share {
            let message = format!(
                "{own} feed requests of yours wait or stream, one caller may have {share}: end one, or wait for it"
            );
            return Err(DoorError::busy("feed_share_taken", &message));
        }
        *own += 1;
        drop(held);
        Ok(Place { places: self.clone(), holder })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Holder, usize>> {
        // Nothing panics while the lock is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(own) = held.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.holder);
            }
        }
    }
}
