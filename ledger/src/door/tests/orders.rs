//! Erasures and holds, from the door to the bytes on the disk.

mod backups;
mod copied;
mod damaged;
mod disk;
mod kept;
mod large;
mod late;
mod lost;
mod over;
mod rotten;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::disclosure_erased::Ground;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{
    Call, DisclosureErased, Event, MediaType, NewEvent, Opening, RecorderSeal, RequestReceived,
    ResponseReturned, Slot, StreamMessage,
};
use serde_json::{Value, json};
use tlog::{Hash, LeafIndex, TreeSize};
use tower::ServiceExt;

use self::disk::{Secrets, found_on_disk};
use super::{House, ORIGIN, disclosed, eventually, machine, recorder};
use super::{URL, fsck_of};
use crate::backup::{BackupConfig, ReadBack};
use crate::intake::{Intake, Judged};
use crate::registry::Lease;
use crate::retention::{Always, Keep, RetentionClass};
use crate::sequencer::Arrival;
use crate::vault::NotSealed;

pub(super) const ROLES: [&str; 4] = ["compliance", "approver", "auditor", "follower"];
const DAY_NS: u64 = 86_400_000_000_000;

/// A recorder of exchanges.
struct Caller {
    house: super::Doors,
    intake: Intake,
    lease: Lease,
    epoch: Id,
}

impl Caller {
    fn start(house: &House, epoch: u8) -> Self {
        Self::continued(house, Id([epoch; 16]), None)
    }

    /// The same epoch on another stream.
    fn continued(house: &House, epoch: Id, head: Option<proto::ChainHead>) -> Self {
        let doors = house.doors();
        let lease = doors.registry.lease("r", epoch).unwrap();
        let (key, store) = (recorder().verifying_key(), Arc::clone(&doors.store));
        let intake = Intake::new(ORIGIN.into(), key, epoch, head, None, store);
        Self { house: doors, intake, lease, epoch }
    }

    /// An exchange of `subject` with `server`, whose answer is `text`.
    async fn exchange(&mut self, number: u8, subject: &str, server: &str, text: &str) {
        self.request(number, subject, server).await;
        let call = Some(Call { server: server.into(), ..Call::default() });
        let closing = Kind::ResponseReturned(ResponseReturned { call, ..Default::default() });
        self.record(number, closing, &[(Slot::Message, text)]).await;
    }

    async fn request(&mut self, number: u8, subject: &str, server: &str) {
        let call = Some(Call { server: server.into(), ..Call::default() });
        let opening = Kind::RequestReceived(RequestReceived { call, ..Default::default() });
        let principal = json!({ "issuer": "https://issuer", "subject": subject }).to_string();
        self.record(number, opening, &[(Slot::Principal, &principal), (Slot::Message, "{}")]).await;
    }

    /// A message on the stream of an exchange, sealed and not submitted yet.
    fn message(&mut self, number: u8, text: &str) -> Arrival {
        let call = Some(Call { server: "chat".into(), ..Call::default() });
        let message = Kind::StreamMessage(StreamMessage { call, ..Default::default() });
        self.sealed(number, message, &[(Slot::Message, text)], fresh_id())
    }

    /// So many messages on the stream of an exchange.
    async fn messages(&mut self, number: u8, count: usize) {
        let mut left = count;
        while left > 0 {
            let some: Vec<_> = (0..left.min(4_000)).map(|_| self.message(number, "{}")).collect();
            left -= some.len();
            let head = some[some.len() - 1].head;
            let committed = self.house.sequencer.submit(some, None).await.unwrap();
            let places = committed.await.unwrap();
            self.lease.advance(head, places[places.len() - 1].leaf_index, None);
        }
    }

    /// The seal over what was recorded last.
    async fn seal(&mut self) {
        let head = *self.intake.head().unwrap();
        let seal = Seal {
            origin: ORIGIN,
            recorder_id: "r",
            epoch: self.epoch,
            head,
            checkpoint_size: TreeSize(0),
            checkpoint_root: Hash::empty_root(),
        };
        let seal = RecorderSeal {
            sequence: head.sequence,
            hash: head.hash.to_vec().into(),
            checkpoint_size: 0,
            checkpoint_root: seal.checkpoint_root.0.to_vec().into(),
            key_id: recorder().verifying_key().key_id().to_vec().into(),
            signature: seal.sign(&recorder()).to_vec().into(),
            clock: None,
        };
        self.record(9, Kind::RecorderSeal(seal), &[]).await;
    }

