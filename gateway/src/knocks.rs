//! Callers that nobody knows, who must not fill the log: of one address the first few refusals within a window are
//! recorded one by one, the rest are counted and recorded as one event for each kind when the window ends.
//!
//! Every refusal is in the record: alone, or in a count. A gateway that is killed loses the counts of the windows
//! that were open.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::kind::Kind;
use proto::v1;
use proto::v1::authentication_failed::Reason;
use proto::v1::{MediaType, Slot};
use recorder::Draft;
use tokio::time::Instant;

/// How long refusals of one address are taken together.
const WINDOW: Duration = Duration::from_secs(60);
/// Refusals of one address that are recorded one by one within a window.
const IN_FULL: u32 = 20;
/// Addresses that are told apart; what comes from others beside them is taken together.
const MAX_SOURCES: usize = 256;
/// Between two looks for windows that have ended.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

/// What was refused lately.
#[derive(Debug, Default)]
pub(crate) struct Knocks(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    windows: HashMap<Option<IpAddr>, Window>,
    is_closed: bool,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    in_full: u32,
    counted: HashMap<Refused, u64>,
}

/// What refusals that are counted together have in common; all of it may stand in a leaf.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Refused {
    /// The route, empty when there is none of that name.
    pub(crate) server: String,
    pub(crate) why: Why,
    pub(crate) http_status: u32,
}

/// Why somebody was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Why {
    /// It could not be authenticated.
    Unauthenticated(Reason),
    /// Before anybody asked who it is.
    Denied(v1::Refusal),
}

/// How a refusal is recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// Now, with all that is known.
    InFull,
    /// In the count of its window.
    Counted,
}

/// Refusals of one window that were only counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Count {
    /// Whence; `None`: unknown, or many.
    address: Option<IpAddr>,
    refused: Refused,
    count: u64,
}

impl Knocks {
    /// Takes one refusal in. After the end nothing is counted any more, since nobody would write it down.
    pub(crate) fn knock(
        &self,
        address: Option<IpAddr>,
        refused: Refused,
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
        *window.counted.entry(refused).or_default() += 1;
        Recorded::Counted
    }

    /// Closes the windows that have ended by `now`, and returns what they counted.
    pub(crate) fn ended(&self, now: Instant) -> Vec<Count> {
        let is_over = |window: &Window| now.saturating_duration_since(window.since) >= WINDOW;
        counts(self.open().windows.extract_if(|_, window| is_over(window)))
    }

    /// Closes all windows, for good, and returns what they counted.
    pub(crate) fn end(&self) -> Vec<Count> {
        let mut open = self.open();
        open.is_closed = true;
        counts(open.windows.drain())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // No step between two changes can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    /// The event of `count` refusals; 0 means that it is one by itself.
    pub(crate) fn event(&self, call: v1::Call, count: u64) -> Kind {
        let http_status = self.http_status;
        match self.why {
            Why::Unauthenticated(reason) => Kind::AuthenticationFailed(v1::AuthenticationFailed {
                server: self.server.clone(),
                reason: reason.into(),
                http_status,
                count,
            }),
            Why::Denied(refusal) => Kind::CallDenied(v1::CallDenied {
                call: Some(call),
                refusal: refusal.into(),
                request_event_id: Bytes::new(),
                http_status,
                count,
            }),
        }
    }
}

impl Count {
    /// The event of them all.
    pub(crate) fn draft(&self) -> Draft {
        let call = v1::Call { server: self.refused.server.clone(), ..v1::Call::default() };
        let draft = Draft::new(self.refused.event(call, self.count));
        let Some(address) = self.address else { return draft };
        let client = serde_json::json!({ "address": address }).to_string();
        draft.disclose(Slot::Client, MediaType::Json, client)
    }
}

fn counts(windows: impl Iterator<Item = (Option<IpAddr>, Window)>) -> Vec<Count> {
    let mut counts = Vec::new();
    for (address, window) in windows {
        let counted = window.counted.into_iter();
        counts.extend(counted.map(|(refused, count)| Count { address, refused, count }));
    }
    counts.sort_by(|a, b| (a.address, &a.refused).cmp(&(b.address, &b.refused)));
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
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn address(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, last).into())
    }

    fn refused(why: Why) -> Refused {
        Refused { server: "db".to_owned(), why, http_status: 401 }
    }

    const MISSING: Why = Why::Unauthenticated(Reason::Missing);

    #[test]
    fn the_first_few_are_recorded_and_the_rest_counted_by_kind() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        let knock = |address, why| knocks.knock(address, refused(why), start);
        for _ in 0..IN_FULL {
            assert_eq!(knock(address(1), MISSING), Recorded::InFull);
        }
        for _ in 0..7 {
            assert_eq!(knock(address(1), MISSING), Recorded::Counted);
        }
        let stranger = Why::Denied(v1::Refusal::Origin);
        assert_eq!(knock(address(1), stranger), Recorded::Counted);
        assert_eq!(knock(address(2), MISSING), Recorded::InFull);
        assert_eq!(knocks.ended(start), []);
        let count = |why, count| Count { address: address(1), refused: refused(why), count };
        assert_eq!(knocks.ended(start + WINDOW), [count(MISSING, 7), count(stranger, 1)]);
        // A new window begins.
        assert_eq!(knock(address(1), MISSING), Recorded::InFull);
    }

    #[test]
    fn at_the_end_nothing_is_left_and_nothing_more_counted() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        for _ in 0..=IN_FULL {
            knocks.knock(None, refused(MISSING), start);
        }
        assert_eq!(knocks.end(), [Count { address: None, refused: refused(MISSING), count: 1 }]);
        for _ in 0..=IN_FULL {
            assert_eq!(knocks.knock(None, refused(MISSING), start), Recorded::InFull);
        }
        assert_eq!(knocks.end(), []);
    }

    #[test]
    fn many_addresses_do_not_help() {
        let (knocks, start) = (Knocks::default(), Instant::now());
        let in_full = |addresses: &mut dyn Iterator<Item = IpAddr>| {
            let knock = |address| knocks.knock(Some(address), refused(MISSING), start);
            u64::try_from(addresses.filter(|a| knock(*a) == Recorded::InFull).count()).unwrap()
        };
        // One network is one caller.
        let hosts =
            |host: u32| Ipv6Addr::from(u128::from(0x2001_0db8_u32) << 96 | u128::from(host)).into();
        let few = u64::from(IN_FULL);
        assert_eq!(in_full(&mut (0..1_000).map(hosts)), few);
        // Beyond those that are told apart all are one.
        let others = |host: u32| -> IpAddr { Ipv4Addr::from(host).into() };
        let most = in_full(&mut (0..10_000).map(others));
        assert_eq!(most, MAX_SOURCES as u64 - 1 + few);
        let counted: u64 = knocks.end().iter().map(|count| count.count).sum();
        assert_eq!(counted, 11_000 - few - most);
    }
}
