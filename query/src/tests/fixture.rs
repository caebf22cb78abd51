//! A real log, made on the spot, and a node that follows it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use identity::knocks::Knocks;
use identity::{IdentityConfig, MachineConfig, MachineKey, Verifier};
use proto::canonical::encode_event;
use proto::disclosure::disclose;
use proto::kind::Kind;
use proto::v1::subscribe_response::Item;
use proto::v1::{
    self, Call, Disclosure, Entries, Event, MediaType, Opening, Slot, SubscribeResponse,
    SubscribedEntry, Verdict,
};
use tempfile::TempDir;
use tlog::{Checkpoint, CompactRange, Hash, SigningKey, TreeSize};
use tower::ServiceExt;

use crate::config::Limits;
use crate::door::{Doors, Inner};
use crate::engine::running::Engine;
use crate::feed::deliveries::Deliveries;
use crate::feed::places::Places;
use crate::follower::copy::LocalCopy;
use crate::follower::stream::Following;
use crate::follower::view::View;
use crate::journal::{Access, Journal, Unrecorded};
use crate::masking::Masking;

pub(crate) const ORIGIN: &str = "log.example/test";
pub(crate) const URL: &str = "http://127.0.0.1:7602";
/// 2026-07-28T09:00:00Z
pub(crate) const START_NS: u64 = 1_785_229_200_000_000_000;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

pub(crate) fn log_key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [7; 32]).unwrap()
}

