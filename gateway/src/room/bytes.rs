//! How many bytes of callers' messages are held at once: from the first byte read until a server has the message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::session::Owner;

/// How long a message waits for others to be done with.
const QUEUE_WAIT: Duration = Duration::from_secs(2);

/// All the room there is.
#[derive(Debug)]
pub(crate) struct Budget {
    room: Arc<Semaphore>,
    /// Most that one caller may hold.
    share_bytes: usize,
    held: Arc<Mutex<HashMap<Owner, usize>>>,
}

/// What one message holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    caller: Owner,
    size_bytes: usize,
    room: Option<OwnedSemaphorePermit>,
    held: Arc<Mutex<HashMap<Owner, usize>>>,
}

/// There is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// Others hold it all.
    #[error(
        "the messages that are being read hold all the memory there is for them: try again later"
    )]
    Now,
    /// The caller holds its share.
    #[error(
        "your messages that are being read hold the {0} bytes that one caller may have: send fewer at once"
    )]
    OfCaller(usize),
}

impl Budget {
    /// Room for `all_bytes`, a quarter of it for one caller, and at least for one message.
    pub(crate) fn new(all_bytes: usize) -> Budget {
        let all_bytes = all_bytes.clamp(proto::MAX_MESSAGE_BYTES, Semaphore::MAX_PERMITS);
        let share_bytes = (all_bytes / 4).max(proto::MAX_MESSAGE_BYTES);
        Budget { room: Arc::new(Semaphore::new(all_bytes)), share_bytes, held: Arc::default() }
    }

    /// A message of which nothing is read yet.
    pub(crate) fn claim(&self, caller: Owner) -> Claim {
        Claim { caller, size_bytes: 0, room: None, held: Arc::clone(&self.held) }
    }

    /// Makes room for more of a message.
    pub(crate) async fn grow(&self, claim: &mut Claim, by_bytes: usize) -> Result<(), NoRoom> {
        let count = u32::try_from(by_bytes).map_err(|_| NoRoom::OfCaller(self.share_bytes))?;
        {
            let mut held = lock(&self.held);
            let mine = held.entry(claim.caller).or_default();
            if mine.saturating_add(by_bytes) > self.share_bytes {
                if *mine == 0 {
                    held.remove(&claim.caller);
                }
                return Err(NoRoom::OfCaller(self.share_bytes));
            }
            *mine += by_bytes;
            claim.size_bytes += by_bytes;
        }
        let more = timeout(QUEUE_WAIT, Arc::clone(&self.room).acquire_many_owned(count)).await;
        let Ok(Ok(more)) = more else { return Err(NoRoom::Now) };
        match &mut claim.room {
            Some(room) => room.merge(more),
            None => claim.room = Some(more),
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(mine) = held.get_mut(&self.caller) {
            *mine = mine.saturating_sub(self.size_bytes);
            if *mine == 0 {
                held.remove(&self.caller);
            }
        }
    }
}

fn lock(held: &Mutex<HashMap<Owner, usize>>) -> MutexGuard<'_, HashMap<Owner, usize>> {
    // No step between two changes can panic.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: usize = proto::MAX_MESSAGE_BYTES;

    async fn take(budget: &Budget, caller: u8, bytes: usize) -> Result<Claim, NoRoom> {
        let mut claim = budget.claim(Owner::for_tests(caller));
        budget.grow(&mut claim, bytes).await.map(|()| claim)
    }

    #[tokio::test(start_paused = true)]
    async fn all_messages_together_have_a_bound_and_so_have_one_callers() {
        let budget = Budget::new(2 * MESSAGE);
        let first = take(&budget, 1, MESSAGE).await.unwrap();
        assert_eq!(take(&budget, 1, 1).await.unwrap_err(), NoRoom::OfCaller(MESSAGE));
        let second = take(&budget, 2, MESSAGE - 1).await.unwrap();
        let third = take(&budget, 3, 1).await.unwrap();
        assert_eq!(take(&budget, 4, 1).await.unwrap_err(), NoRoom::Now);
        drop(first);
        let again = take(&budget, 1, MESSAGE).await.unwrap();
        drop((second, third, again));
        assert_eq!(budget.room.available_permits(), 2 * MESSAGE);
        assert!(lock(&budget.held).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_a_little_for_others() {
        let budget = Budget::new(MESSAGE);
        let first = take(&budget, 1, MESSAGE).await.unwrap();
        let waiting = take(&budget, 2, 5);
        let leaving = async {
            tokio::time::sleep(QUEUE_WAIT / 2).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(waiting, leaving);
        assert_eq!(waited.unwrap().size_bytes, 5);
    }
}
