//! Orders: what one person asks for and another approves.
//!
//! An order that waits stands in memory alone, and is gone after a day or a restart; then it is asked for again. What was
//! approved is in the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use identity::Principal;
use proto::ids::Id;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::receipt::named;
use super::scope::{Conditions, Scope};
use crate::clock::unix_now_ns;

/// How long an order waits for its approval.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Most orders that wait.
const MAX_WAITING: usize = 1_000;
/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 4_096;

/// What is asked for, as it comes through the door.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Erase disclosures.
    Erase { scope: Scope, reason: String },
    /// Place a legal hold.
    Hold { scope: Scope, reason: String },
    /// Release one, by its id.
    Release { hold: String, reason: String },
}

impl Request {
    /// What it wants, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Request::Erase { .. } => "erase",
            Request::Hold { .. } => "hold",
            Request::Release { .. } => "release",
        }
    }
}

/// An order that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) task: Task,
    pub(crate) reason: String,
    pub(crate) asked_by: Principal,
    /// What it would have done when it was asked for, as JSON.
    pub(crate) told: Value,
    /// Unix ns.
    pub(crate) asked_at_ns: u64,
    pub(crate) expires_at_ns: u64,
    until: Instant,
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) task: Task,
    pub(crate) reason: String,
    pub(crate) asked_by: Principal,
    pub(crate) told: Value,
}

impl Order {
    /// Who asked and approved and why, as receipts and lists say it.
    pub(crate) fn said(&self, approver: &Principal) -> Value {
        let mut said = json!({
            "reason": self.reason, "asked_by": named(&self.asked_by), "approved_by": named(approver)
        });
        if let Some(covers) = self.told.get("covers") {
            said["covers"] = covers.clone();
        }
        said
    }
}

/// What an order does.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    Erase(Conditions),
    Hold(Conditions),
    Release(Id),
}

impl Task {
    /// Its name, as requests have it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Erase(_) => "erase",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
        }
    }

    /// Whether it is what the approver takes it for, when that is said.
    ///
    /// # Errors
    /// [`OrderError::OtherKind`].
    pub(crate) fn check_kind(&self, id: Id, expected: Option<&str>) -> Result<(), OrderError> {
        let kind = self.kind();
        if expected.is_none_or(|expected| expected == kind) {
            return Ok(());
        }
        let id = id.to_string();
        let command = format!("{} {id}", approved_with(kind));
        Err(OrderError::OtherKind { id, kind, command })
    }
}

/// The command of `exhibit` with which somebody approves an order of this kind, but for its id.
pub fn approved_with(kind: &str) -> &'static str {
    if kind == "erase" { "erase --approve" } else { "hold approve" }
}

/// Why an order is not taken, or not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("{0}")]
    Unusable(String),
    #[error(
        "no order {0} waits here: it may have been approved or withdrawn, or have expired, or the ledger was restarted"
    )]
    Unknown(String),
    #[error("who asked may not approve: another person with the role approver must")]
    SamePerson,
    #[error("{MAX_WAITING} orders wait for their approval; approve some, or let them expire")]
    TooManyOrders,
    #[error("no hold {0} is in force")]
    UnknownHold(String),
    #[error("as many holds are in force as there can be; release some")]
    TooManyHolds,
    #[error(
        "nothing matches: no exchange and no event of that scope is in the log, or nothing is left by which it could be \
         found. Look at issuer and subject as the issuer writes them; to somebody whose exchanges were erased nothing \
         points any more"
    )]
    Nothing,
    #[error(
        "it is already erased: {0} leaves are in that scope, and none discloses anything any more"
    )]
    AlreadyErased(usize),
    #[error("order {id} is to {kind}: it is approved with `exhibit {command}`")]
    OtherKind { id: String, kind: &'static str, command: String },
    #[error(
        "{0} exchanges in that scope are still open; erase them when they have ended, or when their gateway has started anew"
    )]
    Open(usize),
    #[error("it is held: release {} first", .0.join(", "))]
    Held(Vec<String>),
    #[error(
        "a legal hold cannot be read, so nobody can tell what may be erased, and nothing is: {0}. Find out what it keeps, place \
         that anew, and have the damaged one released by its id (docs/ledger.md, \"A hold that cannot be read\")"
    )]
    HoldsDamaged(String),
    #[error("the retention class {0} of the ledger's configuration forbids erasure")]
    ClassForbids(String),
    #[error(
        "it is more than one erasure takes, {} leaves: erase in parts, with from_ns and before_ns{}. An exchange that is larger \
         alone is erased alone, by its id",
        super::unit::MAX_LEAVES, fits(.before_ns)
    )]
    TooLarge { before_ns: Option<u64> },
    #[error(
        "{done} leaves were erased, each with its event, as erasure {erasure}, and then the ledger could not read its store; its log \
         says why. What is left can be read as before; an order waits still, and takes the rest when it is approved once more"
    )]
    Partly { done: usize, erasure: Id, error: crate::store::StoreError },
    #[error("the ledger could not read its store; its log says why")]
    Store(#[from] crate::store::StoreError),
    #[error("{0}")]
    Stopped(#[from] crate::sequencer::Stopped),
}

/// How much fits, if that is known.
fn fits(before_ns: &Option<u64>) -> String {
    before_ns.map_or_else(String::new, |before| format!("; what is before {before} fits"))
}

impl OrderError {
    /// Stable name of the refusal.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "order_unusable",
            Self::Unknown(_) => "order_unknown",
            Self::SamePerson => "same_person",
            Self::TooManyOrders => "too_many_orders",
            Self::UnknownHold(_) => "hold_unknown",
            Self::TooManyHolds => "too_many_holds",
            Self::Nothing => "nothing_to_erase",
            Self::AlreadyErased(_) => "already_erased",
            Self::OtherKind { .. } => "order_of_another_kind",
            Self::Open(_) => "exchanges_open",
            Self::Held(_) => "held",
            Self::HoldsDamaged(_) => "holds_damaged",
            Self::ClassForbids(_) => "class_forbids_erasure",
            Self::TooLarge { .. } => "erasure_too_large",
            Self::Partly { .. } => "erased_in_part",
            Self::Store(_) => "store_failed",
            Self::Stopped(_) => "ledger_stopped",
        }
    }
}

