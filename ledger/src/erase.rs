//! Erasing disclosures, and holding them.
//!
//! One commit holds the DisclosureErased events and takes the sealed disclosures and their keys out of the store. A crash
//! before it leaves nothing of the erasure, a crash after it all of it: there is no erasure without its event, and none half
//! done, but of one exchange that is larger than a commit (`erase/parts.rs`). The same commit writes down that the disk must be purged; that is done before the order is answered, and again at
//! the next start when a crash came between (`store/rocks/purge.rs`).
//!
//! Whom a disclosure is about stands in no index: that would be personal data at rest in the clear. So each order reads
//! the log from its first entry, and of a subject opens every PRINCIPAL that is left.

pub(crate) mod caution;
mod commit;
mod ended;
mod follow;
mod kinds;
mod late;
mod named;
pub(crate) mod order;
mod parts;
mod passes;
mod plan;
mod quiet;
mod receipt;
mod retain;
pub(crate) mod scope;
mod times;
pub(crate) mod unit;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use identity::Principal;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::disclosure_erased::Ground;
use proto::v1::{HoldPlaced, HoldReleased};
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use self::caution::Caution;
use self::commit::fresh_id;
use self::ended::Stops;
use self::follow::Progress;
pub use self::order::approved_with;
use self::order::{Asked, Order, OrderError, Orders, Request, Task};
use self::receipt::{as_json, named};
use crate::backup::MomentLock;
use crate::health::Troubles;
use crate::hold::{Held, Holds, MAX_HOLDS};
use crate::own::OwnRecorder;
use crate::registry::Registry;
use crate::retention::Retention;
use crate::sequencer::{HoldChange, Stopped};
use crate::store::Store;

/// How text that people write into an order is masked before it is recorded: whoever composes the ledger knows the
/// detectors.
pub type Masker = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// How often is looked for what is due, and for a purge that failed. Nothing is due sooner after a start.
const INTERVAL: Duration = Duration::from_secs(600);

/// Carries out orders, and what the configuration says of retention.
pub(crate) struct Erasures {
    store: Arc<dyn Store>,
    own: OwnRecorder,
    registry: Arc<Registry>,
    retention: Retention,
    caution: Caution,
    data_dir: PathBuf,
    moment: MomentLock,
    troubles: Troubles,
    masker: Masker,
    orders: Mutex<Orders>,
    stops: Stops,
    /// One erasure or hold at a time: none is planned while another changes what is there.
    work: Arc<tokio::sync::Mutex<Work>>,
    /// How often was purged.
    #[cfg(test)]
    pub(crate) purges: std::sync::atomic::AtomicUsize,
}

/// What only one may touch.
#[derive(Debug, Default)]
struct Work {
    holds: Holds,
    progress: Progress,
    /// How many holds were released since the start.
    released: u64,
}

impl Work {
    /// # Errors
    /// [`OrderError::HoldsDamaged`].
    fn check_holds(&self) -> Result<(), OrderError> {
        self.holds.damage().map_or(Ok(()), |why| Err(OrderError::HoldsDamaged(why)))
    }
}

/// What [`Erasures`] needs.
pub(crate) struct ErasureParts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) own: OwnRecorder,
    pub(crate) registry: Arc<Registry>,
    pub(crate) retention: Retention,
    pub(crate) caution: Caution,
    pub(crate) data_dir: PathBuf,
    /// Backups have the same.
    pub(crate) moment: MomentLock,
    pub(crate) troubles: Troubles,
    pub(crate) masker: Masker,
    /// Those in force.
    pub(crate) holds: Holds,
}

impl Erasures {
    pub(crate) fn new(parts: ErasureParts) -> Arc<Self> {
        let ErasureParts {
            store,
            own,
            registry,
            retention,
            caution,
            data_dir,
            moment,
            troubles,
            masker,
            holds,
        } = parts;
        holds.tell(&troubles);
        let work = Work { holds, ..Work::default() };
        let (orders, work) = (Mutex::default(), Arc::new(tokio::sync::Mutex::new(work)));
        Arc::new(Self {
            store,
            own,
            registry,
            retention,
            caution,
            data_dir,
            moment,
            troubles,
            masker,
            orders,
            stops: Stops::default(),
            work,
            #[cfg(test)]
            purges: std::sync::atomic::AtomicUsize::default(),
        })
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
        let (mut task, reason) = request.check()?;
        if let Task::Erase(conditions) = &mut task {
            conditions.as_of(self.store.head()?.map_or(0, |head| head.recorded_at_ns));
        }
        let reason = (self.masker)(&reason);
        let work = Arc::clone(&self.work).lock_owned().await;
        let mut told = match &task {
            Task::Erase(_) => self.plan(work, &task).await?.1.told(),
            Task::Hold(conditions) => match self.covered(conditions).await? {
                Some(covers) => json!({ "covers": covers }),
                None => json!({}),
            },
            Task::Release(id) => {
                let told = work.holds.told(*id);
                told.ok_or_else(|| OrderError::UnknownHold(id.to_string()))?
            }
        };
        let id = fresh_id()?;
        self.orders().put(id, Asked { task, reason, asked_by, told: told.clone() })?;
        told["order"] = id.to_string().into();
        Ok(told)
    }

