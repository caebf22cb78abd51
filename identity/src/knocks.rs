//! Callers that nobody knows, who must not fill a log: of one address the first few refusals within a window are recorded
//! one by one, the rest are counted and recorded as one event of each kind when the window ends.
//!
//! Every refusal is in the record, alone or in a count, or its caller was told that it could not be recorded. A process
//! that is killed loses the counts of the windows that were open; one whose ledger goes away just while a count is handed
//! over can lose that count, which is not handed over twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long refusals of one address are taken together.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Refusals of one address that are recorded one by one within a window.
pub const IN_FULL: u32 = 20;
/// Addresses that are told apart; what comes from others beside them is taken together.
const MAX_SOURCES: usize = 256;

/// What was refused lately. `K` is what refusals that are counted together have in common.
#[derive(Debug)]
pub struct Knocks<K>(Mutex<Open<K>>);

#[derive(Debug)]
struct Open<K> {
    /// By where they come from; `None` for those that are not told apart.
    windows: HashMap<Option<IpAddr>, Window<K>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Window<K> {
    since: Instant,
    in_full: u32,
    counted: HashMap<K, u64>,
}

/// How a refusal is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Now, with all that is known.
    InFull,
    /// In the count of its window.
    Counted,
}

/// Refusals of one window that were only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count<K> {
    /// An address, or the first of a network; `None`: unknown, or many.
    pub source: Option<IpAddr>,
    /// What they have in common.
    pub kind: K,
    /// How many.
    pub count: u64,
}

impl<K> Default for Knocks<K> {
    fn default() -> Self {
        Self(Mutex::new(Open { windows: HashMap::new(), is_closed: false }))
    }
}

impl<K: Clone + Ord + Hash> Knocks<K> {
    /// Takes one refusal in. After the end nothing is counted any more, since nobody would write it down.
    pub fn knock(&self, address: Option<IpAddr>, kind: K, now: Instant) -> Recorded {
        let mut open = self.open();
        if open.is_closed {
            return Recorded::InFull;
        }
        let source = open.told_apart(address.map(network));
        let window = open.windows.entry(source).or_insert_with(|| Window::since(now));
        if window.in_full < IN_FULL {
            window.in_full += 1;
            return Recorded::InFull;
        }
        *window.counted.entry(kind).or_default() += 1;
        Recorded::Counted
    }

    /// Closes the windows that have ended by `now`, and returns what they counted.
    pub fn ended(&self, now: Instant) -> Vec<Count<K>> {
        let is_over = |window: &Window<K>| now.saturating_duration_since(window.since) >= WINDOW;
        counts(self.open().windows.extract_if(|_, window| is_over(window)))
    }

    /// Closes all windows, for good, and returns what they counted.
    pub fn end(&self) -> Vec<Count<K>> {
        let mut open = self.open();
        open.is_closed = true;
        counts(open.windows.drain())
    }

    /// Takes back a count that could not be recorded: it is counted on in a window that begins now.
    pub fn keep(&self, count: Count<K>, now: Instant) {
        let mut open = self.open();
        let source = open.told_apart(count.source);
        let window = open.windows.entry(source);
        let window = window.or_insert_with(|| Window { in_full: IN_FULL, ..Window::since(now) });
        *window.counted.entry(count.kind).or_default() += count.count;
    }

    fn open(&self) -> MutexGuard<'_, Open<K>> {
        // No step between two changes can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Open<K> {
    /// The source itself, or `None` when as many as can be are told apart already.
    fn told_apart(&self, source: Option<IpAddr>) -> Option<IpAddr> {
        let known = self.windows.contains_key(&source) || self.windows.len() < MAX_SOURCES;
        source.filter(|_| known)
    }
}

impl<K> Window<K> {
    fn since(now: Instant) -> Self {
        Self { since: now, in_full: 0, counted: HashMap::new() }
    }
}

fn counts<K: Ord>(windows: impl Iterator<Item = (Option<IpAddr>, Window<K>)>) -> Vec<Count<K>> {
    let mut counts: Vec<Count<K>> = windows
        .flat_map(|(source, window)| {
            let counted = window.counted.into_iter();
            counted.map(move |(kind, count)| Count { source, kind, count })
        })
        .collect();
    counts.sort_by(|a, b| (a.source, &a.kind).cmp(&(b.source, &b.kind)));
    counts
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

    fn address(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, last).into())
    }

    fn count(kind: &'static str, count: u64) -> Count<&'static str> {
        Count { source: address(1), kind, count }
    }

    #[test]
    fn the_first_few_are_recorded_and_the_rest_counted_by_kind() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        let knock = |address, kind| knocks.knock(address, kind, start);
        for _ in 0..IN_FULL {
            assert_eq!(knock(address(1), "missing"), Recorded::InFull);
        }
        for _ in 0..7 {
            assert_eq!(knock(address(1), "missing"), Recorded::Counted);
        }
        assert_eq!(knock(address(1), "expired"), Recorded::Counted);
        assert_eq!(knock(address(2), "missing"), Recorded::InFull);
        assert_eq!(knocks.ended(start), []);
        let ended = knocks.ended(start + WINDOW);
        assert_eq!(ended, [count("expired", 1), count("missing", 7)]);
        assert_eq!(knock(address(1), "missing"), Recorded::InFull, "a new window begins");
    }

    #[test]
    fn what_could_not_be_recorded_is_counted_on() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        knocks.keep(count("missing", 7), start);
        assert_eq!(knocks.knock(address(1), "missing", start), Recorded::Counted);
        assert_eq!(knocks.ended(start + WINDOW), [count("missing", 8)]);
    }

    #[test]
    fn what_is_kept_stays_within_the_bound() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        for host in 0..1_000_u32 {
            let source = Some(Ipv4Addr::from(host).into());
            knocks.keep(Count { source, kind: "missing", count: 1 }, start);
        }
        let ended = knocks.ended(start + WINDOW);
        assert_eq!(ended.len(), MAX_SOURCES + 1);
        assert_eq!(
            ended[0],
            Count { source: None, kind: "missing", count: 1_000 - MAX_SOURCES as u64 }
        );
    }

    #[test]
    fn at_the_end_nothing_is_left_and_nothing_more_counted() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        for _ in 0..=IN_FULL {
            knocks.knock(address(1), "missing", start);
        }
        assert_eq!(knocks.end(), [count("missing", 1)]);
        for _ in 0..=IN_FULL {
            assert_eq!(knocks.knock(address(1), "missing", start), Recorded::InFull);
        }
        assert_eq!(knocks.end(), []);
    }

    #[test]
    fn many_addresses_do_not_help() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        let in_full = |addresses: &mut dyn Iterator<Item = IpAddr>| {
            let knock = |address| knocks.knock(Some(address), "missing", start);
            addresses.filter(|address| knock(*address) == Recorded::InFull).count()
        };
        // One network is one caller.
        let host =
            |host: u32| IpAddr::V6(Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(host)));
        assert_eq!(in_full(&mut (0..1_000).map(host)), IN_FULL as usize);
        // Beyond those that are told apart all are one.
        let told = in_full(&mut (0..10_000).map(|bits: u32| Ipv4Addr::from(bits).into()));
        assert_eq!(told, MAX_SOURCES - 1 + IN_FULL as usize);
        let counted: u64 = knocks.end().iter().map(|count| count.count).sum();
        assert_eq!(counted as usize, 11_000 - IN_FULL as usize - told);
    }
}
