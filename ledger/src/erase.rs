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
pub(crate) mod order;
mod parts;
mod passes;
mod plan;
mod receipt;
mod retain;
pub(crate) mod scope;
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
}

/// What only one may touch.
#[derive(Debug, Default)]
struct Work {
    holds: Holds,
    progress: Progress,
}

impl Work {
    /// # Errors
    /// [`OrderError::HoldsDamaged`].
    fn check_holds(&self) -> Result<(), OrderError> {
        let damage = self.holds.damage().map(|why| OrderError::HoldsDamaged(why.to_owned()));
        damage.map_or(Ok(()), Err)
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
        if let Some(why) = holds.damage() {
            troubles.report("legal holds", &format!("{why}; nothing is erased until it is mended"));
        }
        let work = Work { holds, progress: Progress::default() };
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
            Task::Hold(conditions) => json!({ "covers": self.covered(conditions).await? }),
            Task::Release(id) => {
                let held = work.holds.find(*id);
                held.ok_or_else(|| OrderError::UnknownHold(id.to_string()))?.told(*id)
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
                let erasure = self.erase(&plan, Ground::Order, contents).await?;
                drop(no_new_ones);
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
                // What it kept may be due since long.
                work.progress.begin_again();
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
        let work = self.work.lock().await;
        work.holds.each().map(|(id, held)| held.told(id)).collect()
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

    /// Purges what an earlier start left, tells what is about to be erased, and erases what is due, from time to time. Ends
    /// when nothing can be recorded.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut has_announced = false;
        loop {
            match self.store.must_purge() {
                Ok(true) => {
                    let _work = Arc::clone(&self.work).lock_owned().await;
                    self.purge().await;
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "what must be purged cannot be read"),
            }
            let retained = if has_announced {
                self.retain_with_caution().await
            } else {
                self.announce().await.map(|()| 0)
            };
            has_announced = true;
            match retained {
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

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guards the work while a plan is made and carried out.
type Working = OwnedMutexGuard<Work>;
