//! The ledger's time: strictly increasing, and never following a wall clock that jumped.

mod stopped;
mod vouched;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

pub(crate) use stopped::StoppedByClock;
pub(crate) use vouched::Vouched;

/// A wall clock that moves further than this against the monotonic clock stops sequencing.
pub(crate) const MAX_STEP: Duration = Duration::from_secs(60);

/// The wall clock was set by more than [`MAX_STEP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the wall clock stepped by {:.3} s against the monotonic clock; check the time source, then start with \
     --confirm-clock-step",
    *step_ns as f64 / 1e9
)]
pub struct ClockStep {
    /// Positive when it was set forward, in nanoseconds.
    pub step_ns: i64,
}

/// The wall clock of a start stands more than [`MAX_STEP`] before the newest entry. Which of the two is right nobody measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "by the wall clock it is {}, and the newest entry is of {}: one of the two is wrong; check the time source, then start \
     with --confirm-clock-step. Until the clock has passed the newest entry, each further one is a nanosecond later than the \
     one before",
    utc(*wall_ns),
    utc(*newest_ns)
)]
pub struct ClockBehind {
    /// What the wall clock says, Unix ns.
    pub wall_ns: u64,
    /// `recorded_at_ns` of the newest entry.
    pub newest_ns: u64,
}

/// Gives `recorded_at_ns`.
#[derive(Debug)]
pub(crate) struct Clock {
    last_ns: u64,
    wall_ns: u64,
    monotonic: Instant,
    /// Where a step is remembered that stops the ledger.
    stopped: Option<StoppedByClock>,
}

impl Clock {
    /// A clock that continues after `last_ns`, the newest time in the store (0: none).
    ///
    /// # Errors
    /// [`ClockBehind`] when the wall clock stands more than [`MAX_STEP`] before `last_ns` and nobody confirmed.
    pub(crate) fn continue_after(last_ns: u64, confirmed: bool) -> Result<Self, ClockBehind> {
        let wall_ns = unix_now_ns();
        if !confirmed && difference(wall_ns, last_ns) < -max_step_ns() {
            return Err(ClockBehind { wall_ns, newest_ns: last_ns });
        }
        Ok(Self { last_ns, wall_ns, monotonic: Instant::now(), stopped: None })
    }

    /// The same, remembering the step that stops it.
    pub(crate) fn remembering(self, stopped: StoppedByClock) -> Self {
        Self { stopped: Some(stopped), ..self }
    }

    /// Checks the wall clock and returns the time for the next batch; its entries take consecutive
    /// nanoseconds from there, and [`Clock::used`] tells how many.
    ///
    /// # Errors
    /// [`ClockStep`].
    pub(crate) fn batch_time(&mut self) -> Result<u64, ClockStep> {
        self.batch_time_at(unix_now_ns(), Instant::now()).inspect_err(|step| {
            let remembered = self.stopped.as_ref().map_or(Ok(()), |file| file.remember(*step));
            if let Err(error) = remembered {
                tracing::error!(%error, "the step of the clock could not be written down");
            }
        })
    }

    fn batch_time_at(&mut self, wall_ns: u64, monotonic: Instant) -> Result<u64, ClockStep> {
        let elapsed = monotonic.saturating_duration_since(self.monotonic).as_nanos();
        let expected = self.wall_ns.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX));
        let step_ns = difference(wall_ns, expected);
        if step_ns.abs() > max_step_ns() {
            return Err(ClockStep { step_ns });
        }
        // A slow drift is the time daemon's work, not a step: measure the next step from here.
        self.wall_ns = wall_ns;
        self.monotonic = monotonic;
        Ok(wall_ns.max(self.last_ns.saturating_add(1)))
    }

    /// The batch ended at `last_ns`.
    pub(crate) fn used(&mut self, last_ns: u64) {
        self.last_ns = last_ns;
    }
}

pub(crate) fn unix_now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// A time as people read it, to the second.
pub(crate) fn utc(unix_ns: u64) -> String {
    let seconds = i64::try_from(unix_ns / 1_000_000_000).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{unix_ns} ns after 1970"), |time| time.to_string())
}

fn max_step_ns() -> i64 {
    i64::try_from(MAX_STEP.as_nanos()).unwrap_or(i64::MAX)
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn clock() -> (Clock, u64, Instant) {
        let now = Instant::now();
        let wall = 1_000 * SECOND;
        (Clock { last_ns: wall, wall_ns: wall, monotonic: now, stopped: None }, wall, now)
    }

    #[test]
    fn time_never_repeats_while_the_wall_clock_stands_or_falls_a_little() {
        let (mut clock, wall, now) = clock();
        assert_eq!(clock.batch_time_at(wall, now), Ok(wall + 1));
        clock.used(wall + 5);
        assert_eq!(clock.batch_time_at(wall - 30 * SECOND, now), Ok(wall + 6));
    }

    #[test]
    fn a_large_step_either_way_stops() {
        for (wall, sign) in [(1_061 * SECOND, 1), (939 * SECOND, -1)] {
            let (mut clock, _, now) = clock();
            let step = clock.batch_time_at(wall, now).unwrap_err();
            assert_eq!(step.step_ns, sign * 61 * SECOND as i64);
        }
    }

    /// Break it: let `continue_after` take `confirmed` for given, or its error say by how much alone.
    #[test]
    fn a_past_wall_clock_at_start_needs_confirmation() {
        let future = unix_now_ns() + 120 * SECOND;
        let refused = Clock::continue_after(future, false).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains(&utc(refused.wall_ns)) && said.contains(&utc(future)), "{said}");
        assert_eq!(utc(1_700_000_000 * SECOND + 5), "2023-11-14T22:13:20Z");
        let mut clock = Clock::continue_after(future, true).unwrap();
        assert_eq!(clock.batch_time(), Ok(future + 1));
    }
}