impl OrderError {
    /// The same failure, behind so many leaves of this erasure that are gone. Of a ledger that stops nobody knows how many.
    pub(super) fn behind(self, done: usize, erasure: Id) -> Self {
        match self {
            Self::Store(error) if done > 0 => Self::Partly { done, erasure, error },
            other => other,
        }
    }

    /// Whether it is certain that nothing was done.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self, Self::Partly { .. } | Self::Stopped(_))
    }
}

impl Request {
    /// # Errors
    /// [`OrderError::Unusable`].
    pub(crate) fn check(self) -> Result<(Task, String), OrderError> {
        let conditions =
            |scope: Scope| scope.check().map_err(|error| OrderError::Unusable(error.to_string()));
        let (task, reason) = match self {
            Self::Erase { scope, reason } => (Task::Erase(conditions(scope)?), reason),
            Self::Hold { scope, .. } if scope.class.is_some() => {
                let message =
                    "a hold names no class: what is in a class changes with the configuration";
                return Err(OrderError::Unusable(message.into()));
            }
            Self::Hold { scope, reason } => (Task::Hold(conditions(scope)?), reason),
            Self::Release { hold, reason } => (Task::Release(id(&hold)?), reason),
        };
        if reason.trim().is_empty() || reason.len() > MAX_REASON_BYTES {
            let message = format!("give a reason of 1 to {MAX_REASON_BYTES} bytes");
            return Err(OrderError::Unusable(message));
        }
        Ok((task, reason))
    }
}

/// An id as 32 hex digits.
///
/// # Errors
/// [`OrderError::Unusable`].
pub(crate) fn id(text: &str) -> Result<Id, OrderError> {
    let parsed = hex::decode(text).ok().and_then(|bytes| Id::from_slice(&bytes));
    parsed.ok_or_else(|| OrderError::Unusable("an id has 32 hex digits".into()))
}

/// Orders that wait.
#[derive(Debug, Default)]
pub(crate) struct Orders(BTreeMap<Id, Order>);

impl Orders {
    /// # Errors
    /// [`OrderError::TooManyOrders`].
    pub(crate) fn put(&mut self, id: Id, asked: Asked) -> Result<(), OrderError> {
        let now = Instant::now();
        self.0.retain(|_, order| order.until > now);
        if self.0.len() >= MAX_WAITING {
            return Err(OrderError::TooManyOrders);
        }
        let Asked { task, reason, asked_by, told } = asked;
        let asked_at_ns = unix_now_ns();
        let patience_ns = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let expires_at_ns = asked_at_ns.saturating_add(patience_ns);
        let until = now + PATIENCE;
        let order = Order { task, reason, asked_by, told, asked_at_ns, expires_at_ns, until };
        self.0.insert(id, order);
        Ok(())
    }

