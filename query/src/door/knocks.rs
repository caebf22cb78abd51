//! Callers without a good token, who must not fill the log: of one address the first few within a window are recorded
//! one by one, the rest are counted and recorded as one event per reason when the window ends.
//!
//! Every attempt is in the record: alone, or in a count. A node that is killed loses the counts of open windows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::v1::authentication_failed::Reason;

/// How long attempts of one address are taken together.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Attempts of one address that are recorded one by one within a window.
pub(crate) const IN_FULL: u32 = 5;
/// Addresses that are told apart; what comes from others beside them is taken together.
const MAX_SOURCES: usize = 256;

/// What was attempted lately.
#[derive(Debug, Default)]
pub(crate) struct Knocks(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// By where they come from; `None` for those that are not told apart.
    windows: HashMap<Option<IpAddr>, Window>,
    is_closed: bool,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    in_full: u32,
    counted: HashMap<Failure, u64>,
}

/// What a caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) http_status: u16,
}

/// Attempts that were only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// An address, or the first of a network; `None`: unknown, or many.
    pub(crate) source: Option<IpAddr>,
    pub(crate) failure: Failure,
    pub(crate) count: u64,
}

impl Knocks {
    /// Takes one attempt in. Is it to be recorded on its own, before it is answered? After the end all are, since
    /// nobody would record a count.
    pub(crate) fn is_in_full(&self, address: Option<IpAddr>, failure: Failure) -> bool {
        let Open { windows, is_closed } = &mut *self.open();
        if *is_closed {
            return true;
        }
        let mut source = address.map(network);
        if !windows.contains_key(&source) && windows.len() >= MAX_SOURCES {
            source = None;
        }
        let window = windows.entry(source).or_insert_with(|| Window {
            began: Instant::now(),
            in_full: 0,
            counted: HashMap::new(),
        });
        if window.in_full < IN_FULL {
            window.in_full += 1;
            return true;
        }
        *window.counted.entry(failure).or_default() += 1;
        false
    }

    /// Ends the windows that are `age` old, and returns what they counted.
    pub(crate) fn ended(&self, age: Duration) -> Vec<Counted> {
        let mut open = self.open();
        counted(open.windows.extract_if(|_, window| window.began.elapsed() >= age))
    }

    /// Ends all windows, for good, and returns what they counted.
    pub(crate) fn end(&self) -> Vec<Counted> {
        let mut open = self.open();
        open.is_closed = true;
        counted(open.windows.drain())
    }

    /// Takes back what could not be recorded: it is counted on.
    pub(crate) fn keep(&self, counted: &Counted) {
        let mut open = self.open();
        let window = open.windows.entry(counted.source).or_insert_with(|| Window {
            began: Instant::now(),
            in_full: IN_FULL,
            counted: HashMap::new(),
        });
        *window.counted.entry(counted.failure).or_default() += counted.count;
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted(windows: impl Iterator<Item = (Option<IpAddr>, Window)>) -> Vec<Counted> {
    let counted = windows.flat_map(|(source, window)| {
        let counted = window.counted.into_iter();
        counted.map(move |(failure, count)| Counted { source, failure, count })
    });
    counted.collect()
}

/// What one caller holds: a whole IPv4 address, the first 64 bits of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const MISSING: Failure = Failure { reason: Reason::Missing, http_status: 401 };
    const EXPIRED: Failure = Failure { reason: Reason::Expired, http_status: 401 };

    #[test]
    fn the_first_few_are_told_in_full_and_the_rest_counted() {
        let knocks = Knocks::default();
        let source = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let knock = |failure| knocks.is_in_full(source, failure);
        assert!((0..IN_FULL).all(|_| knock(MISSING)));
        assert!((0..7).all(|_| !knock(MISSING)));
        assert!(!knock(EXPIRED));
        assert!(knocks.is_in_full(Some(Ipv4Addr::new(192, 0, 2, 2).into()), MISSING));
        assert_eq!(knocks.ended(WINDOW), []);
        let sorted = |mut counted: Vec<Counted>| {
            counted.sort_by_key(|counted| counted.count);
            counted
        };
        let of = |failure, count| Counted { source, failure, count };
        let counted = sorted(knocks.ended(Duration::ZERO));
        assert_eq!(counted, [of(EXPIRED, 1), of(MISSING, 7)]);
        // What could not be recorded is counted on.
        knocks.keep(&counted[1]);
        assert!(!knock(MISSING));
        assert_eq!(knocks.ended(Duration::ZERO), [of(MISSING, 8)]);
        assert!((0..IN_FULL).all(|_| knock(MISSING)), "a new window begins");
        assert!(!knock(MISSING));
        assert_eq!(knocks.end(), [of(MISSING, 1)]);
        assert!((0..=IN_FULL).all(|_| knock(MISSING)), "nobody would record a count");
    }

    #[test]
    fn many_addresses_do_not_help() {
        let knocks = Knocks::default();
        let in_full = |addresses: &mut dyn Iterator<Item = IpAddr>| {
            addresses.filter(|address| knocks.is_in_full(Some(*address), MISSING)).count()
        };
        // One network is one caller.
        let host =
            |host: u32| IpAddr::V6(Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(host)));
        assert_eq!(in_full(&mut (0..1_000).map(host)), IN_FULL as usize);
        // Beyond those that are told apart all are one.
        let address = |bits: u32| IpAddr::V4(Ipv4Addr::from(bits));
        let told = in_full(&mut (0..10_000).map(address));
        assert_eq!(told, MAX_SOURCES - 1 + IN_FULL as usize);
        let counted: u64 = knocks.ended(Duration::ZERO).iter().map(|counted| counted.count).sum();
        assert_eq!(counted as usize, 11_000 - IN_FULL as usize - told);
    }
}