    /// Carries out an order that somebody else asked for, if it is of this kind; what was done, as JSON. It goes on when the
    /// caller goes away.
    ///
    /// # Errors
    /// [`OrderError`].
    pub(crate) async fn approve(
        self: &Arc<Self>,
        id: Id,
        kind: Option<String>,
        approver: Principal,
    ) -> Result<Value, OrderError> {
        let this = Arc::clone(self);
        let done =
            tokio::spawn(async move { this.carry_out(id, kind.as_deref(), &approver).await });
        done.await.map_err(|_| Stopped)?
    }

    async fn carry_out(
        self: &Arc<Self>,
        id: Id,
        kind: Option<&str>,
        approver: &Principal,
    ) -> Result<Value, OrderError> {
        let work = Arc::clone(&self.work).lock_owned().await;
        let order = self.orders().find(id, approver)?;
        order.task.check_kind(id, kind)?;
        match &order.task {
            Task::Erase(conditions) => {
                let (mut work, plan) = self.plan(work, &order.task).await?;
                let mut told = plan.told();
                let subject = as_json(&json!(conditions.scope()))?;
                let keys: Vec<_> = plan.units.iter().map(|(key, _)| *key).collect();
                let (backups, no_new_ones) = self.backups().await?;
                let contents = self.contents(&order, approver, Some(subject), Some(&backups))?;
                let erased = self.erase(&plan, Ground::Order, contents).await;
                drop(no_new_ones);
                if matches!(erased, Err(OrderError::Partly { .. })) {
                    // It is less than what waits of it, and what is gone is to be off the disk.
                    work.progress.begin_again();
                    self.purge().await;
                }
                let erasure = erased?;
                work.progress.forget(&keys);
                self.orders().take(id);
                told["erasure"] = erasure.to_string().into();
                told["backups"] = backups;
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
                let contents = self.contents(&order, approver, Some(subject), None)?;
                let placed = HoldPlaced { hold_id: hold.to_bytes(), first_index: 0, end_index: 0 };
                let event = (Kind::HoldPlaced(placed), contents);
                let place = self.change(event, (hold, HoldChange::Placed)).await?;
                let said = order.said(approver);
                let placed_at_ns = place.map_or(0, |place| place.recorded_at_ns);
                let held = Held { conditions: conditions.clone(), said, placed_at_ns };
                let told = held.told(hold);
                work.holds.place(hold, held);
                // What waits to be due may be held now, and by whom it is about.
                work.progress.begin_again();
                self.orders().take(id);
                Ok(told)
            }
            Task::Release(hold) => {
                let mut work = work;
                if !work.holds.contains(*hold) {
                    return Err(OrderError::UnknownHold(hold.to_string()));
                }
                let contents = self.contents(&order, approver, None, None)?;
                let released = HoldReleased { hold_id: hold.to_bytes() };
                let event = (Kind::HoldReleased(released), contents);
                self.change(event, (*hold, HoldChange::Released)).await?;
                work.holds.release(*hold);
                work.holds.tell(&self.troubles);
                // What it kept may be due since long. That is told before it goes.
                work.progress.begin_again();
                work.released += 1;
                self.orders().take(id);
                Ok(json!({ "released": hold.to_string() }))
            }
        }
    }

    /// Takes an order back that waits.
    ///
    /// # Errors
    /// [`OrderError::Unknown`].
    pub(crate) async fn withdraw(&self, id: Id) -> Result<Value, OrderError> {
        // None that is carried out at this moment.
        let _work = self.work.lock().await;
        if self.orders().take(id) {
            Ok(json!({ "withdrawn": id.to_string() }))
        } else {
            Err(OrderError::Unknown(id.to_string()))
        }
    }

    /// The holds in force, as JSON.
    pub(crate) async fn holds(&self) -> Value {
        self.work.lock().await.holds.all_told()
    }

    /// The orders that wait, as JSON.
    pub(crate) fn waiting(&self) -> Value {
        let told = |(id, order): (Id, &Order)| {
            let about = match &order.task {
                Task::Erase(conditions) | Task::Hold(conditions) => json!(conditions.scope()),
                Task::Release(hold) => json!({ "hold": hold.to_string() }),
            };
            json!({
                "order": id.to_string(), "kind": order.task.kind(), "scope": about,
                "reason": order.reason, "asked_by": named(&order.asked_by),
                "asked_at_ns": order.asked_at_ns, "expires_at_ns": order.expires_at_ns,
                "would": order.told
            })
        };
        self.orders().each().map(told).collect()
    }

    /// Purges what an earlier start left, and erases what is due, from time to time. Ends when nothing can be recorded.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut told = None;
        loop {
            match self.store.must_purge() {
                Ok(true) => {
                    let _work = Arc::clone(&self.work).lock_owned().await;
                    self.purge().await;
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "what must be purged cannot be read"),
            }
            match self.pass(&mut told).await {
                Ok(0) => {}
                Ok(leaves) => {
                    tracing::info!(leaves, "disclosures were erased: their days are over");
                }
                Err(OrderError::Stopped(_)) => return,
                Err(error) => self.tell_failed(&[("every class", error)]),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guards the work while a plan is made and carried out.
type Working = OwnedMutexGuard<Work>;
