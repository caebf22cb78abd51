//! What one recorder or one reader may take, so that none takes what all share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a frame waits for room before its stream is ended and the recorder asked to come back later.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// After a pause a recorder may append at once what this time brings.
const BURST: Duration = Duration::from_secs(1);
/// A frame of the largest event, in MiB: less room than that would keep it out for ever.
const LARGEST_FRAME_MIB: u32 = 40;

/// Table `[ledger.limits]`: what one recorder, or one reader, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Append streams that one recorder may have open, each of an epoch of its own.
    #[schemars(range(min = 1, max = 1_024))]
    pub streams_per_recorder: u32,
    /// Events of one recorder that may wait for their commit.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub events_in_flight: u32,
    /// Their size with their disclosures, in MiB.
    #[schemars(range(min = 40, max = 128))]
    pub mib_in_flight: u32,
    /// Events that one recorder may append in a second, on all its streams; after a pause as many at once. Left out: as
    /// many as it can.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<u32>,
    /// Streams of entries that readers may have open, one reader at most a quarter of them.
    #[schemars(range(min = 1, max = 4_096))]
    pub subscriptions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams_per_recorder: 8,
            events_in_flight: 65_536,
            mib_in_flight: 64,
            events_per_second: None,
            subscriptions: 128,
        }
    }
}

impl Limits {
    /// What is wrong with them, one line each.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = String> {
        let ranges = [
            ("streams_per_recorder", self.streams_per_recorder, 1, 1_024),
            ("events_in_flight", self.events_in_flight, 1, 1_000_000),
            ("mib_in_flight", self.mib_in_flight, LARGEST_FRAME_MIB, 128),
            ("events_per_second", self.events_per_second.unwrap_or(1), 1, 1_000_000),
            ("subscriptions", self.subscriptions, 1, 4_096),
        ];
        ranges.into_iter().filter_map(|(name, value, least, most)| {
            let fits = (least..=most).contains(&value);
            (!fits).then(|| format!("limits.{name} is {value}: it must be {least} to {most}"))
        })
    }
}

/// What one recorder may still take, on all its streams.
pub(crate) struct Allowance {
    events: Arc<Semaphore>,
    kib: Arc<Semaphore>,
    most_events: u32,
    most_kib: u32,
    pace: Option<Mutex<Pace>>,
}

/// Room that events have until they are durable.
pub(crate) struct InFlight {
    _events: OwnedSemaphorePermit,
    _kib: OwnedSemaphorePermit,
}

/// There was no room within [`PATIENCE`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Allowance {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let (most_events, most_kib) = (limits.events_in_flight, limits.mib_in_flight << 10);
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        let pace =
            |per_second: u32| Mutex::new(Pace { interval: BURST / per_second.max(1), due: now });
        Self {
            events: semaphore(most_events),
            kib: semaphore(most_kib),
            most_events,
            most_kib,
            pace: limits.events_per_second.map(pace),
        }
    }

    /// Counts one event.
    ///
    /// # Errors
    /// How long the recorder should pause: it has appended as many as it may.
    pub(crate) fn count(&self, now: Instant) -> Result<(), Duration> {
        match &self.pace {
            Some(pace) => pace.lock().unwrap_or_else(PoisonError::into_inner).take(now),
            None => Ok(()),
        }
    }

    /// Waits a moment for room; what is larger than all of it takes all.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) async fn room(&self, events: usize, bytes: usize) -> Result<InFlight, NoRoom> {
        let permits = |count: usize, most: u32| u32::try_from(count).unwrap_or(most).min(most);
        let events = permits(events, self.most_events);
        let kib = permits(bytes / 1_024 + 1, self.most_kib);
        let acquire = async {
            let events = Arc::clone(&self.events).acquire_many_owned(events).await.ok()?;
            let kib = Arc::clone(&self.kib).acquire_many_owned(kib).await.ok()?;
            Some(InFlight { _events: events, _kib: kib })
        };
        tokio::time::timeout(PATIENCE, acquire).await.ok().flatten().ok_or(NoRoom)
    }
}

/// A leaky bucket: each event moves the time on by which the next is due.
struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let due = self.due.max(now);
        let ahead = due - now;
        if ahead + self.interval > BURST {
            // Until there is room for many, so that a stream is opened for more than one event.
            return Err(ahead.saturating_sub(BURST / 2).max(self.interval));
        }
        self.due = due + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate_over_time_and_no_more_than_a_burst_at_once() {
        for rate in [1, 7, 1_000] {
            let limits = Limits { events_per_second: Some(rate), ..Limits::default() };
            let start = Instant::now();
            let allowance = Allowance::new(&limits, start);
            let mut now = start;
            let mut taken = 0;
            while now - start < Duration::from_secs(20) {
                match allowance.count(now) {
                    Ok(()) => taken += 1,
                    Err(pause) => now += pause,
                }
            }
            // One burst, and then the rate.
            assert!((20 * rate..=21 * rate + 1).contains(&taken), "{taken} at {rate}/s");
            // A long pause gives one burst, not more.
            now += Duration::from_secs(3_600);
            let burst = (0..).take_while(|_| allowance.count(now).is_ok()).count();
            assert_eq!(burst, rate as usize);
        }
        let unbounded = Allowance::new(&Limits::default(), Instant::now());
        assert!((0..1_000_000).all(|_| unbounded.count(Instant::now()).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_given_back_when_what_took_it_is_durable() {
        let limits = Limits { events_in_flight: 10, mib_in_flight: 40, ..Limits::default() };
        let allowance = Allowance::new(&limits, Instant::now());
        let six = allowance.room(6, 100).await.unwrap();
        assert_eq!(allowance.room(6, 100).await.err(), Some(NoRoom));
        let four = allowance.room(4, 100).await.unwrap();
        drop(six);
        let more = allowance.room(6, 39 << 20).await.unwrap();
        assert_eq!(allowance.room(1, 2 << 20).await.err(), Some(NoRoom));
        drop((four, more));
        // More than there ever is: all of it.
        let all = allowance.room(1_000, 1 << 30).await.unwrap();
        assert_eq!(allowance.room(1, 1).await.err(), Some(NoRoom));
        drop(all);
    }
}
