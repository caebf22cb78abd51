//! The passes of retention in a start: the first one erases nothing, and tells what the next one will.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Erasures;
use super::follow::first_at_or_after;
use super::kinds::server_of;
use super::order::OrderError;
use super::unit::Gather;
use crate::clock::unix_now_ns;
use crate::sequencer::Stopped;
use crate::store::StoreError;

/// So many leaves of a class are told before they are erased.
const MUCH: u64 = 1_000;
/// As `/readyz` names it.
const SOON: &str = "retention is about to erase";

impl Erasures {
    /// Erases what is due now, if the clock can be trusted; how many leaves that were.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(super) async fn retain_with_caution(self: &Arc<Self>) -> Result<usize, OrderError> {
        let now_ns = self.now_ns()?;
        if !self.has_classes() || !self.caution.allows(now_ns, &self.troubles) {
            return Ok(0);
        }
        let erased = self.retain(now_ns).await;
        self.troubles.is_over(SOON);
        erased
    }

    /// Tells what the first pass after a start will erase, when it is much.
    pub(super) async fn announce(self: &Arc<Self>) -> Result<(), OrderError> {
        let now_ns = self.now_ns()?;
        if !self.has_classes() || !self.caution.allows(now_ns, &self.troubles) {
            return Ok(());
        }
        let this = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || this.foreseen(now_ns));
        let foreseen = looking.await.map_err(|_| Stopped)??;
        let much: Vec<_> = foreseen
            .iter()
            .filter(|(_, leaves)| **leaves >= MUCH)
            .map(|(class, leaves)| format!("up to {leaves} leaves of {class}"))
            .collect();
        if !much.is_empty() {
            let why = format!(
                "{}, for good, ten minutes after the start. If that is not meant, stop the ledger before, and look at \
                 [ledger.retention] and the clock",
                much.join(", ")
            );
            self.troubles.report(SOON, &why);
        }
        Ok(())
    }

    /// Whether anything is ever erased for its days.
    fn has_classes(&self) -> bool {
        self.retention.due(0).next().is_some()
    }

    /// The time of the newest entry, some seconds ago, which the sequencer holds against the monotonic clock; or the wall clock,
    /// when that was set back since.
    fn now_ns(&self) -> Result<u64, StoreError> {
        Ok(self.store.head()?.map_or(0, |head| head.recorded_at_ns).min(unix_now_ns()))
    }

    /// How many leaves of each class are old enough and disclose something; some of them may be held, or open.
    fn foreseen(&self, now_ns: u64) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut ends = BTreeMap::new();
        for (class, _, before_ns) in self.retention.due(now_ns) {
            if !self.caution.holds_back(class) {
                ends.insert(class, first_at_or_after(&*self.store, before_ns)?);
            }
        }
        let last = ends.values().copied().max().unwrap_or_default();
        let mut found = BTreeMap::new();
        let gather = Gather { store: &*self.store, wanted: None, with_principals: false };
        gather.each(0..last, &mut |seen| {
            let server = seen.leaf.event.kind.as_ref().and_then(server_of);
            let class = self.retention.class_of(server);
            let is_due =
                class.and_then(|class| ends.get(class)).is_some_and(|end| seen.index.0 < *end);
            if let Some(class) = class.filter(|_| is_due && !seen.slots.is_empty()) {
                *found.entry(class.to_owned()).or_insert(0) += 1;
            }
            true
        })?;
        Ok(found)
    }
}
