//! The record of feed deliveries: the first at once, then one for each consumer and interval, with the range
//! delivered in between.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use proto::Role;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use tokio::sync::Mutex;

use crate::door::access::{Accessed, Visitor};
use crate::journal::{Journal, Unrecorded};

/// Consumers kept at a time; the deliveries of further ones are recorded one by one.
const MAX_CONSUMERS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Deliveries {
    interval: Duration,
    windows: Mutex<HashMap<Consumer, Window>>,
}

/// Issuer, subject, and the role in which they pull.
type Consumer = (String, String, Role);

#[derive(Debug)]
struct Window {
    visitor: Visitor,
    recorded: Instant,
    /// Delivered since, and the size of the checkpoint then.
    since: Option<(Range<u64>, u64)>,
}

impl Deliveries {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, windows: Mutex::default() }
    }

    /// Notes a delivery that is about to be made. When it is time, it is recorded first.
    pub(crate) async fn deliver(
        &self,
        journal: &dyn Journal,
        (visitor, role): (&Visitor, Role),
        range: Range<u64>,
        checkpoint_size: u64,
    ) -> Result<(), Unrecorded> {
        if range.is_empty() {
            return Ok(());
        }
        let principal = visitor.principal();
        let consumer = (principal.issuer.clone(), principal.subject.clone(), role);
        let mut windows = self.windows.lock().await;
        if let Some(window) = windows.get_mut(&consumer) {
            let all = union(window.since.take().map(|since| since.0), range);
            if window.recorded.elapsed() < self.interval {
                window.since = Some((all, checkpoint_size));
                return Ok(());
            }
            let recorded = journal.record(access(visitor, role, &all, checkpoint_size)).await;
            match recorded {
                Ok(()) => window.recorded = Instant::now(),
                // What was delivered before stays to be recorded.
                Err(_) => window.since = Some((all, checkpoint_size)),
            }
            return recorded;
        }
        journal.record(access(visitor, role, &range, checkpoint_size)).await?;
        windows.retain(|_, w| w.since.is_some() || w.recorded.elapsed() < self.interval);
        if windows.len() < MAX_CONSUMERS {
            let visitor = visitor.clone();
            windows.insert(consumer, Window { visitor, recorded: Instant::now(), since: None });
        }
        Ok(())
    }

    /// Records what was delivered and is due; at the end, all of it.
    pub(crate) async fn flush(&self, journal: &dyn Journal, is_end: bool) {
        let mut windows = self.windows.lock().await;
        for ((_, _, role), window) in windows.iter_mut() {
            let is_due = is_end || window.recorded.elapsed() >= self.interval;
            if let Some((range, size)) = window.since.take_if(|_| is_due) {
                match journal.record(access(&window.visitor, *role, &range, size)).await {
                    Ok(()) => window.recorded = Instant::now(),
                    Err(error) => {
                        tracing::warn!(%error, "a feed delivery is not recorded yet");
                        window.since = Some((range, size));
                    }
                }
            }
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }
}

fn union(before: Option<Range<u64>>, now: Range<u64>) -> Range<u64> {
    match before {
        Some(before) => before.start.min(now.start)..before.end.max(now.end),
        None => now,
    }
}

fn access(
    visitor: &Visitor,
    role: Role,
    range: &Range<u64>,
    checkpoint_size: u64,
) -> crate::journal::Access {
    visitor.access(Accessed {
        door: Door::Feed,
        result: Outcome::Allowed,
        role: Some(role),
        checkpoint_size,
        first_index: range.start,
        end_index: range.end,
        ..Accessed::default()
    })
}
