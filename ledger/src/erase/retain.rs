//! Erasing what the configuration keeps no longer: class by class, one commit after another.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::Slot;
use proto::v1::disclosure_erased::Ground;
use serde_json::json;

use super::Erasures;
use super::order::OrderError;
use super::plan::Plan;
use super::receipt::as_json;
use crate::sequencer::Stopped;
use crate::store::StoreError;

/// Leaves looked at ahead before an order gets its turn.
const AHEAD_AT_ONCE: u64 = 200_000;
/// As `/readyz` names it.
const FULL: &str = "retention waits";
const FAILED: &str = "retention failed";

impl Erasures {
    /// Erases what is due at a time (Unix ns), but nothing of a class that waits for a person: in parts that each are one
    /// commit, one large exchange aside; then takes all of it off the disk. How many leaves that were. A class that fails is
    /// told, and the next has its turn all the same. It ends when more than so many holds are `released`: what they kept is
    /// told before it goes.
    ///
    /// # Errors
    /// [`OrderError`], of what concerns every class.
    pub(super) async fn retain_told(
        self: &Arc<Self>,
        now_ns: u64,
        released: u64,
    ) -> Result<usize, OrderError> {
        let retained = self.retain_classes(now_ns, released).await;
        // One for all commits of a pass: each rewrites the tables of all keys.
        if !matches!(retained, Err(OrderError::Stopped(_))) && self.store.must_purge()? {
            let _work = Arc::clone(&self.work).lock_owned().await;
            self.purge().await;
        }
        retained
    }

    /// The same, but for the purge.
    async fn retain_classes(
        self: &Arc<Self>,
        now_ns: u64,
        released: u64,
    ) -> Result<usize, OrderError> {
        let due = self.retention.due(now_ns);
        let classes: Vec<_> = due.filter(|(class, ..)| !self.caution.holds_back(class)).collect();
        if !classes.is_empty() {
            self.work.lock().await.check_holds()?;
        }
        let mut leaves = 0;
        let (mut full, mut failed) = (Vec::new(), Vec::new());
        for (class, days, before_ns) in classes {
            // Before each: one that failed has forgotten what came late.
            self.look_ahead().await?;
            loop {
                let mut work = Arc::clone(&self.work).lock_owned().await;
                if work.released != released {
                    return Ok(leaves);
                }
                let (this, name) = (Arc::clone(self), class.to_owned());
                let looking = tokio::task::spawn_blocking(move || {
                    let due = this.due(&mut work, &name, before_ns);
                    if due.is_err() {
                        // What was waiting may be lost.
                        work.progress.begin_again();
                    }
                    Ok::<_, StoreError>((work, due?))
                });
                let (mut work, due) = match looking.await.map_err(|_| Stopped)? {
                    Ok(looked) => looked,
                    Err(error) => {
                        failed.push((class, OrderError::from(error)));
                        break;
                    }
                };
                tell_overdue(class, due.overdue_ns);
                if due.plan.leaves() > 0 {
                    let carried = self.carry_through(&due.plan, (class, days, before_ns)).await;
                    if let Err(error) = carried {
                        // What was taken out of that which waits, and is there still, is looked for again.
                        work.progress.begin_again();
                        if matches!(error, OrderError::Stopped(_)) {
                            return Err(error);
                        }
                        failed.push((class, error));
                        break;
                    }
                    leaves += due.plan.leaves();
                }
                if due.is_full {
                    full.push(class);
                }
                if due.is_last {
                    break;
                }
            }
        }
        self.tell_full(&full);
        self.tell_failed(&failed);
        Ok(leaves)
    }

    /// Erases. The caller holds `work`.
    async fn carry_through(
        self: &Arc<Self>,
        plan: &Plan,
        (class, days, before_ns): (&str, u32, u64),
    ) -> Result<(), OrderError> {
        let (backups, no_new_ones) = self.backups().await?;
        let reason = json!({
            "reason": "retention", "class": class, "keep_days": days, "backups": backups
        });
        let subject = json!({ "class": class, "before_ns": before_ns });
        let contents = vec![(Slot::Reason, as_json(&reason)?), (Slot::Subject, as_json(&subject)?)];
        self.erase(plan, Ground::Retention, contents).await?;
        drop(no_new_ones);
        Ok(())
    }

    /// Looks for what came late up to the newest leaf, in steps between which orders get their turn.
    async fn look_ahead(self: &Arc<Self>) -> Result<(), OrderError> {
        loop {
            let mut work = Arc::clone(&self.work).lock_owned().await;
            let this = Arc::clone(self);
            let looking = tokio::task::spawn_blocking(move || {
                work.progress.look_ahead(&*this.store, AHEAD_AT_ONCE)
            });
            if looking.await.map_err(|_| Stopped)?? {
                return Ok(());
            }
        }
    }

    /// Says of which classes nothing more can be followed.
    fn tell_full(&self, classes: &[&str]) {
        if classes.is_empty() {
            return self.troubles.is_over(FULL);
        }
        let why = format!(
            "too many exchanges of {} are old enough and have not ended, and nothing behind them is looked at. They end \
             with their closing event, or when their gateway stops or starts anew",
            classes.join(", ")
        );
        self.troubles.report(FULL, &why);
    }

    /// Says of which classes not everything that is due could be erased, and why: with the store's own words, for whoever runs
    /// the ledger.
    pub(super) fn tell_failed(&self, failed: &[(&str, OrderError)]) {
        if failed.is_empty() {
            return self.troubles.is_over(FAILED);
        }
        let each = failed.iter().map(|(class, error)| match error {
            OrderError::Store(error) => format!("{class}: {error}"),
            error => format!("{class}: {error}"),
        });
        let why = each.collect::<Vec<_>>().join("; ");
        tracing::error!(%why, "what is due could not be erased");
        let why = format!(
            "{why}. What is due stays until a pass succeeds; there is one every ten minutes"
        );
        self.troubles.report(FAILED, &why);
    }
}

#[cfg(test)]
impl Erasures {
    /// What a pass erases that was told.
    pub(crate) async fn retain(self: &Arc<Self>, now_ns: u64) -> Result<usize, OrderError> {
        let released = self.work.lock().await.released;
        self.retain_told(now_ns, released).await
    }
}

/// How long the oldest leaf of a class is overdue that waits for the end of its exchange.
fn tell_overdue(class: &str, overdue_ns: u64) {
    metrics::gauge!("exhibit_ledger_retention_overdue_seconds", "class" => class.to_owned())
        .set(Duration::from_nanos(overdue_ns).as_secs_f64());
}
