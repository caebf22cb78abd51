//! A map of bounded size that forgets what was not asked for in a while.

use std::collections::HashMap;
use std::hash::Hash;

/// Two generations: what is asked for moves to the young one; when that is full, the old one is forgotten.
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Most values of a generation.
    bound: usize,
    /// Values that may not be forgotten yet. They pass the bound.
    must_stay: fn(&mut V) -> bool,
    has_forgotten: bool,
}

impl<K: Eq + Hash + Copy, V> Recent<K, V> {
    pub(crate) fn new(bound: usize) -> Self {
        Self::with_stay(bound, |_| false)
    }

    pub(crate) fn with_stay(bound: usize, must_stay: fn(&mut V) -> bool) -> Self {
        let bound = bound / 2;
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { young, old, bound, must_stay, has_forgotten: false }
    }

    pub(crate) fn find(&mut self, key: &K) -> Option<&V> {
        if let Some(value) = self.old.remove(key) {
            self.insert(*key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.bound {
            let mut leaving = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            let before = leaving.len();
            leaving.retain(|_, value| (self.must_stay)(value));
            self.has_forgotten |= leaving.len() < before;
            self.old.extend(leaving);
        }
        self.young.insert(key, value);
    }

    /// Whether anything that was put in is gone.
    pub(crate) fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_nobody_asks_for() {
        let mut recent = Recent::new(8);
        for number in 0..100 {
            recent.insert(number, number);
            assert_eq!(recent.find(&0), Some(&0), "after {number}");
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.find(&99), Some(&99));
        assert_eq!(recent.find(&50), None);
        assert!(recent.has_forgotten());
    }

    #[test]
    fn keeps_what_must_stay() {
        let mut recent = Recent::with_stay(4, |value| *value % 10 == 0);
        (0..100).for_each(|number| recent.insert(number, number));
        assert!((0..100).step_by(10).all(|number| recent.find(&number).is_some()));
        assert_eq!(recent.find(&51), None);
    }
}
