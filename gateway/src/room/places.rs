//! How many exchanges may be open: in all, of one caller, and as streams on which a server speaks when it likes.
//!
//! Such listening streams stay open for as long as a caller likes, so part of the places is kept for calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::session::Owner;

/// Most exchanges that may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Most {
    pub(crate) open: usize,
    pub(crate) open_of_caller: usize,
    pub(crate) listening: usize,
    pub(crate) listening_of_caller: usize,
}

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    most: Most,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: Count,
    callers: HashMap<Owner, Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    open: usize,
    listening: usize,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    caller: OnceLock<Owner>,
    listens: OnceLock<()>,
}

/// There is no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// For anybody.
    #[error("too many exchanges are open at once: nothing was forwarded, try again later")]
    Open,
    /// For this caller.
    #[error(
        "{0} exchanges of yours are open, and one caller may have no more: nothing was forwarded, let one of them end"
    )]
    OpenOfCaller(usize),
    /// For anybody who listens.
    #[error("too many listening streams are open at once: try again later")]
    Listening,
    /// For this caller to listen.
    #[error(
        "{0} listening streams of yours are open, and one caller may have no more: close one of them"
    )]
    ListeningOfCaller(usize),
}

impl Full {
    /// The caller itself has taken all that is its.
    pub(crate) fn is_of_caller(&self) -> bool {
        matches!(self, Full::OpenOfCaller(_) | Full::ListeningOfCaller(_))
    }
}

impl Places {
    pub(crate) fn new(most: Most) -> Places {
        Places { most, taken: Arc::default() }
    }

    /// A place for a caller that is not known yet.
    pub(crate) fn enter(&self) -> Result<Place, Full> {
        let mut taken = lock(&self.taken);
        if taken.all.open >= self.most.open {
            return Err(Full::Open);
        }
        taken.all.open += 1;
        let taken = Arc::clone(&self.taken);
        Ok(Place { taken, caller: OnceLock::new(), listens: OnceLock::new() })
    }

    /// Whose place it is.
    pub(crate) fn belongs(&self, place: &Place, caller: Owner) -> Result<(), Full> {
        let mut taken = lock(&self.taken);
        let count = taken.callers.entry(caller).or_default();
        if count.open >= self.most.open_of_caller {
            return Err(Full::OpenOfCaller(self.most.open_of_caller));
        }
        if place.caller.set(caller).is_ok() {
            count.open += 1;
        }
        Ok(())
    }

    /// From now on it is a listening stream's.
    pub(crate) fn listens(&self, place: &Place) -> Result<(), Full> {
        let mut taken = lock(&self.taken);
        if taken.all.listening >= self.most.listening {
            return Err(Full::Listening);
        }
        let caller = place.caller.get();
        let of_caller = caller.and_then(|caller| taken.callers.get(caller));
        if of_caller.is_some_and(|count| count.listening >= self.most.listening_of_caller) {
            return Err(Full::ListeningOfCaller(self.most.listening_of_caller));
        }
        if place.listens.set(()).is_ok() {
            taken.all.listening += 1;
            if let Some(count) = caller.and_then(|caller| taken.callers.get_mut(caller)) {
                count.listening += 1;
            }
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let listening = usize::from(self.listens.get().is_some());
        let mut taken = lock(&self.taken);
        taken.all.leave(listening);
        let Some(caller) = self.caller.get() else { return };
        if let Some(count) = taken.callers.get_mut(caller) {
            count.leave(listening);
            if count.open == 0 {
                taken.callers.remove(caller);
            }
        }
    }
}

impl Count {
    fn leave(&mut self, listening: usize) {
        self.open = self.open.saturating_sub(1);
        self.listening = self.listening.saturating_sub(listening);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // No step between two changes can panic.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { open: 8, open_of_caller: 4, listening: 3, listening_of_caller: 2 };

    fn caller(number: u8) -> Owner {
        Owner::for_tests(number)
    }

    fn open(places: &Places, number: u8) -> Result<Place, Full> {
        let place = places.enter()?;
        places.belongs(&place, caller(number)).map(|()| place)
    }

    fn listen(places: &Places, number: u8) -> Result<Place, Full> {
        let place = open(places, number)?;
        places.listens(&place).map(|()| place)
    }

    #[test]
    fn one_caller_leaves_places_to_others() {
        let places = Places::new(MOST);
        let held: Vec<Place> = (0..4).map(|_| open(&places, 1).unwrap()).collect();
        assert_eq!(open(&places, 1).unwrap_err(), Full::OpenOfCaller(4));
        let others: Vec<Place> = (2..6).map(|number| open(&places, number).unwrap()).collect();
        assert_eq!(open(&places, 6).unwrap_err(), Full::Open);
        drop(held);
        assert!(open(&places, 1).is_ok());
        drop(others);
        assert!(lock(&places.taken).callers.is_empty());
        assert_eq!(lock(&places.taken).all.open, 0);
    }

    #[test]
    fn listeners_leave_places_to_calls() {
        let places = Places::new(MOST);
        let mine: Vec<Place> = (0..2).map(|_| listen(&places, 1).unwrap()).collect();
        assert_eq!(listen(&places, 1).unwrap_err(), Full::ListeningOfCaller(2));
        let _another = listen(&places, 2).unwrap();
        assert_eq!(listen(&places, 3).unwrap_err(), Full::Listening);
        let _calls = [open(&places, 1).unwrap(), open(&places, 3).unwrap()];
        drop(mine);
        let again: Vec<Place> = (0..2).map(|_| listen(&places, 1).unwrap()).collect();
        assert_eq!(again.len(), 2);
    }
}
