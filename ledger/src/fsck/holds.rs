//! Legal holds against the events that place and release them, and what an erasure left to purge.

use std::collections::BTreeMap;

use proto::ids::Id;
use proto::kind::Kind;
use tlog::LeafIndex;

use super::{FsckReport, place};
use crate::store::keyspace::{HOLD_PREFIX, PURGE_KEY, parse_hold, parse_purge};

/// The records of the family `meta` beside the tree head.
#[derive(Debug, Default)]
pub(super) struct Holds {
    stored: BTreeMap<Id, LeafIndex>,
    placed: BTreeMap<Id, LeafIndex>,
}

impl Holds {
    /// Takes a stored record; `false` when it is neither a hold nor what is left to purge.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8], report: &mut FsckReport) -> bool {
        if key == PURGE_KEY {
            report.purge_pending = true;
            if let Err(error) = parse_purge(value) {
                report.find("purge_damaged", place::PURGE, error);
            }
            return true;
        }
        if !key.starts_with(HOLD_PREFIX) {
            return false;
        }
        match parse_hold(key, value) {
            Some((id, index)) => _ = self.stored.insert(id, index),
            None => {
                report.find("hold_damaged", place::record("meta", key), "does not have its form");
            }
        }
        true
    }

    /// Follows the events; leaves come in order.
    pub(super) fn follow(&mut self, index: u64, kind: Option<&Kind>) {
        match kind {
            Some(Kind::HoldPlaced(hold)) => {
                if let Some(id) = Id::from_slice(&hold.hold_id) {
                    self.placed.insert(id, LeafIndex(index));
                }
            }
            Some(Kind::HoldReleased(hold)) => {
                if let Some(id) = Id::from_slice(&hold.hold_id) {
                    self.placed.remove(&id);
                }
            }
            _ => {}
        }
    }

    /// What is stored must be what was placed and not released, and must say what it keeps, or why it does not.
    pub(super) fn finish(
        self,
        read: impl Fn(Id, LeafIndex) -> Result<(), String>,
        report: &mut FsckReport,
    ) {
        report.holds = self.placed.len() as u64;
        for (id, index) in &self.placed {
            match self.stored.get(id) {
                None => {
                    let message = format!(
                        "is missing: {} placed it, and nothing released it",
                        place::entry(index.0)
                    );
                    report.find("hold_missing", place::hold(*id), message);
                }
                Some(stored) if stored != index => {
                    let message = format!(
                        "names {}, but {} placed it",
                        place::entry(stored.0),
                        place::entry(index.0)
                    );
                    report.find("hold_damaged", place::hold(*id), message);
                }
                Some(_) => {
                    if let Err(why) = read(*id, *index) {
                        report.find("hold_unreadable", place::hold(*id), why);
                    }
                }
            }
        }
        for id in self.stored.keys().filter(|id| !self.placed.contains_key(id)) {
            let message = "should not be there: no entry placed it, or one released it";
            report.find("hold_surplus", place::hold(*id), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keyspace::{entry_key, hold_key};
    use proto::v1::{HoldPlaced, HoldReleased};

    #[test]
    fn stored_holds_are_those_that_were_placed_and_not_released() {
        let id = |n: u8| Id([n; 16]);
        // Of the third nothing can be read, and nobody asks once it is released.
        let readable = |index: LeafIndex| match index.0 {
            30 => Err("does not open".to_owned()),
            _ => Ok(()),
        };
        let found_with = |keeps_third: bool, stored: &[(u8, u64)], others: &[(&[u8], &[u8])]| {
            let (mut holds, mut report) = (Holds::default(), FsckReport::default());
            for (n, index) in stored {
                let value = entry_key(LeafIndex(*index));
                assert!(holds.take(&hold_key(id(*n)), &value, &mut report));
            }
            for (key, value) in others {
                holds.take(key, value, &mut report);
            }
            for (index, n) in [(10, 1), (20, 2), (30, 3)] {
                let placed = HoldPlaced { hold_id: id(n).to_bytes(), ..Default::default() };
                holds.follow(index, Some(&Kind::HoldPlaced(placed)));
            }
            if !keeps_third {
                let released = HoldReleased { hold_id: id(3).to_bytes() };
                holds.follow(40, Some(&Kind::HoldReleased(released)));
            }
            holds.finish(|_, index| readable(index), &mut report);
            let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
            (codes, report.holds, report.purge_pending)
        };
        let found =
            |stored: &[(u8, u64)], others: &[(&[u8], &[u8])]| found_with(false, stored, others);
        assert_eq!(found_with(true, &[(1, 10), (2, 20), (3, 30)], &[]).0, ["hold_unreadable"]);
        assert_eq!(found(&[(1, 10), (2, 20)], &[]), (vec![], 2, false));
        assert_eq!(found(&[(1, 10)], &[]).0, ["hold_missing"]);
        assert_eq!(found(&[(1, 10), (2, 21)], &[]).0, ["hold_damaged"]);
        assert_eq!(found(&[(1, 10), (2, 20), (3, 30)], &[]).0, ["hold_surplus"]);
        let bad: &[u8] = b"hold/short";
        assert_eq!(found(&[(1, 10), (2, 20)], &[(bad, &[0; 8])]).0, ["hold_damaged"]);
        let purge = crate::store::keyspace::purge_value(vec![3..5, 7..8]);
        assert_eq!(found(&[(1, 10), (2, 20)], &[(PURGE_KEY, &purge[..])]), (vec![], 2, true));
        assert_eq!(found(&[(1, 10), (2, 20)], &[(PURGE_KEY, &[0; 15])]).0, ["purge_damaged"]);
        let mut holds = Holds::default();
        assert!(!holds.take(b"foot", b"x", &mut FsckReport::default()));
    }
}
