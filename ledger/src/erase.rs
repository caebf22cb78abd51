//! Erasing disclosures, and holding them.
//!
//! One commit holds the DisclosureErased events and takes the sealed disclosures and their keys out of the store. A crash
//! before it leaves nothing of the erasure, a crash after it all of it: there is no erasure without its event, and none half
//! done. The same commit writes down that the disk must be purged; that is done before the order is answered, and again at
//! the next start when a crash came between (`store/rocks/purge.rs`).
//!
//! Whom a disclosure is about stands in no index: that would be personal data at rest in the clear. So each order reads
//! the log from its first entry, and of a subject opens every PRINCIPAL that is left.

pub(crate) mod order;
mod plan;
mod receipt;
mod retain;
pub(crate) mod scope;
pub(crate) mod unit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity::Principal;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::disclosure_erased::Ground;
use proto::v1::{DisclosureErased, HoldPlaced, HoldReleased};
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use self::order::{Order, OrderError, Orders, Request, Task};
use self::plan::Plan;
use self::receipt::{as_json, named};
use crate::clock::unix_now_ns;
use crate::hold::{Holds, MAX_HOLDS};
use crate::own::{Content, OwnRecorder};
use crate::registry::Registry;
use crate::retention::Retention;
use crate::sequencer::{HoldChange, Rider, Stopped};
use crate::store::{Store, StoreError};

/// How often is looked for what is due, and for a purge that failed.
const INTERVAL: Duration = Duration::from_secs(600);

/// Carries out orders, and what the configuration says of retention.
pub(crate) struct Erasures {
    store: Arc<dyn Store>,
    own: OwnRecorder,
    registry: Arc<Registry>,
    retention: Retention,
    data_dir: PathBuf,
    orders: Mutex<Orders>,
    /// One erasure or hold at a time: none is planned while another changes what is there.
    work: Arc<tokio::sync::Mutex<Work>>,
}

/// What only one may touch.
#[derive(Debug, Default)]
struct Work {
    holds: Holds,
    /// Of each class, the leaf from which on something may be due.
    due_from: BTreeMap<String, u64>,
}

/// What [`Erasures`] needs.
pub(crate) struct ErasureParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) own: OwnRecorder,
    pub(crate) registry: Arc<Registry>,
    pub(crate) retention: Retention,
    pub(crate) data_dir: PathBuf,
}

