//! The passes of retention in a start. One that may erase much for the first time tells it, and the next one does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kinds::server_of;
use super::order::OrderError;
use super::times::first_at_or_after;
use super::unit::Gather;
use super::{Erasures, INTERVAL};
use crate::clock::{unix_now_ns, utc};
use crate::sequencer::Stopped;
use crate::store::StoreError;

/// So many leaves of a class are told before they are erased.
const MUCH: u64 = 1_000;
/// As `/readyz` names it.
const SOON: &str = "retention is about to erase";

impl Erasures {
    /// One pass by the ledger's time; see [`pass_at`](Self::pass_at).
    ///
    /// # Errors
    /// [`OrderError`].
    pub(super) async fn pass(
        self: &Arc<Self>,
        told: &mut Option<u64>,
    ) -> Result<usize, OrderError> {
        let now_ns = self.now_ns()?;
        self.pass_at(now_ns, told).await
    }

    /// Erases what is due at a time, if the clock counts; how many leaves that were. The first pass that may, and the first
    /// one after a hold was released, erases nothing, and tells what the next one will. `told` is how many holds had been
    /// released when that was told.
    ///
    /// # Errors
    /// [`OrderError`]; what could not be told is told by the next pass.
    pub(crate) async fn pass_at(
        self: &Arc<Self>,
        now_ns: u64,
        told: &mut Option<u64>,
    ) -> Result<usize, OrderError> {
        if !self.has_classes() || !self.caution.allows(now_ns, &self.troubles) {
            return Ok(0);
        }
        let released = self.work.lock().await.released;
        if *told != Some(released) {
            self.announce(now_ns).await?;
            *told = Some(released);
            return Ok(0);
        }
        let erased = self.retain_told(now_ns, released).await;
        self.troubles.is_over(SOON);
        erased
    }

    /// Tells what the next pass will erase, when it is much.
    async fn announce(self: &Arc<Self>, now_ns: u64) -> Result<(), OrderError> {
        let this = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || this.foreseen(now_ns));
        let foreseen = looking.await.map_err(|_| Stopped)??;
        let much: Vec<_> = foreseen
            .iter()
            .filter(|(_, leaves)| **leaves >= MUCH)
            .map(|(class, leaves)| format!("up to {leaves} leaves of {class}"))
            .collect();
        if much.is_empty() {
            return Ok(());
        }
        let interval_ns = u64::try_from(INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        let why = format!(
            "{}, for good, from {} on. If that is not meant, stop the ledger before, and look at [ledger.retention], the holds \
             and the clock",
            much.join(", "),
            utc(now_ns.saturating_add(interval_ns))
        );
        self.troubles.report(SOON, &why);
        Ok(())
    }

    /// Whether anything is ever erased for its days.
    fn has_classes(&self) -> bool {
        self.retention.due(0).next().is_some()
    }

    /// The time of the newest entry, some seconds ago, which the sequencer holds against the monotonic clock; or the wall clock,
    /// when that was set back since.
    pub(crate) fn now_ns(&self) -> Result<u64, StoreError> {
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