/// A log and what it would send to a follower.
#[derive(Clone)]
pub(crate) struct TestLog {
    pub(crate) entries: Vec<SubscribedEntry>,
    sequence: u64,
    previous: Bytes,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), sequence: 0, previous: Bytes::new() }
    }

    /// A log of so many whole exchanges, each of five leaves, with all disclosures.
    pub(crate) fn of_exchanges(count: u64) -> Self {
        let mut log = Self::new();
        for number in 0..count {
            log.exchange(number);
        }
        log
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// A session opens, a call is made, streams a message and returns; every third is blocked instead; then the
    /// session closes.
    pub(crate) fn exchange(&mut self, number: u64) {
        let session = id(b's', number);
        let exchange = id(b'x', number);
        let is_blocked = number % 3 == 2;
        let verdict = if is_blocked { Verdict::Block } else { Verdict::Allow };
        let call = call(verdict);
        let principal = format!(
            r#"{{"issuer":"https://idp.example","subject":"user-{number}","kind":"human","groups":["eng"],"roles":[],"scopes":[],"expires_at":1,"algorithm":"RS256","claims":{{}}}}"#
        );
        let client = r#"{"address":"192.0.2.7","user_agent":"mcp/1"}"#;
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"find","arguments":{{"secret":"message-{number}"}}}}}}"#
        );
        let opened = v1::SessionOpened { server: "crm".into(), ..Default::default() };
        self.push(Kind::SessionOpened(opened), &session, b"", &[]);
        let event_id = self.push(
            Kind::RequestReceived(v1::RequestReceived {
                call: Some(call.clone()),
                ..Default::default()
            }),
            &session,
            &exchange,
            &[(Slot::Principal, &principal), (Slot::Message, &request), (Slot::Client, client)],
        );
        if is_blocked {
            let blocked = v1::CallBlocked { call: Some(call), request_event_id: event_id };
            self.push(Kind::CallBlocked(blocked), &session, &exchange, &[]);
            let seal = v1::RecorderStopped { drained: true };
            self.push(Kind::RecorderStopped(seal), b"", b"", &[]);
        } else {
            let message = v1::StreamMessage {
                call: Some(call.clone()),
                direction: v1::Direction::ServerToClient.into(),
                request_event_id: event_id.clone(),
                size_class: 256,
                ..Default::default()
            };
            self.push(Kind::StreamMessage(message), &session, &exchange, &[]);
            let returned = v1::ResponseReturned {
                call: Some(call),
                outcome: v1::Outcome::Result.into(),
                http_status: 200,
                latency_ns: 1_500_000,
                size_class: 512,
                masks: vec![v1::MaskCount { rule: "email".into(), count: 2 }],
                request_event_id: event_id,
                ..Default::default()
            };
            let result =
                format!(r#"{{"jsonrpc":"2.0","id":{number},"result":"message-{number}"}}"#);
            self.push(
                Kind::ResponseReturned(returned),
                &session,
                &exchange,
                &[(Slot::Message, &result)],
            );
        }
        let closed = v1::SessionClosed { server: "crm".into(), reason: 1 };
        self.push(Kind::SessionClosed(closed), &session, b"", &[(Slot::Reason, "done")]);
    }

    /// Appends an event, one second after the one before; returns its event id.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        session: &[u8],
        exchange: &[u8],
        disclosed: &[(Slot, &str)],
    ) -> Bytes {
        let index = self.len();
        let mut disclosures: Vec<(Disclosure, Opening)> = disclosed
            .iter()
            .map(|(slot, content)| {
                let salt = [index as u8; 32];
                let opening = Opening {
                    slot: (*slot).into(),
                    salt: Bytes::copy_from_slice(&salt),
                    content: Bytes::copy_from_slice(content.as_bytes()),
                };
                (disclose(*slot, MediaType::Json, &salt, content.as_bytes()), opening)
            })
            .collect();
        disclosures.sort_by_key(|(disclosure, _)| disclosure.slot);
        let event_id = Bytes::from(id(b'e', index));
        let event = Event {
            event_id: event_id.clone(),
            occurred_at_ns: START_NS + index * SECOND_NS,
            recorder: Some(v1::Recorder {
                recorder_id: "gateway-1".into(),
                epoch: Bytes::from_static(&[9; 16]),
                sequence: self.sequence,
                previous_hash: self.previous.clone(),
            }),
            session_id: Bytes::copy_from_slice(session),
            exchange_id: Bytes::copy_from_slice(exchange),
            trace_id: Bytes::new(),
            disclosures: disclosures.iter().map(|(disclosure, _)| disclosure.clone()).collect(),
            kind: Some(kind),
        };
        let bytes = encode_event(&event).unwrap();
        self.sequence += 1;
        self.previous = Bytes::copy_from_slice(&proto::event_hash(&bytes));
        let entry = proto::encode_entry(START_NS + index * SECOND_NS + 5, &bytes);
        let openings = disclosures.into_iter().map(|(_, opening)| opening).collect();
        self.entries.push(SubscribedEntry { entry, openings });
        event_id
    }

    pub(crate) fn leaves(&self, range: Range<u64>) -> impl Iterator<Item = (u64, Bytes)> {
        let slice = &self.entries[range.start as usize..range.end as usize];
        (range.start..).zip(slice.iter().map(|entry| entry.entry.clone()))
    }

    pub(crate) fn openings(&self) -> Vec<(u64, Opening)> {
        let all = (0..).zip(&self.entries);
        all.flat_map(|(index, entry)| entry.openings.iter().map(move |o| (index, o.clone())))
            .collect()
    }

    pub(crate) fn hash(&self, index: u64) -> Hash {
        tlog::leaf_hash(&self.entries[index as usize].entry)
    }

    pub(crate) fn checkpoint(&self, size: u64) -> Checkpoint {
        let mut tree = CompactRange::new(0);
        for entry in &self.entries[..size as usize] {
            tree.append(tlog::leaf_hash(&entry.entry));
        }
        Checkpoint { origin: ORIGIN.into(), size: TreeSize(size), root: tree.root().unwrap() }
    }

    pub(crate) fn note(&self, size: u64) -> String {
        self.checkpoint(size).sign(&log_key())
    }

    pub(crate) fn entries_message(&self, range: Range<u64>) -> SubscribeResponse {
        let entries = self.entries[range.start as usize..range.end as usize].to_vec();
        let entries = Entries { first_index: range.start, entries };
        SubscribeResponse { item: Some(Item::Entries(entries)) }
    }

    /// Entries `range`, then the checkpoint that covers them.
    pub(crate) fn run(&self, range: Range<u64>) -> [SubscribeResponse; 2] {
        [self.entries_message(range.clone()), checkpoint_message(self.note(range.end))]
    }
}

pub(crate) fn checkpoint_message(note: String) -> SubscribeResponse {
    SubscribeResponse { item: Some(Item::Checkpoint(note)) }
}

pub(crate) fn call(verdict: Verdict) -> Call {
    Call {
        server: "crm".into(),
        method: "tools/call".into(),
        name: "find".into(),
        definition_digest: Bytes::from_static(&[1; 32]),
        verdict: verdict.into(),
        policy_ids: vec!["permit-crm".into()],
        snapshot_digest: Bytes::from_static(&[2; 32]),
        facts: vec![v1::Fact {
            kind: v1::FactKind::Detector.into(),
            label: "email".into(),
            count: 2,
        }],
        auth_method: v1::AuthMethod::Bearer.into(),
        era: v1::Era::Modern.into(),
        ..Default::default()
    }
}