    /// The event that closes an exchange.
    async fn close(&mut self, number: u8, server: &str) {
        let call = Some(Call { server: server.into(), ..Call::default() });
        let closing = Kind::ResponseReturned(ResponseReturned { call, ..Default::default() });
        self.record(number, closing, &[(Slot::Message, "the end")]).await;
    }

    async fn record(&mut self, exchange: u8, kind: Kind, contents: &[(Slot, &str)]) {
        let arrival = self.sealed(exchange, kind, contents, fresh_id());
        self.submit(arrival).await;
    }

    async fn submit(&mut self, arrival: Arrival) -> u64 {
        let head = arrival.head;
        let committed = self.house.sequencer.submit(vec![arrival], None).await.unwrap();
        let places = committed.await.unwrap();
        self.lease.advance(head, places[0].leaf_index, None);
        places[0].recorded_at_ns
    }

    fn sealed(
        &mut self,
        exchange: u8,
        kind: Kind,
        contents: &[(Slot, &str)],
        event_id: Vec<u8>,
    ) -> Arrival {
        self.try_sealed(exchange, kind, contents, event_id).unwrap()
    }

    /// The same, if the ledger takes it; a stream to which it is refused is at its end.
    fn try_sealed(
        &mut self,
        exchange: u8,
        kind: Kind,
        contents: &[(Slot, &str)],
        event_id: Vec<u8>,
    ) -> Result<Arrival, NotSealed> {
        let mut disclosures = Vec::new();
        let mut openings = Vec::new();
        for (slot, content) in contents {
            let salt = crate::vault::fresh_key().unwrap();
            disclosures.push(proto::disclosure::disclose(
                *slot,
                MediaType::Json,
                &salt,
                content.as_bytes(),
            ));
            let content = content.as_bytes().to_vec().into();
            openings.push(Opening { slot: (*slot).into(), salt: salt.to_vec().into(), content });
        }
        let event = Event {
            event_id: event_id.into(),
            occurred_at_ns: 1,
            recorder: Some(proto::chain::next(self.intake.head(), "r", &self.epoch.0)),
            session_id: vec![7; 16].into(),
            exchange_id: vec![exchange; 16].into(),
            disclosures,
            kind: Some(kind),
            ..Event::default()
        };
        let event = proto::canonical::encode_event(&event).unwrap();
        let Judged::Next(accepted) = self.intake.judge(NewEvent { event, openings }).unwrap()
        else {
            panic!("a fork")
        };
        self.intake.seal(*accepted)
    }
}

fn fresh_id() -> Vec<u8> {
    crate::vault::fresh_key().unwrap()[..16].to_vec()
}