    /// The order, for somebody who may approve it; it waits on until it is taken.
    ///
    /// # Errors
    /// [`OrderError::Unknown`], [`OrderError::SamePerson`].
    pub(crate) fn find(&self, id: Id, approver: &Principal) -> Result<Order, OrderError> {
        let waiting = self.0.get(&id).filter(|order| order.until > Instant::now());
        let order = waiting.ok_or_else(|| OrderError::Unknown(id.to_string()))?;
        let (asker, approver) = (name(&order.asked_by), name(approver));
        if asker == approver { Err(OrderError::SamePerson) } else { Ok(order.clone()) }
    }

    /// Removes an order; `false` when somebody was faster.
    pub(crate) fn take(&mut self, id: Id) -> bool {
        self.0.remove(&id).is_some()
    }

    /// Those that wait.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Id, &Order)> {
        let now = Instant::now();
        self.0.iter().filter(move |(_, order)| order.until > now).map(|(id, order)| (*id, order))
    }
}

/// What tells two people apart.
fn name(principal: &Principal) -> (&str, &str) {
    (&principal.issuer, &principal.subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(subject: &str) -> Principal {
        let subject = subject.to_owned();
        Principal { issuer: "https://issuer".into(), subject, ..Principal::unauthenticated() }
    }

    fn asked(hold: Id) -> Asked {
        let (task, reason) = (Task::Release(hold), "over".into());
        Asked { task, reason, asked_by: person("cora"), told: Value::Null }
    }

    #[test]
    fn an_order_is_approved_as_what_it_is() {
        let release = Task::Release(Id([2; 16]));
        let id = Id([1; 16]);
        assert!(release.check_kind(id, None).is_ok());
        assert!(release.check_kind(id, Some("release")).is_ok());
        let refused = release.check_kind(id, Some("erase")).unwrap_err();
        assert_eq!(refused.code(), "order_of_another_kind");
        assert!(refused.to_string().contains(&format!("exhibit hold approve {id}")), "{refused}");
    }

    #[test]
    fn who_asked_may_not_approve() {
        let mut orders = Orders::default();
        let id = Id([1; 16]);
        orders.put(id, asked(Id([2; 16]))).unwrap();
        assert!(matches!(orders.find(id, &person("cora")), Err(OrderError::SamePerson)));
        assert!(orders.find(id, &person("abel")).is_ok());
        assert!(orders.take(id) && !orders.take(id));
        assert!(matches!(orders.find(id, &person("abel")), Err(OrderError::Unknown(_))));
    }

    #[test]
    fn a_request_has_a_reason_and_a_scope() {
        let check = |text: &str| serde_json::from_str::<Request>(text).unwrap().check();
        assert!(check(r#"{"kind":"erase","scope":{"subject":"a"},"reason":"asked to"}"#).is_ok());
        for bad in [
            r#"{"kind":"erase","scope":{"subject":"a"},"reason":" "}"#,
            r#"{"kind":"hold","scope":{},"reason":"x"}"#,
            r#"{"kind":"hold","scope":{"class":"c"},"reason":"x"}"#,
            r#"{"kind":"release","hold":"zz","reason":"x"}"#,
        ] {
            assert!(matches!(check(bad), Err(OrderError::Unusable(_))), "{bad}");
        }
    }

    /// Break it: let `behind` give every failure back as it was.
    #[test]
    fn a_failure_behind_a_commit_says_what_is_done() {
        let failed = || OrderError::Store(crate::store::StoreError::Damaged("entry 7".into()));
        let (first, second) = (failed().behind(0, Id([1; 16])), failed().behind(9, Id([1; 16])));
        assert!(first.is_certain() && first.code() == "store_failed");
        assert!(!second.is_certain() && second.code() == "erased_in_part");
        let told = second.to_string();
        assert!(told.starts_with("9 leaves") && told.contains(&"01".repeat(16)), "{told}");
        let stopped = OrderError::Stopped(crate::sequencer::Stopped).behind(9, Id([1; 16]));
        assert!(!stopped.is_certain() && stopped.code() == "ledger_stopped");
    }

    #[test]
    fn only_so_many_wait() {
        let mut orders = Orders::default();
        for n in 0..MAX_WAITING as u64 {
            let id = Id((u128::from(n)).to_be_bytes());
            orders.put(id, asked(id)).unwrap();
        }
        let one_more = orders.put(Id([9; 16]), asked(Id([9; 16])));
        assert!(matches!(one_more, Err(OrderError::TooManyOrders)));
    }
}
