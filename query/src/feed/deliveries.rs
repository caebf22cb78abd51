//! The record of feed deliveries: the first at once, then one for each consumer and interval, with the range
//! delivered in between.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proto::Role;
use proto::v1::evidence_accessed::{Door, Result as Outcome};

use crate::door::access::{Accessed, Visitor};
use crate::journal::{Access, Journal, Unrecorded};

/// Consumers kept at a time; the deliveries of further ones are recorded one by one.
const MAX_CONSUMERS: usize = 1024;
/// Records under way at a time when many are due.
const AT_A_TIME: usize = 16;

#[derive(Debug)]
pub(crate) struct Deliveries {
    interval: Duration,
    /// Never held while something is recorded: the ledger may be away for long.
    windows: Mutex<HashMap<Consumer, Window>>,
}

/// Whatever the record of a delivery says of who it went to: it is true of all that are recorded together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Consumer {
    issuer: String,
    subject: String,
    token_id: Option<String>,
    expires_at: u64,
    /// Address and user agent.
    client: Bytes,
    role: Role,
}

#[derive(Debug)]
struct Window {
    visitor: Visitor,
    /// When a record was last begun.
    recorded: Instant,
    /// Delivered and not yet recorded.
    since: Option<Delivered>,
    /// Of that, what is being recorded, or was when the one who did so went away.
    begun: Option<Delivered>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Delivered {
    range: Range<u64>,
    /// Leaves of the last checkpoint that was delivered from.
    checkpoint_size: u64,
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
        let consumer = Consumer::of(visitor, role);
        let now = Delivered { range, checkpoint_size };
        let first = match self.windows().get_mut(&consumer) {
            Some(window) => {
                window.note(now);
                if window.recorded.elapsed() < self.interval {
                    return Ok(());
                }
                None
            }
            None => Some(now),
        };
        let Some(now) = first else { return self.record(journal, &consumer).await };
        journal.record(access(visitor, role, &now)).await?;
        let mut windows = self.windows();
        windows.retain(|_, window| window.is_needed(self.interval));
        if windows.len() < MAX_CONSUMERS {
            windows.entry(consumer).or_insert_with(|| Window {
                visitor: visitor.clone(),
                recorded: Instant::now(),
                since: None,
                begun: None,
            });
        }
        Ok(())
    }

    /// Records what was delivered and is due; at the end, all of it. What could not be recorded stays.
    pub(crate) async fn flush(&self, journal: &dyn Journal, is_end: bool) {
        let due: Vec<Consumer> = self
            .windows()
            .iter()
            .filter(|(_, window)| window.since.is_some() || window.begun.is_some())
            .filter(|(_, window)| is_end || window.recorded.elapsed() >= self.interval)
            .map(|(consumer, _)| consumer.clone())
            .collect();
        let mut recording = stream::iter(due)
            .map(|consumer| async move { self.record(journal, &consumer).await })
            .buffer_unordered(AT_A_TIME);
        while let Some(recorded) = recording.next().await {
            if let Err(error) = recorded {
                // Where one is refused, the others would wait for the same.
                tracing::warn!(%error, "feed deliveries are not recorded yet");
                return;
            }
        }
    }

    /// Records what a consumer got and is not recorded.
    async fn record(&self, journal: &dyn Journal, consumer: &Consumer) -> Result<(), Unrecorded> {
        let Some((visitor, delivered, before)) = self.begin(consumer) else { return Ok(()) };
        let recorded = journal.record(access(&visitor, consumer.role, &delivered)).await;
        if let Some(window) = self.windows().get_mut(consumer) {
            match &recorded {
                // Unless another went on with it meanwhile.
                Ok(()) => drop(window.begun.take_if(|begun| *begun == delivered)),
                Err(_) => window.recorded = before,
            }
        }
        recorded
    }

    /// What is to be recorded of a consumer now, and when its last record was begun.
    fn begin(&self, consumer: &Consumer) -> Option<(Visitor, Delivered, Instant)> {
        let mut windows = self.windows();
        let window = windows.get_mut(consumer)?;
        let delivered = match (window.begun.take(), window.since.take()) {
            (Some(begun), Some(since)) => begun.and(&since),
            (one, other) => one.or(other)?,
        };
        window.begun = Some(delivered.clone());
        let before = std::mem::replace(&mut window.recorded, Instant::now());
        Some((window.visitor.clone(), delivered, before))
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Consumer, Window>> {
        // Nothing panics while the lock is held.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    fn of(visitor: &Visitor, role: Role) -> Self {
        let principal = visitor.principal();
        Self {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            token_id: principal.token_id.clone(),
            expires_at: principal.expires_at,
            client: visitor.client().clone(),
            role,
        }
    }
}

impl Window {
    fn note(&mut self, now: Delivered) {
        self.since = Some(match self.since.take() {
            Some(since) => since.and(&now),
            None => now,
        });
    }

    fn is_needed(&self, interval: Duration) -> bool {
        self.since.is_some() || self.begun.is_some() || self.recorded.elapsed() < interval
    }
}

impl Delivered {
    fn and(self, later: &Self) -> Self {
        Self {
            range: self.range.start.min(later.range.start)..self.range.end.max(later.range.end),
            checkpoint_size: self.checkpoint_size.max(later.checkpoint_size),
        }
    }
}

fn access(visitor: &Visitor, role: Role, delivered: &Delivered) -> Access {
    visitor.access(Accessed {
        door: Door::Feed,
        result: Outcome::Allowed,
        role: Some(role),
        checkpoint_size: delivered.checkpoint_size,
        first_index: delivered.range.start,
        end_index: delivered.range.end,
        ..Accessed::default()
    })
}