impl Erasures {
    /// Reads the holds that are in force.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn new(parts: ErasureParts) -> Result<Arc<Self>, StoreError> {
        let ErasureParts { store, own, registry, retention, data_dir } = parts;
        let work = Work { holds: Holds::load(&*store)?, due_from: BTreeMap::new() };
        let (orders, work) = (Mutex::default(), Arc::new(tokio::sync::Mutex::new(work)));
        Ok(Arc::new(Self { store, own, registry, retention, data_dir, orders, work }))
    }

    /// Takes an order, which waits for its approval; what it would do, as JSON.
    ///
    /// # Errors
    /// [`OrderError`]: what is refused now need not wait.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: Request,
        asked_by: Principal,
    ) -> Result<Value, OrderError> {
        let (task, reason) = request.check()?;
        let work = Arc::clone(&self.work).lock_owned().await;
        let mut told = match &task {
            Task::Erase(_) => self.plan(work, &task).await?.1.told(),
            Task::Hold(_) => json!({}),
            Task::Release(id) if work.holds.contains(*id) => json!({ "hold": id.to_string() }),
            Task::Release(id) => return Err(OrderError::UnknownHold(id.to_string())),
        };
        let id = fresh_id()?;
        self.orders().put(id, task, reason, asked_by)?;
        told["order"] = id.to_string().into();
        Ok(told)
    }

    /// Carries out an order that somebody else asked for; what was done, as JSON. It goes on when the caller goes away.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(crate) async fn approve(
        self: &Arc<Self>,
        id: Id,
        approver: Principal,
    ) -> Result<Value, OrderError> {
        let this = Arc::clone(self);
        let done = tokio::spawn(async move { this.carry_out(id, &approver).await });
        done.await.map_err(|_| Stopped)?
    }

    async fn carry_out(
        self: &Arc<Self>,
        id: Id,
        approver: &Principal,
    ) -> Result<Value, OrderError> {
        let work = Arc::clone(&self.work).lock_owned().await;
        let order = self.orders().find(id, approver)?;
        match &order.task {
            Task::Erase(conditions) => {
                let (_work, plan) = self.plan(work, &order.task).await?;
                let mut told = plan.told();
                let subject = as_json(&json!(conditions.scope()))?;
                let contents = self.contents(&order, approver, Some(subject), true)?;
                let erasure = self.erase(plan, Ground::Order, contents).await?;
                self.orders().take(id);
                told["erasure"] = erasure.to_string().into();
                told["purged"] = self.purge().await.into();
                Ok(told)
            }
            Task::Hold(conditions) => {
                let mut work = work;
                if work.holds.len() >= MAX_HOLDS {
                    return Err(OrderError::TooManyHolds);
                }
                let hold = fresh_id()?;
                let subject = as_json(&json!(conditions.scope()))?;
                let contents = self.contents(&order, approver, Some(subject), false)?;
                let placed = HoldPlaced { hold_id: hold.to_bytes(), first_index: 0, end_index: 0 };
                let event = (Kind::HoldPlaced(placed), contents);
                self.change(event, (hold, HoldChange::Placed)).await?;
                work.holds.place(hold, conditions.clone());
                self.orders().take(id);
                Ok(json!({ "hold": hold.to_string() }))
            }
            Task::Release(hold) => {
                let mut work = work;
                if !work.holds.contains(*hold) {
                    return Err(OrderError::UnknownHold(hold.to_string()));
                }
                let contents = self.contents(&order, approver, None, false)?;
                let released = HoldReleased { hold_id: hold.to_bytes() };
                let event = (Kind::HoldReleased(released), contents);
                self.change(event, (*hold, HoldChange::Released)).await?;
                work.holds.release(*hold);
                // What it kept may be due since long.
                work.due_from.clear();
                self.orders().take(id);
                Ok(json!({ "released": hold.to_string() }))
            }
        }
    }

    /// The holds in force, as JSON.
    pub(crate) async fn holds(&self) -> Value {
        let work = self.work.lock().await;
        work.holds
            .each()
            .map(|(id, scope)| json!({ "hold": id.to_string(), "scope": scope }))
            .collect()
    }

    /// The orders that wait, as JSON.
    pub(crate) fn waiting(&self) -> Value {
        let told = |(id, order): (Id, &Order)| {
            let (kind, about) = match &order.task {
                Task::Erase(conditions) => ("erase", json!(conditions.scope())),
                Task::Hold(conditions) => ("hold", json!(conditions.scope())),
                Task::Release(hold) => ("release", json!({ "hold": hold.to_string() })),
            };
            json!({
                "order": id.to_string(), "kind": kind, "scope": about, "reason": order.reason,
                "asked_by": named(&order.asked_by)
            })
        };
        self.orders().each().map(told).collect()
    }

    /// Purges what an earlier start left, then erases what is due, from time to time. Ends when nothing can be recorded.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            match self.store.must_purge() {
                Ok(true) => {
                    let _work = Arc::clone(&self.work).lock_owned().await;
                    self.purge().await;
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "what must be purged cannot be read"),
            }
            match self.retain(unix_now_ns()).await {
                Ok(0) => {}
                Ok(leaves) => {
                    tracing::info!(leaves, "disclosures were erased: their days are over");
                }
                Err(OrderError::Stopped(_)) => return,
                Err(error) => tracing::error!(%error, "what is due could not be erased"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The one commit of an erasure; its id.
    async fn erase(
        &self,
        plan: Plan,
        ground: Ground,
        contents: Vec<Content>,
    ) -> Result<Id, OrderError> {
        let id = fresh_id()?;
        let mut rider = Rider::default();
        let mut contents = Some(contents);
        let mut events = Vec::with_capacity(plan.leaves());
        for (key, unit) in plan.units {
            rider.destroyed.push(key);
            for leaf in unit.leaves {
                rider.erased.extend(leaf.slots.iter().map(|slot| (leaf.index, *slot)));
                let erased = DisclosureErased {
                    event_id: leaf.event_id,
                    slots: leaf.slots,
                    retained_until_ns: 0,
                    erasure_id: id.to_bytes(),
                    ground: ground.into(),
                };
                let contents = contents.take().unwrap_or_default();
                events.push((Kind::DisclosureErased(erased), contents));
            }
        }
        self.own.record_with(events, rider).await?;
        Ok(id)
    }

    async fn change(
        &self,
        event: (Kind, Vec<Content>),
        hold: (Id, HoldChange),
    ) -> Result<(), OrderError> {
        let rider = Rider { hold: Some(hold), ..Rider::default() };
        self.own.record_with(vec![event], rider).await?;
        Ok(())
    }

    /// Takes what was erased off the disk; whether it is. The caller holds `work`.
    async fn purge(&self) -> bool {
        let store = Arc::clone(&self.store);
        let purged = tokio::task::spawn_blocking(move || store.purge()).await;
        let is_done = match purged {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::error!(%error, "what was erased is not off the disk yet");
                false
            }
            Err(_) => false,
        };
        metrics::gauge!("exhibit_ledger_purge_pending").set(f64::from(u8::from(!is_done)));
        is_done
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guards the work while a plan is made and carried out.
type Working = OwnedMutexGuard<Work>;

fn fresh_id() -> Result<Id, OrderError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        tracing::error!(%error, "there is no randomness for an id");
        Stopped
    })?;
    Ok(Id(id))
}