impl House {
    /// What a door answers a role.
    async fn order(&self, role: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let method = if body.is_null() { "GET" } else { "POST" };
        let address: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .extension(ConnectInfo(address))
            .header("authorization", format!("Bearer {}", machine(role).token(URL).unwrap()))
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = self.ledger.router().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Asks, and has it approved.
    async fn ordered(&self, order: Value) -> (StatusCode, Value) {
        let (status, asked) = self.order("compliance", "/v1/orders", order).await;
        if status != StatusCode::OK {
            return (status, asked);
        }
        let id = asked["order"].as_str().unwrap();
        self.order("approver", &format!("/v1/orders/{id}/approve"), json!({})).await
    }

    /// Exchanges of which anything is still disclosed.
    fn disclosed_exchanges(&self) -> Vec<u8> {
        let leaves = self.leaves();
        let disclosing = leaves.iter().filter(|(_, openings)| !openings.is_empty());
        let mut exchanges: Vec<u8> =
            disclosing.filter_map(|(leaf, _)| leaf.event.exchange_id.first().copied()).collect();
        exchanges.sort_unstable();
        exchanges.dedup();
        exchanges
    }

    /// Results and codes of the orders that were recorded.
    fn recorded_orders(&self) -> Vec<(Outcome, String)> {
        let of = |(leaf, openings): (proto::entry::Leaf, Vec<Opening>)| match leaf.event.kind {
            Some(Kind::EvidenceAccessed(access)) if access.door() == Door::Orders => {
                let asked: Value =
                    serde_json::from_str(&disclosed(&openings, Slot::Query)).unwrap();
                let code = asked["refused"].as_str().unwrap_or_default().to_owned();
                Some((access.result(), code))
            }
            _ => None,
        };
        self.leaves().into_iter().filter_map(of).collect()
    }
}

fn erase(scope: &Value) -> Value {
    json!({ "kind": "erase", "scope": scope, "reason": "asked by the person" })
}

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    (answer.0.as_u16(), answer.1["code"].as_str().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_takes_keys_and_bytes_off_the_disk_and_leaves_all_else() {
    let house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    for (number, subject) in [(1, "alice"), (2, "bob"), (3, "alice"), (4, "carol")] {
        let text = format!("the answer to {subject}, number {number}: {}", "é".repeat(20_000));
        caller.exchange(number, subject, "crm", &text).await;
    }
    let folder = house.dir.path().join("ledger");
    let store = Arc::clone(&house.doors().store);
    let (gone, kept) = (Secrets::of(&*store, &[1, 3]), Secrets::of(&*store, &[2, 4]));
    assert_eq!((gone.keys.len(), gone.salts.len(), kept.keys.len()), (2, 6, 2));
    // Some of it in tables, some in the write-ahead log; the search finds both.
    assert!(gone.all().all(|secret| found_on_disk(&folder, secret)));
    assert!(gone.plain().all(|plain| !found_on_disk(&folder, plain)), "it is sealed at rest");
    let roots = |house: &House| {
        let size = house.doors().sequencer.head().borrow().size;
        (size, house.doors().tree.root_at(size).unwrap())
    };
    let (size, root) = roots(&house);

    let (status, done) = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(
        (&done["keys"], &done["leaves"], &done["disclosures"], &done["purged"]),
        (&json!(2), &json!(4), &json!(6), &json!(true))
    );
    assert_eq!(house.disclosed_exchanges(), [2, 4]);
    for secret in gone.all().chain(gone.plain()) {
        assert!(!found_on_disk(&folder, secret), "{} is still there", hex::encode(secret));
    }
    assert!(kept.all().all(|secret| found_on_disk(&folder, secret)), "only that is gone");

    // Each leaf has its event, in one commit; the first one tells who, why and what.
    let leaves = house.leaves();
    let events: Vec<_> = leaves
        .iter()
        .filter_map(|(leaf, openings)| match &leaf.event.kind {
            Some(Kind::DisclosureErased(erased)) => Some((erased, openings)),
            _ => None,
        })
        .collect();
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|(erased, _)| erased.ground() == Ground::Order));
    assert!(events.iter().all(|(erased, _)| erased.erasure_id == events[0].0.erasure_id));
    assert!(events[1..].iter().all(|(_, openings)| openings.is_empty()));
    let reason: Value = serde_json::from_str(&disclosed(events[0].1, Slot::Reason)).unwrap();
    assert_eq!(reason["reason"], "asked by the person");
    assert_eq!(
        (&reason["asked_by"]["subject"], &reason["approved_by"]["subject"]),
        (&json!("compliance"), &json!("approver"))
    );
    assert_eq!(disclosed(events[0].1, Slot::Subject), r#"{"subject":"alice"}"#);
    assert_eq!(house.doors().tree.root_at(size).unwrap(), root, "the tree is the same");
    let again = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert_eq!(code(&again), (404, "nothing_to_erase"));

    drop(store);
    drop(caller);
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
    assert_eq!((report.erased, report.purge_pending), (6, false));
}

/// Break it: do not call `as_of` in `Erasures::ask`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_takes_nothing_that_began_after_it_was_shown() {
    let house = House::build_with(&ROLES, |_| {}).await;
    let mut caller = Caller::start(&house, 1);
    caller.exchange(1, "alice", "crm", "{}").await;
    let order = erase(&json!({ "subject": "alice" }));
    let (_, asked) = house.order("compliance", "/v1/orders", order).await;
    caller.exchange(2, "alice", "crm", "{}").await;
    let path = format!("/v1/orders/{}/approve", asked["order"].as_str().unwrap());
    let (status, done) = house.order("approver", &path, json!({})).await;
    assert_eq!((status, &done["leaves"]), (StatusCode::OK, &asked["leaves"]));
    assert_eq!(house.disclosed_exchanges(), [2]);
}

