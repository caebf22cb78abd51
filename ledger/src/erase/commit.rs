//! What erasures and holds write: the commit, and the purge behind it.

use std::sync::Arc;

use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::DisclosureErased;
use proto::v1::disclosure_erased::Ground;

use super::Erasures;
use super::order::OrderError;
use super::parts::Keys;
use super::plan::Plan;
use crate::own::Content;
use crate::sequencer::{Committed, HoldChange, Rider, Stopped};
use crate::store::StoreError;

/// Under which a purge that failed is reported.
const PURGE: &str = "what was erased is not off the disk yet";

impl Erasures {
    /// Erases what was planned, in one commit, or of one large exchange in several; the erasure's id. The caller holds `work`
    /// since the plan was made.
    ///
    /// # Errors
    /// [`OrderError::Partly`] when a commit was made before it failed.
    pub(super) async fn erase(
        self: &Arc<Self>,
        plan: &Plan,
        ground: Ground,
        contents: Vec<Content>,
    ) -> Result<Id, OrderError> {
        let (id, mut done) = (fresh_id()?, 0);
        let erased = self.erase_as(id, plan, (ground, contents), &mut done).await;
        erased.map_err(|error| error.behind(done, id))?;
        Ok(id)
    }

    /// Counts in `done` the leaves whose commit was made.
    async fn erase_as(
        self: &Arc<Self>,
        id: Id,
        plan: &Plan,
        (ground, contents): (Ground, Vec<Content>),
        done: &mut usize,
    ) -> Result<(), OrderError> {
        let keys: Keys = Arc::new(plan.units.iter().map(|(key, _)| *key).collect());
        let mut parts = self.parts(plan, &keys).await?;
        let mut contents = Some(contents);
        while let Some(part) = parts.pop() {
            let leaves = self.disclosing(part, &keys).await?;
            let mut rider = Rider::default();
            if parts.is_empty() {
                rider.destroyed = keys.iter().copied().collect();
                rider.looked_to = self.quiet_up_to(plan.looked_to, &keys).await?;
            }
            let mut events = Vec::with_capacity(leaves.len());
            for leaf in leaves {
                rider.erased.extend(leaf.slots.iter().map(|slot| (leaf.index, *slot)));
                let erased = DisclosureErased {
                    event_id: leaf.event_id,
                    leaf_index: leaf.index.0,
                    leaf_hash: leaf.hash.0.to_vec().into(),
                    slots: leaf.slots,
                    retained_until_ns: 0,
                    erasure_id: id.to_bytes(),
                    ground: ground.into(),
                };
                let contents = contents.take().unwrap_or_default();
                events.push((Kind::DisclosureErased(erased), contents));
            }
            if events.is_empty() {
                let reason = "what was to be erased is not where it was found";
                return Err(StoreError::Damaged(reason.to_owned()).into());
            }
            let leaves = events.len();
            self.own.record_with(events, rider).await?;
            *done += leaves;
        }
        Ok(())
    }

    pub(super) async fn change(
        &self,
        event: (Kind, Vec<Content>),
        hold: (Id, HoldChange),
    ) -> Result<Option<Committed>, OrderError> {
        let rider = Rider { hold: Some(hold), ..Rider::default() };
        Ok(self.own.record_with(vec![event], rider).await?.pop())
    }

    /// Takes what was erased off the disk; whether it is. The caller holds `work`.
    pub(super) async fn purge(&self) -> bool {
        #[cfg(test)]
        self.purges.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = Arc::clone(&self.store);
        let purged = tokio::task::spawn_blocking(move || store.purge()).await;
        let is_done = match purged {
            Ok(Ok(())) => {
                self.troubles.is_over(PURGE);
                true
            }
            Ok(Err(error)) => {
                self.troubles.report(PURGE, &error);
                false
            }
            Err(_) => {
                self.troubles.report(PURGE, &"the purge ended without a reason, see the log");
                false
            }
        };
        metrics::gauge!("exhibit_ledger_purge_pending").set(f64::from(u8::from(!is_done)));
        is_done
    }
}

/// 16 random bytes.
pub(super) fn fresh_id() -> Result<Id, OrderError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        tracing::error!(%error, "there is no randomness for an id");
        Stopped
    })?;
    Ok(Id(id))
}
