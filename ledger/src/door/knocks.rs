//! Callers without a good token, who must not fill the log: of one address the first few within a window are
//! recorded one by one, the rest are counted and recorded as one event per reason when the window ends.
//!
//! Every attempt is in the record: alone, or in a count. A ledger that is killed loses the counts of the windows
//! that were open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::v1::authentication_failed::Reason;

/// How long attempts of one address are taken together.
const WINDOW: Duration = Duration::from_secs(60);
/// Attempts of one address that are recorded one by one within a window.
const IN_FULL: u32 = 5;
/// Addresses that are told apart; what comes from others beside them is taken together.
const MAX_SOURCES: usize = 256;

/// What was attempted lately.
#[derive(Default)]
pub(crate) struct Knocks {
    open: Mutex<Open>,
    /// Held while counts are written down, so that a stop waits for counts that are on their way.
    pub(super) writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Open {
    windows: HashMap<Option<IpAddr>, Window>,
    is_closed: bool,
}

struct Window {
    since: Instant,
    in_full: u32,
    counted: HashMap<(Reason, u16), u64>,
}

/// How an attempt is recorded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Now, with all that is known.
    InFull,
    /// In the count of its window.
    Counted,
}

/// Attempts of one window that were only counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Count {
    /// Whence; `None`: unknown, or many.
    pub(super) address: Option<IpAddr>,
    pub(super) reason: Reason,
    pub(super) http_status: u16,
    pub(super) count: u64,
}

impl Knocks {
    /// Takes one attempt in. After the end nothing is counted any more, since nobody would write it down.
    pub(super) fn knock(
        &self,
        address: Option<IpAddr>,
        reason: Reason,
        http_status: u16,
        now: Instant,
    ) -> Recorded {
        let mut open = self.open();
        if open.is_closed {
            return Recorded::InFull;
        }
        let windows = &mut open.windows;
        let mut source = address.map(network);
        if !windows.contains_key(&source) && windows.len() >= MAX_SOURCES {
            source = None;
        }
        let window = windows.entry(source).or_insert_with(|| Window {
            since: now,
            in_full: 0,
            counted: HashMap::new(),
        });
        if window.in_full < IN_FULL {
            window.in_full += 1;
            return Recorded::InFull;
        }
        *window.counted.entry((reason, http_status)).or_default() += 1;
        Recorded::Counted
    }

    /// Closes the windows that have ended by `now`, and returns what they counted.
    pub(super) fn ended(&self, now: Instant) -> Vec<Count> {
        let is_over = |window: &Window| now.saturating_duration_since(window.since) >= WINDOW;
        counts(self.open().windows.extract_if(|_, window| is_over(window)))
    }

    /// Closes all windows, for good, and returns what they counted.
    pub(super) fn end(&self) -> Vec<Count> {
        let mut open = self.open();
        open.is_closed = true;
        counts(open.windows.drain())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counts(windows: impl Iterator<Item = (Option<IpAddr>, Window)>) -> Vec<Count> {
    let mut counts = Vec::new();
    for (address, window) in windows {
        counts.extend(window.counted.into_iter().map(|((reason, http_status), count)| Count {
            address,
            reason,
            http_status,
            count,
        }));
    }
    counts.sort_by_key(|count| (count.address, count.reason, count.http_status));
    counts
}

/// What one caller holds: a whole IPv4 address, the first 64 bits of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn address(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, last).into())
    }

    fn count(address: Option<IpAddr>, reason: Reason, count: u64) -> Count {
        Count { address, reason, http_status: 401, count }
    }

    #[test]
    fn the_first_few_are_recorded_and_the_rest_counted_by_reason() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        let knock = |address, reason| knocks.knock(address, reason, 401, start);
        for _ in 0..IN_FULL {
            assert_eq!(knock(address(1), Reason::Missing), Recorded::InFull);
        }
        for _ in 0..7 {
            assert_eq!(knock(address(1), Reason::Missing), Recorded::Counted);
        }
        assert_eq!(knock(address(1), Reason::Expired), Recorded::Counted);
        assert_eq!(knock(address(2), Reason::Missing), Recorded::InFull);
        assert_eq!(knocks.ended(start), []);
        let missing = count(address(1), Reason::Missing, 7);
        let expired = count(address(1), Reason::Expired, 1);
        assert_eq!(knocks.ended(start + WINDOW), [missing, expired]);
        // A new window begins.
        assert_eq!(knock(address(1), Reason::Missing), Recorded::InFull);
    }

    #[test]
    fn at_the_end_nothing_is_left_and_nothing_more_counted() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        for _ in 0..=IN_FULL {
            knocks.knock(None, Reason::Missing, 401, start);
        }
        assert_eq!(knocks.end(), [count(None, Reason::Missing, 1)]);
        for _ in 0..=IN_FULL {
            assert_eq!(knocks.knock(None, Reason::Missing, 401, start), Recorded::InFull);
        }
        assert_eq!(knocks.end(), []);
    }

    #[test]
    fn many_addresses_do_not_help() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        // One network is one caller.
        let host = |host: u64| {
            let address = u128::from(0x2001_0db8_u32) << 96 | u128::from(host);
            Some(IpAddr::V6(Ipv6Addr::from(address)))
        };
        let in_full = (0..1_000u64)
            .filter(|n| knocks.knock(host(*n), Reason::Missing, 401, start) == Recorded::InFull);
        assert_eq!(in_full.count(), IN_FULL as usize);
        // Beyond those that are told apart all are one.
        let other = |n: u32| Some(IpAddr::V4(Ipv4Addr::from(n)));
        let in_full = (0..10_000u32)
            .filter(|n| knocks.knock(other(*n), Reason::Missing, 401, start) == Recorded::InFull);
        assert_eq!(in_full.count(), MAX_SOURCES - 1 + IN_FULL as usize);
        let counted: u64 = knocks.end().iter().map(|count| count.count).sum();
        assert_eq!(counted, 11_000 - 2 * IN_FULL as u64 - (MAX_SOURCES as u64 - 1));
    }
}