/// Break it: let `withdraw` leave the order where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_taken_back_cannot_be_approved() {
    let house = House::build_with(&ROLES, |_| {}).await;
    Caller::start(&house, 1).exchange(1, "alice", "crm", "{}").await;
    let order = erase(&json!({ "exchange": "01".repeat(16) }));
    let (_, asked) = house.order("compliance", "/v1/orders", order).await;
    let path = |action: &str| format!("/v1/orders/{}/{action}", asked["order"].as_str().unwrap());
    let refused = house.order("auditor", &path("withdraw"), json!({})).await;
    assert_eq!(code(&refused), (403, "role_missing"));
    let (status, withdrawn) = house.order("compliance", &path("withdraw"), json!({})).await;
    assert_eq!((status, &withdrawn["withdrawn"]), (StatusCode::OK, &asked["order"]));
    for (role, action) in [("approver", "approve"), ("approver", "withdraw")] {
        let refused = house.order(role, &path(action), json!({})).await;
        assert_eq!(code(&refused), (404, "order_unknown"), "{action}");
    }
    assert_eq!(house.disclosed_exchanges(), [1]);
    let recorded = house.recorded_orders();
    assert_eq!(recorded.iter().filter(|(result, _)| *result == Outcome::Allowed).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_asks_and_another_approves() {
    let house = House::build_with(&ROLES, |config| {
        // A machine with both roles is still one.
        config.identity.machines[0].roles.push("approver".into());
    })
    .await;
    Caller::start(&house, 1).exchange(1, "alice", "crm", "{}").await;
    let order = erase(&json!({ "exchange": "01".repeat(16) }));
    for role in ["approver", "auditor", "follower"] {
        let refused = house.order(role, "/v1/orders", order.clone()).await;
        assert_eq!(code(&refused), (403, "role_missing"), "{role}");
    }
    let (status, asked) = house.order("compliance", "/v1/orders", order).await;
    assert_eq!((status, &asked["leaves"]), (StatusCode::OK, &json!(2)));
    let path = format!("/v1/orders/{}/approve", asked["order"].as_str().unwrap());
    let refused = house.order("auditor", &path, json!({})).await;
    assert_eq!(code(&refused), (403, "role_missing"));
    let refused = house.order("compliance", &path, json!({})).await;
    assert_eq!(code(&refused), (403, "same_person"));
    assert_eq!(house.disclosed_exchanges(), [1]);
    let (_, waiting) = house.order("auditor", "/v1/orders", Value::Null).await;
    let waiting = &waiting["orders"][0];
    assert_eq!((&waiting["kind"], &waiting["would"]["leaves"]), (&json!("erase"), &json!(2)));
    assert_eq!(waiting["asked_by"]["subject"], "compliance");
    let day_ns =
        waiting["expires_at_ns"].as_u64().unwrap() - waiting["asked_at_ns"].as_u64().unwrap();
    assert_eq!(day_ns, DAY_NS);
    let refused = house.order("approver", &path, json!({ "kind": "hold" })).await;
    assert_eq!(code(&refused), (409, "order_of_another_kind"));
    assert_eq!(house.order("approver", &path, json!({})).await.0, StatusCode::OK);
    assert!(house.disclosed_exchanges().is_empty());
    let refused = house.order("approver", &path, json!({})).await;
    assert_eq!(code(&refused), (404, "order_unknown"));
    let refusals: Vec<_> = house
        .recorded_orders()
        .into_iter()
        .filter(|(result, _)| *result != Outcome::Allowed)
        .map(|(_, code)| code)
        .collect();
    let missing = "role_missing";
    assert_eq!(
        refusals,
        [
            missing,
            missing,
            missing,
            missing,
            "same_person",
            "order_of_another_kind",
            "order_unknown"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_beats_an_erasure_also_after_a_restart() {
    let mut house = House::build(&ROLES).await;
    let mut caller = Caller::start(&house, 1);
    for (number, subject) in [(1, "alice"), (2, "bob")] {
        caller.exchange(number, subject, "crm", "{}").await;
    }
    drop(caller);
    let hold = json!({ "kind": "hold", "scope": { "subject": "alice" }, "reason": "a lawsuit" });
    let (status, placed) = house.ordered(hold).await;
    assert_eq!(status, StatusCode::OK, "{placed}");
    let hold = placed["hold"].as_str().unwrap().to_owned();
    for restarted in [false, true] {
        if restarted {
            house = house.restart().await;
        }
        let (_, listed) = house.order("auditor", "/v1/holds", Value::Null).await;
        let listed = &listed["holds"][0];
        assert_eq!(
            (&listed["hold"], &listed["scope"], &listed["covers"], &listed["reason"]),
            (&json!(hold), &json!({ "subject": "alice" }), &json!(1), &json!("a lawsuit"))
        );
        assert_eq!(
            (&listed["asked_by"]["subject"], &listed["approved_by"]["subject"]),
            (&json!("compliance"), &json!("approver"))
        );
        assert!(listed["placed_at_ns"].as_u64().unwrap() > 0);
        for scope in [json!({ "exchange": "01".repeat(16) }), json!({ "before_ns": u64::MAX })] {
            let refused = house.ordered(erase(&scope)).await;
            assert_eq!(code(&refused), (409, "held"));
            assert_eq!(refused.1["holds"], json!([hold]));
        }
        assert_eq!(house.disclosed_exchanges(), [1, 2]);
    }
    assert!(house.recorded_orders().contains(&(Outcome::Refused, "held".into())));
    // Asked for before the hold was there, it is refused when it is approved.
    let of_bob = erase(&json!({ "subject": "bob" }));
    let (_, asked) = house.order("compliance", "/v1/orders", of_bob).await;
    let all = json!({ "kind": "hold", "scope": { "from_ns": 0 }, "reason": "all" });
    let (_, second) = house.ordered(all).await;
    let path = format!("/v1/orders/{}/approve", asked["order"].as_str().unwrap());
    assert_eq!(code(&house.order("approver", &path, json!({})).await), (409, "held"));
    for hold in [&hold, second["hold"].as_str().unwrap()] {
        let release = json!({ "kind": "release", "hold": hold, "reason": "over" });
        let (status, released) = house.ordered(release.clone()).await;
        assert_eq!((status, &released["released"]), (StatusCode::OK, &json!(hold)));
        assert_eq!(code(&house.ordered(release).await), (404, "hold_unknown"));
    }
    assert_eq!(house.order("approver", &path, json!({})).await.0, StatusCode::OK);
    assert_eq!(house.disclosed_exchanges(), [1]);
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.holds == 0, "{:#?}", report.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_erased_but_not_what_is_held_or_may_never_be() {
    let class = |servers: &[&str], keep| RetentionClass {
        servers: servers.iter().map(|server| (*server).to_owned()).collect(),
        keep,
    };
    let house = House::build_with(&ROLES, |config| {
        config.retention = [
            ("trading".to_owned(), class(&["broker"], Keep::Always(Always::ForbidErasure))),
            ("short".to_owned(), class(&["chat"], Keep::Days(30))),
            ("rest".to_owned(), class(&[], Keep::Days(400))),
        ]
        .into();
    })
    .await;
    let mut caller = Caller::start(&house, 1);
    for (number, server) in [(1, "broker"), (2, "chat"), (3, "chat"), (4, "crm")] {
        let subject = if number == 3 { "held" } else { "alice" };
        caller.exchange(number, subject, server, "{}").await;
    }
    caller.request(5, "alice", "chat").await;
    let hold = json!({ "kind": "hold", "scope": { "subject": "held" }, "reason": "a lawsuit" });
    let (_, placed) = house.ordered(hold).await;
    let erasures = house.doors().erasures.unwrap();
    let now = crate::clock::unix_now_ns();

    assert_eq!(erasures.retain(now + 29 * DAY_NS).await.unwrap(), 0);
    assert_eq!(erasures.retain(now + 31 * DAY_NS).await.unwrap(), 2);
    assert_eq!(house.disclosed_exchanges(), [1, 3, 4, 5], "3 is held, 5 is open");
    let grounds = house.kinds().into_iter().filter_map(|kind| match kind {
        Kind::DisclosureErased(erased) => Some(erased.ground()),
        _ => None,
    });
    assert!(grounds.into_iter().all(|ground| ground == Ground::Retention));
    assert_eq!(erasures.retain(now + 31 * DAY_NS).await.unwrap(), 0);
    let release = json!({ "kind": "release", "hold": placed["hold"], "reason": "over" });
    assert_eq!(house.ordered(release).await.0, StatusCode::OK);
    assert_eq!(erasures.retain(now + 31 * DAY_NS).await.unwrap(), 2);
    // The recorder starts anew: what it left open is over.
    drop(caller);
    Caller::start(&house, 2).exchange(6, "alice", "broker", "{}").await;
    assert_eq!(erasures.retain(now + 31 * DAY_NS).await.unwrap(), 1);
    // What is in no class of its own, such as who ordered what here, is of the rest.
    assert!(erasures.retain(now + 401 * DAY_NS).await.unwrap() >= 2);
    assert_eq!(house.disclosed_exchanges(), [1, 6]);
    let refused = house.ordered(erase(&json!({ "before_ns": u64::MAX, "class": "trading" }))).await;
    assert_eq!(code(&refused), (409, "class_forbids_erasure"));
    let refused = house.ordered(erase(&json!({ "class": "none" }))).await;
    assert_eq!(code(&refused), (400, "order_unusable"));
    drop(erasures);
    let report = fsck_of(house).await;
    assert!(report.is_good(), "{:#?}", report.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_exchange_waits_and_a_crash_before_the_purge_is_made_good() {
    let backups = tempfile::tempdir().unwrap();
    let folder = backups.path().join("backups");
    let mut house = House::build_with(&ROLES, |config| {
        config.backup =
            Some(BackupConfig { folder, keep: 1, every_minutes: None, verify_every: 24 });
    })
    .await;
    let mut caller = Caller::start(&house, 1);
    caller.request(1, "alice", "crm").await;
    let refused = house.ordered(erase(&json!({ "subject": "alice" }))).await;
    assert_eq!(code(&refused), (409, "exchanges_open"));
    caller.exchange(2, "alice", "crm", "the answer").await;
    let folder = house.dir.path().join("ledger");
    let gone = Secrets::of(&*house.doors().store, &[2]);
    drop(caller);

    // The commit of an erasure, and nothing after it.
    let doors = house.doors();
    let leaves = gone.places.iter().map(|(index, slot)| (LeafIndex(*index), *slot)).collect();
    let rider = crate::sequencer::Rider {
        erased: leaves,
        destroyed: gone.key_ids.clone(),
        ..Default::default()
    };
    let event = |erased: &DisclosureErased| (Kind::DisclosureErased(erased.clone()), Vec::new());
    let events = gone.events.iter().map(event);
    doors.own.record_with(events.collect(), rider).await.unwrap();
    assert!(doors.store.must_purge().unwrap());
    assert!(gone.all().any(|secret| found_on_disk(&folder, secret)), "deleted is not gone");
    let made = doors.backups.as_ref().unwrap().make(ReadBack::Now).await;
    assert_eq!(made.unwrap_err().code(), "purge_pending", "a copy would hold what was erased");
    drop(doors);
    house = house.restart().await;
    eventually("it is purged", || !house.doors().store.must_purge().unwrap()).await;
    let made = house.doors().backups.unwrap().make(ReadBack::Now).await.unwrap();
    assert!(made.verified && made.backup == 1);
    for secret in gone.all() {
        assert!(!found_on_disk(&folder, secret), "{} is still there", hex::encode(secret));
    }
    let report = fsck_of(house).await;
    assert!(report.is_good() && report.erased == 3, "{:#?}", report.findings);
}
