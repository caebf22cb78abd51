//! Streams of entries that are open at once: a bound in all, and one for each reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many each reader has.
pub(crate) struct Subscriptions {
    most: usize,
    open: Mutex<HashMap<String, usize>>,
}

/// A place, until it is dropped.
pub(in crate::door) struct Place {
    places: Arc<Subscriptions>,
    reader: String,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::door) enum Full {
    /// All are taken.
    InAll,
    /// This reader has its share.
    OfReader,
}

impl Subscriptions {
    pub(crate) fn new(most: u32) -> Self {
        Self { most: most as usize, open: Mutex::default() }
    }

    /// A place for a reader.
    pub(in crate::door) fn take(self: &Arc<Self>, reader: String) -> Result<Place, Full> {
        let mut open = self.open();
        if open.values().sum::<usize>() >= self.most {
            return Err(Full::InAll);
        }
        let of_reader = open.get(&reader).copied().unwrap_or_default();
        if of_reader >= (self.most / 4).max(1) {
            return Err(Full::OfReader);
        }
        open.insert(reader.clone(), of_reader + 1);
        drop(open);
        Ok(Place { places: Arc::clone(self), reader })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.open();
        match open.get_mut(&self.reader) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.reader)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reader_leaves_room_for_others() {
        let places = Arc::new(Subscriptions::new(8));
        let take = |reader: &str| places.take(reader.to_owned());
        let mut held = vec![take("a").ok().unwrap(), take("a").ok().unwrap()];
        assert_eq!(take("a").err(), Some(Full::OfReader));
        for reader in ["b", "b", "c", "c", "d", "d"] {
            held.push(take(reader).ok().unwrap());
        }
        assert_eq!(take("e").err(), Some(Full::InAll));
        drop(held.remove(0));
        held.push(take("a").ok().unwrap());
        drop(held);
        assert!(places.open().is_empty());
    }
}