fn id(kind: u8, number: u64) -> Vec<u8> {
    let mut id = vec![kind; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

/// A local copy of a log in a folder of its own.
pub(crate) fn open(dir: &TempDir, limits: &Limits) -> LocalCopy {
    LocalCopy::open(dir.path(), log_key().verifying_key(), limits).unwrap()
}

/// Follows what there is, in runs of a few entries, to the end.
pub(crate) fn follow(copy: &mut LocalCopy, log: &TestLog, run: u64) -> Arc<View> {
    let mut view = None;
    while copy.next_index() < log.len() {
        let range = copy.next_index()..log.len().min(copy.next_index() + run);
        for message in log.run(range) {
            view = copy.take(message).unwrap().or(view);
        }
    }
    view.or_else(|| copy.view()).unwrap()
}

/// A journal that keeps what it is told, or refuses.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) accesses: Mutex<Vec<Access>>,
    pub(crate) is_broken: Mutex<bool>,
}

impl Journal for Notebook {
    fn record(&self, access: Access) -> BoxFuture<'_, Result<(), Unrecorded>> {
        Box::pin(async move {
            if *self.is_broken.lock().unwrap() {
                return Err(Unrecorded { reason: "the ledger is away".into() });
            }
            self.accesses.lock().unwrap().push(access);
            Ok(())
        })
    }

    fn readiness(&self) -> Result<(), Unrecorded> {
        Ok(())
    }
}

impl Notebook {
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.accesses.lock().unwrap().iter().map(|access| access.kind.clone()).collect()
    }
}

/// Doors over a log that is wholly verified.
pub(crate) struct Node {
    pub(crate) doors: Doors,
    pub(crate) notebook: Arc<Notebook>,
    pub(crate) feeding: tokio::sync::watch::Sender<Option<Arc<View>>>,
    pub(crate) copy: LocalCopy,
    pub(crate) _dir: TempDir,
}

/// A machine of this role, which keeps its token.
pub(crate) fn machine(role: &str) -> MachineKey {
    static MACHINES: Mutex<BTreeMap<String, MachineKey>> = Mutex::new(BTreeMap::new());
    let made = || {
        let mut seed = [3; 32];
        seed[..role.len()].copy_from_slice(role.as_bytes());
        MachineKey::new(&format!("{role}-1"), &seed)
    };
    MACHINES.lock().unwrap().entry(role.to_owned()).or_insert_with(made).clone()
}

impl Node {
    pub(crate) fn start(log: &TestLog, limits: &Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut copy = open(&dir, limits);
        let view = follow(&mut copy, log, 17);
        let (feeding, following) = Following::given(Some(view));
        let machines = ["auditor", "compliance", "siem", "admin", "approver", "follower"];
        let machines = machines.map(|role| MachineConfig {
            name: format!("{role}-1"),
            public_key: machine(role).vkey(),
            roles: vec![role.into()],
        });
        let identity = IdentityConfig { machines: machines.into(), ..IdentityConfig::default() };
        let notebook = Arc::new(Notebook::default());
        let doors = Doors::new(Inner {
            following,
            engine: Engine::start(limits, &dir.path().join("spill")).unwrap(),
            verifier: Verifier::new(identity).unwrap(),
            journal: Arc::clone(&notebook) as Arc<dyn Journal>,
            masking: Masking::start().unwrap(),
            public_url: URL.into(),
            deliveries: Deliveries::new(limits.feed_access_interval()),
            places: Places::new(limits.feed_concurrency),
            knocks: Knocks::default(),
        });
        Self { doors, notebook, feeding, copy, _dir: dir }
    }

    /// The log has grown.
    pub(crate) fn grow(&mut self, log: &TestLog) {
        let view = follow(&mut self.copy, log, 17);
        self.feeding.send_replace(Some(view));
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.doors.router().oneshot(request).await.unwrap()
    }

    pub(crate) async fn sql(&self, role: &str, accept: &str, sql: &str) -> Answer {
        let token = machine(role).token(URL).unwrap();
        let request = Request::post("/v1/sql")
            .header("authorization", format!("Bearer {token}"))
            .header("accept", accept)
            .header("content-type", "text/plain")
            .body(Body::from(sql.to_owned()))
            .unwrap();
        Answer::of(self.send(request).await).await
    }

    pub(crate) async fn get(&self, role: &str, path: &str) -> Answer {
        let token = machine(role).token(URL).unwrap();
        let request = Request::get(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        Answer::of(self.send(request).await).await
    }
}

/// A response, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    /// `Err` when the body broke off.
    pub(crate) body: Result<Bytes, String>,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|e| e.to_string());
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone().unwrap().to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
