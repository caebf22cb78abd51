//! How soon one checkpoint follows another.

use std::time::Duration;

use tokio::time::Instant;

/// Shortest time between two checkpoints under load. An idle log publishes at once.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// Longest time that a checkpoint stays the newest under load while its quorum is awaited. A log that replaced each one
/// before its witnesses can answer would never show one that has a quorum.
const MAX_INTERVAL: Duration = Duration::from_millis(800);
/// After the quorum did not come in that time, checkpoints do not wait for it for so long.
const IMPATIENCE: Duration = Duration::from_secs(30);

/// When a checkpoint may replace the newest.
#[derive(Default)]
pub(super) struct Pace {
    /// When the newest was published by this process.
    last: Option<Instant>,
    /// What is published until then does not wait for its quorum.
    impatient_until: Option<Instant>,
}

impl Pace {
    /// When the newest, which has its quorum or not, may be replaced; `None` for at once.
    pub(super) fn due(&self, has_quorum: bool) -> Option<Instant> {
        let waits = !has_quorum && self.is_patient();
        Some(self.last? + if waits { MAX_INTERVAL } else { MIN_INTERVAL })
    }

    /// The newest, which had its quorum or not, is replaced.
    pub(super) fn published(&mut self, now: Instant, had_quorum: bool) {
        let waited_in_vain =
            !had_quorum && self.is_patient() && self.due(false).is_some_and(|due| now >= due);
        if waited_in_vain {
            self.impatient_until = Some(now + IMPATIENCE);
        }
        self.last = Some(now);
    }

    fn is_patient(&self) -> bool {
        self.impatient_until.is_none_or(|until| self.last.is_none_or(|last| last >= until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_follow_as_the_quorum_does_but_not_much_later() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.due(false), None);
        pace.published(start, true);
        assert_eq!(pace.due(true), Some(start + MIN_INTERVAL));
        assert_eq!(pace.due(false), Some(start + MAX_INTERVAL));
        // The quorum did not come: for a while nothing waits for it.
        let late = start + MAX_INTERVAL;
        pace.published(late, false);
        assert_eq!(pace.due(false), Some(late + MIN_INTERVAL));
        let still = late + MIN_INTERVAL;
        pace.published(still, false);
        assert_eq!(pace.due(false), Some(still + MIN_INTERVAL));
        // Then it is given a chance again.
        let again = late + IMPATIENCE;
        pace.published(again, false);
        assert_eq!(pace.due(false), Some(again + MAX_INTERVAL));
        pace.published(again + MIN_INTERVAL, true);
        assert_eq!(pace.due(false), Some(again + MIN_INTERVAL + MAX_INTERVAL));
    }
}
