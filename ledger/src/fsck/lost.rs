//! Stretches of the log that nobody can read any more. What stands behind one is judged by what is there: an event whose
//! predecessor is lost contradicts nothing, and one byte that rotted is not to look like a forged log.

use std::ops::Range;

use proto::ChainHead;

/// Most stretches that are told apart; behind so many the log is taken as lost up to the last of them.
const MAX_STRETCHES: usize = 1 << 16;

/// Entries that are missing, cannot be read, or are no entries, in ascending stretches.
#[derive(Debug, Default)]
pub(super) struct Lost(Vec<Range<u64>>);

impl Lost {
    /// The next entries that are lost; later than all that were.
    pub(super) fn add(&mut self, entries: Range<u64>) {
        if entries.is_empty() {
            return;
        }
        let is_full = self.0.len() == MAX_STRETCHES;
        match self.0.last_mut() {
            Some(last) if is_full || last.end == entries.start => last.end = entries.end,
            _ => self.0.push(entries),
        }
    }

    /// Whether anything is lost.
    pub(super) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether this entry is.
    pub(super) fn has(&self, index: u64) -> bool {
        let at = self.0.partition_point(|stretch| stretch.end <= index);
        self.0.get(at).is_some_and(|stretch| stretch.contains(&index))
    }

    /// Whether the events of a chain between `head`, whose entry is `after`, and the event `sequence` at `index` may all be
    /// lost: there are some, and no more than entries are lost between.
    pub(super) fn explains(
        &self,
        head: Option<(ChainHead, u64)>,
        sequence: u64,
        index: u64,
    ) -> bool {
        let next = head.map_or(Some(0), |(head, _)| head.sequence.checked_add(1));
        let first = head.map_or(0, |(_, after)| after);
        let missing = next.and_then(|next| sequence.checked_sub(next)).unwrap_or_default();
        let within =
            |stretch: &Range<u64>| stretch.end.min(index).saturating_sub(stretch.start.max(first));
        missing > 0 && missing <= self.0.iter().map(within).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_explained_by_what_is_lost_within_it_alone() {
        let mut lost = Lost::default();
        assert!(!lost.is_any());
        lost.add(10..12);
        lost.add(12..13);
        lost.add(20..21);
        assert_eq!(lost.0.len(), 2);
        assert!(lost.has(10) && lost.has(12) && lost.has(20) && !lost.has(13) && !lost.has(9));
        let head = |sequence, at| Some((ChainHead { sequence, hash: [0; 32] }, at));
        for (head, sequence, index, explained) in [
            (head(4, 9), 6, 14, true),
            (head(4, 9), 8, 14, true),
            (head(4, 9), 9, 14, false),
            (head(4, 9), 9, 30, true),
            // Nothing is missing, or it goes back.
            (head(4, 9), 5, 14, false),
            (head(4, 9), 2, 14, false),
            // What is lost is not in between.
            (head(4, 13), 6, 14, false),
            (None, 3, 14, true),
            (None, 3, 9, false),
        ] {
            assert_eq!(
                lost.explains(head, sequence, index),
                explained,
                "{head:?} {sequence} {index}"
            );
        }
    }
}
