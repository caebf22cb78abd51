//! A log made by the rules: recorder chains, seals, disclosures, decisions by real snapshots.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use controls::{
    Arguments, CallFacts, DecisionInput, Document, NamedText, PrincipalInput, PrincipalKind,
    Server, Snapshot, SnapshotSource,
};
use evidence::{ExportRequest, Exported, Journal, Release, Source, SourceError, Unrecorded};
use proto::Role;
use proto::chain::{self, ChainHead};
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::{self, AuthMethod, Call, MediaType, Opening, Slot};
use serde_json::json;
use tlog::{
    Checkpoint, CompactRange, Hash, LeafIndex, RangeProof, SigningKey, TlogProof, TreeSize,
    leaf_hash,
};
use verifier::Trust;

pub(crate) const ORIGIN: &str = "log.example/exhibit";
const START_NS: u64 = 1_767_225_600_000_000_000; // 2026-01-01T00:00:00Z
const SECOND_NS: u64 = 1_000_000_000;

pub(crate) struct Keys {
    pub(crate) log: SigningKey,
    pub(crate) gateway: SigningKey,
    pub(crate) ledger: SigningKey,
    pub(crate) signer: SigningKey,
}

pub(crate) fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, [seed; 32]).unwrap()
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            log: key(ORIGIN, 1),
            gateway: key("gateway-1", 2),
            ledger: key("ledger", 3),
            signer: key("packages.example", 4),
        }
    }

    pub(crate) fn trust_text(&self) -> String {
        format!(
            "log {}\nquorum none\nsigner {}\nrecorder {}\nrecorder {}\n",
            self.log.verifying_key(),
            self.signer.verifying_key(),
            self.gateway.verifying_key(),
            self.ledger.verifying_key()
        )
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::parse(&self.trust_text()).unwrap()
    }
}

/// One recorder of the log.
struct Chain {
    key: SigningKey,
    epoch: Id,
    head: Option<ChainHead>,
}

/// The log.
pub(crate) struct World {
    pub(crate) keys: Keys,
    pub(crate) entries: Vec<Bytes>,
    pub(crate) openings: HashMap<u64, Vec<Opening>>,
    tree: CompactRange,
    nodes: HashMap<(u8, u64), Hash>,
    now_ns: u64,
    salt: u64,
    chains: Vec<Chain>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

const GATEWAY: usize = 0;
const LEDGER: usize = 1;

const BASE: &str = r#"
    @id("session") permit(principal, action in [Action::"session", Action::"list"], resource);
    @id("engineers-query") permit(principal in Group::"engineers", action == Action::"tools/call", resource == Tool::"db/query");
    @id("no-drop") @reason("dropping a database is never done by an agent")
    forbid(principal, action == Action::"tools/call", resource) when { context.facts.sql.contains("drop_database") };
"#;
const WIDER: &str = r#"
    @id("contractors-query") permit(principal in Group::"contractors", action == Action::"tools/call", resource == Tool::"db/query");
"#;

pub(crate) fn snapshot(wider: bool) -> Snapshot {
    let mut policies = vec![NamedText { name: "base.cedar".into(), text: BASE.into() }];
    if wider {
        policies.push(NamedText { name: "wider.cedar".into(), text: WIDER.into() });
    }
    Snapshot::build(SnapshotSource {
        policies,
        entities: vec![Server { name: "db".into(), open: false }],
        ..SnapshotSource::default()
    })
    .unwrap()
}

type Said = Vec<(Slot, MediaType, Vec<u8>)>;

impl World {
    /// A log with a period from `from` to `to`, leaves before and after it, and one exception for each criterion.
    pub(crate) fn new() -> Self {
        let mut world = Self::empty();
        world.start(GATEWAY, None);
        world.start(LEDGER, None);
        let heads = [("gateway-1", GATEWAY), ("ledger", LEDGER)].map(|(id, at)| v1::RecorderHead {
            recorder_id: id.into(),
            vkey: world.chains[at].key.verifying_key().to_string(),
            epoch: world.chains[at].epoch.to_bytes(),
            ..v1::RecorderHead::default()
        });
        world.say(
            LEDGER,
            Kind::LogMark(v1::LogMark { recorders: heads.to_vec(), ..Default::default() }),
            vec![],
        );
        let base = snapshot(false);
        world.activate(&base, None);
        world.seal(GATEWAY);
        world.call(&base, "ada", "engineers", "SELECT 1", v1::Outcome::Result);

        world.now_ns += 3600 * SECOND_NS;
        world.from = world.now_ns;
        let erased = world.call(
            &base,
            "ada",
            "engineers",
            "SELECT name FROM customers",
            v1::Outcome::Result,
        );
        world.call(&base, "ada", "engineers", "DROP DATABASE prod", v1::Outcome::Result);
        world.call(&base, "eve", "contractors", "SELECT 2", v1::Outcome::Result);
        world.call(
            &base,
            "ada",
            "engineers",
            "SELECT * FROM t WHERE mail = 'bob@example.com'",
            v1::Outcome::ToolError,
        );
        world.call(
            &base,
            "=cmd|' /C calc'!A0",
            "engineers",
            "SELECT '<script>alert(1)</script>'",
            v1::Outcome::Result,
        );
        world.say(
            GATEWAY,
            Kind::AuthenticationFailed(v1::AuthenticationFailed {
                server: "db".into(),
                reason: v1::authentication_failed::Reason::BadSignature.into(),
                http_status: 401,
            }),
            vec![(Slot::Client, MediaType::Json, br#"{"address":"203.0.113.9"}"#.to_vec())],
        );
        world.seal(GATEWAY);
        world.now_ns += 400 * SECOND_NS;
        let wider = snapshot(true);
        world.activate(&wider, Some(&base));
        world.call(&wider, "eve", "contractors", "SELECT 2", v1::Outcome::Result);
        world.say(GATEWAY, Kind::RecorderStopped(v1::RecorderStopped { drained: true }), vec![]);
        let last = world.chains[GATEWAY].head;
        let epoch = std::mem::replace(&mut world.chains[GATEWAY].epoch, Id([0x22; 16]));
        world.chains[GATEWAY].head = None;
        world.start(GATEWAY, last.map(|head| (epoch, head)));
        world.activate(&wider, Some(&wider));
        world.access(v1::evidence_accessed::Door::Sql, "SELECT * FROM events");
        // A request that is never answered.
        world.request(&wider, "ada", "engineers", "SELECT 3");
        world.seal(GATEWAY);

        world.now_ns += 60 * SECOND_NS;
        world.to = world.now_ns;
        world.call(&wider, "ada", "engineers", "SELECT 4", v1::Outcome::Result);
        world.seal(GATEWAY);
        world.seal(LEDGER);
        world.erase(erased, Slot::Message);
        world.access(v1::evidence_accessed::Door::Feed, "");
        world.call(&wider, "ada", "engineers", "SELECT 5", v1::Outcome::Result);
        world
    }

    fn empty() -> Self {
        let keys = Keys::new();
        let chain = |key: &SigningKey, epoch: u8| Chain {
            key: key.clone(),
            epoch: Id([epoch; 16]),
            head: None,
        };
        Self {
            chains: vec![chain(&keys.gateway, 0x11), chain(&keys.ledger, 0x33)],
            keys,
            entries: Vec::new(),
            openings: HashMap::new(),
            tree: CompactRange::new(0),
            nodes: HashMap::new(),
            now_ns: START_NS,
            salt: 0,
            from: 0,
            to: 0,
        }
    }

    /// Appends an event and returns its index.
    fn say(&mut self, who: usize, kind: Kind, said: Said) -> u64 {
        self.say_in(who, kind, said, None)
    }

    fn say_in(&mut self, who: usize, kind: Kind, said: Said, exchange: Option<Id>) -> u64 {
        self.now_ns += SECOND_NS;
        let index = self.entries.len() as u64;
        let mut said = said;
        said.sort_by_key(|(slot, ..)| *slot as i32);
        let (mut disclosures, mut openings) = (Vec::new(), Vec::new());
        for (slot, media_type, content) in said {
            self.salt += 1;
            let mut salt = [7; 32];
            salt[..8].copy_from_slice(&self.salt.to_be_bytes());
            disclosures.push(proto::disclosure::disclose(slot, media_type, &salt, &content));
            let salt = Bytes::copy_from_slice(&salt);
            openings.push(Opening { slot: slot.into(), salt, content: content.into() });
        }
        let chain = &mut self.chains[who];
        let name = chain.key.name().to_owned();
        let event = v1::Event {
            event_id: event_id(index),
            occurred_at_ns: self.now_ns - 1000,
            recorder: Some(chain::next(chain.head.as_ref(), &name, &chain.epoch.0)),
            exchange_id: exchange.map(Id::to_bytes).unwrap_or_default(),
            disclosures,
            kind: Some(kind),
            ..v1::Event::default()
        };
        let bytes = proto::canonical::encode_event(&event).unwrap();
        let sequence = chain.head.map_or(0, |head| head.sequence + 1);
        chain.head = Some(ChainHead { sequence, hash: proto::event_hash(&bytes) });
        self.append(proto::encode_entry(self.now_ns, &bytes));
        self.openings.insert(index, openings);
        index
    }

    fn append(&mut self, entry: Bytes) {
        let nodes = &mut self.nodes;
        self.tree.append_visit(leaf_hash(&entry), &mut |level, index, hash| {
            nodes.insert((level, index), hash);
        });
        self.entries.push(entry);
    }

    fn start(&mut self, who: usize, previous: Option<(Id, ChainHead)>) {
        let started = previous.map_or_else(v1::RecorderStarted::default, |(epoch, head)| {
            v1::RecorderStarted {
                previous_epoch: epoch.to_bytes(),
                previous_sequence: head.sequence,
                previous_hash: Bytes::copy_from_slice(&head.hash),
                ..v1::RecorderStarted::default()
            }
        });
        let started = v1::RecorderStarted { version: "0.1.0".into(), ..started };
        self.say(who, Kind::RecorderStarted(started), vec![]);
    }

    fn seal(&mut self, who: usize) {
        let chain = &self.chains[who];
        let (size, root) = (TreeSize(self.entries.len() as u64), self.tree.root().unwrap());
        let head = chain.head.unwrap();
        let id = chain.key.name();
        let seal = Seal {
            origin: ORIGIN,
            recorder_id: id,
            epoch: chain.epoch,
            head,
            checkpoint_size: size,
            checkpoint_root: root,
        };
        let signature = seal.sign(&chain.key);
        let sealed = v1::RecorderSeal {
            sequence: head.sequence,
            hash: Bytes::copy_from_slice(&head.hash),
            checkpoint_size: size.0,
            checkpoint_root: Bytes::copy_from_slice(root.as_bytes()),
            key_id: Bytes::copy_from_slice(&chain.key.verifying_key().key_id()),
            signature: Bytes::copy_from_slice(&signature),
            clock: Some(v1::ClockState { known: true, synchronized: true, max_error_us: 250 }),
        };
        self.say(who, Kind::RecorderSeal(sealed), vec![]);
    }

    fn activate(&mut self, snapshot: &Snapshot, previous: Option<&Snapshot>) {
        let activated = v1::PolicyActivated {
            snapshot_digest: Bytes::copy_from_slice(&snapshot.digest()),
            previous_digest: previous
                .map(|p| Bytes::copy_from_slice(&p.digest()))
                .unwrap_or_default(),
        };
        let said = vec![(Slot::Snapshot, MediaType::Json, snapshot.bytes().to_vec())];
        self.say(GATEWAY, Kind::PolicyActivated(activated), said);
    }

    fn access(&mut self, door: v1::evidence_accessed::Door, query: &str) {
        let accessed = v1::EvidenceAccessed {
            door: door.into(),
            result: v1::evidence_accessed::Result::Allowed.into(),
            role: "auditor".into(),
            checkpoint_size: self.entries.len() as u64,
            ..v1::EvidenceAccessed::default()
        };
        let mut said = vec![(Slot::Principal, MediaType::Json, principal("olga", "auditors"))];
        if !query.is_empty() {
            said.push((Slot::Query, MediaType::Sql, query.as_bytes().to_vec()));
        }
        self.say(LEDGER, Kind::EvidenceAccessed(accessed), said);
    }

    fn erase(&mut self, index: u64, slot: Slot) {
        let erased = v1::DisclosureErased {
            event_id: event_id(index),
            slots: vec![slot.into()],
            retained_until_ns: 0,
        };
        self.say(LEDGER, Kind::DisclosureErased(erased), vec![]);
        self.openings.get_mut(&index).unwrap().retain(|opening| opening.slot != i32::from(slot));
    }

    /// A whole exchange; returns the index of its request.
    fn call(
        &mut self,
        snapshot: &Snapshot,
        who: &str,
        group: &str,
        sql: &str,
        outcome: v1::Outcome,
    ) -> u64 {
        let (index, exchange, call) = self.request(snapshot, who, group, sql);
        let request_event_id = event_id(index);
        let kind = match call.verdict() {
            v1::Verdict::Allow => Kind::ResponseReturned(v1::ResponseReturned {
                outcome: outcome.into(),
                http_status: 200,
                latency_ns: 5_000_000,
                size_class: 256,
                request_event_id,
                call: Some(call),
                ..v1::ResponseReturned::default()
            }),
            v1::Verdict::Block => {
                Kind::CallBlocked(v1::CallBlocked { call: Some(call), request_event_id })
            }
            _ => Kind::CallDenied(v1::CallDenied {
                call: Some(call),
                refusal: v1::Refusal::NoPolicy.into(),
                request_event_id,
                http_status: 200,
            }),
        };
        let said = match &kind {
            Kind::ResponseReturned(_) => {
                let answer =
                    json!({"jsonrpc": "2.0", "id": index, "result": {"content": []}}).to_string();
                vec![(Slot::Message, MediaType::Json, answer.into_bytes())]
            }
            _ => vec![],
        };
        self.say_in(GATEWAY, kind, said, Some(exchange));
        index
    }

    fn request(
        &mut self,
        snapshot: &Snapshot,
        who: &str,
        group: &str,
        sql: &str,
    ) -> (u64, Id, Call) {
        let index = self.entries.len() as u64;
        let raw = json!({
            "jsonrpc": "2.0", "id": index, "method": "tools/call",
            "params": {"name": "query", "arguments": {"sql": sql}},
        })
        .to_string();
        let document = Document::parse(raw.as_bytes()).unwrap();
        let masked = snapshot.mask_message(raw.as_bytes()).unwrap();
        let facts = snapshot.facts(&document, &masked);
        let input = DecisionInput::new(&CallFacts {
            principal: PrincipalInput {
                issuer: "https://idp.example".into(),
                subject: who.into(),
                kind: PrincipalKind::Human,
                groups: vec![group.into()],
                roles: vec![],
            },
            server: "db".into(),
            method: "tools/call".into(),
            name: Some("query".into()),
            arguments: Arguments::OfMessage(&masked.bytes),
            facts: facts.clone(),
            auth: AuthMethod::Bearer,
            at_unix_ms: i64::try_from(self.now_ns / 1_000_000).unwrap(),
        })
        .unwrap();
        let decision = snapshot.authorize(&input);
        let call = Call {
            server: "db".into(),
            method: "tools/call".into(),
            name: "query".into(),
            definition_digest: Bytes::from_static(&[5; 32]),
            verdict: decision.verdict.into(),
            policy_ids: decision.policy_ids,
            snapshot_digest: Bytes::copy_from_slice(&snapshot.digest()),
            facts,
            auth_method: AuthMethod::Bearer.into(),
            era: v1::Era::Modern.into(),
            masks: masked.counts.clone(),
            evaluation_error: decision.evaluation_error,
        };
        let mut exchange = [0x44; 16];
        exchange[..8].copy_from_slice(&index.to_be_bytes());
        let exchange = Id(exchange);
        let received =
            v1::RequestReceived { call: Some(call.clone()), ..v1::RequestReceived::default() };
        let said = vec![
            (Slot::Principal, MediaType::Json, principal(who, group)),
            (Slot::Message, MediaType::Json, masked.bytes.to_vec()),
            (Slot::DecisionInput, MediaType::Json, input.bytes().to_vec()),
        ];
        self.say_in(GATEWAY, Kind::RequestReceived(received), said, Some(exchange));
        (index, exchange, call)
    }

    pub(crate) fn request_of(&self, role: Role) -> ExportRequest {
        let time = |ns: u64| jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
        ExportRequest {
            from: time(self.from),
            to: time(self.to),
            role,
            open: false,
            criteria: vec![],
            custom_queries: vec![],
            requester: Bytes::from_static(b"{}"),
        }
    }

    /// Exports the period for the auditor.
    pub(crate) fn export(&self, into: &Path) -> Exported {
        self.export_as(self.request_of(Role::Auditor), into).unwrap()
    }

    pub(crate) fn export_as(
        &self,
        request: ExportRequest,
        into: &Path,
    ) -> Result<Exported, evidence::ExportError> {
        self.export_into(&Notebook::default(), request, into)
    }

    pub(crate) fn export_into(
        &self,
        notebook: &Notebook,
        request: ExportRequest,
        into: &Path,
    ) -> Result<Exported, evidence::ExportError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(evidence::export_from(self, notebook, &self.keys.signer, request, into))
    }

    pub(crate) fn recorded_at(&self, index: u64) -> u64 {
        proto::decode_entry(&self.entries[usize::try_from(index).unwrap()]).unwrap().recorded_at_ns
    }

    pub(crate) fn checkpoint_at(&self, size: u64) -> (Checkpoint, String) {
        let root = tlog::tree_root(TreeSize(size), self).unwrap();
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: TreeSize(size), root };
        let note = checkpoint.sign(&self.keys.log);
        (checkpoint, note)
    }
}

fn event_id(index: u64) -> Bytes {
    let mut id = [0x77; 16];
    id[8..].copy_from_slice(&index.to_be_bytes());
    Bytes::copy_from_slice(&id)
}

fn principal(subject: &str, group: &str) -> Vec<u8> {
    json!({
        "issuer": "https://idp.example", "subject": subject, "kind": "human", "groups": [group], "roles": [],
        "email": format!("{subject}@example.com"),
    })
    .to_string()
    .into_bytes()
}

impl tlog::NodeSource for World {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        self.nodes.get(&(level, index)).copied().ok_or_else(|| format!("no node {level} {index}"))
    }
}

impl Source for World {
    fn checkpoint(&self) -> (Checkpoint, String) {
        self.checkpoint_at(self.entries.len() as u64)
    }

    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Bytes>, SourceError> {
        Ok(self.entries[range.start as usize..range.end as usize].to_vec())
    }

    async fn openings(
        &self,
        role: Role,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Opening)>, SourceError> {
        let all =
            range.flat_map(|index| self.openings[&index].iter().map(move |o| (index, o.clone())));
        Ok(all
            .filter(|(_, o)| Slot::try_from(o.slot).is_ok_and(|slot| role.may_see(slot)))
            .collect())
    }

    async fn first_at_or_after(&self, time: u64) -> Result<Option<u64>, SourceError> {
        Ok((0..self.entries.len() as u64).find(|index| self.recorded_at(*index) >= time))
    }

    fn range_proof(&self, range: Range<u64>) -> Result<RangeProof, SourceError> {
        let (checkpoint, note) = Source::checkpoint(self);
        Ok(RangeProof::prove(range.start, range.end, checkpoint.size, note, self).unwrap())
    }

    fn inclusion_proof(&self, index: u64) -> Result<TlogProof, SourceError> {
        let (checkpoint, note) = Source::checkpoint(self);
        let index = LeafIndex(index);
        let hashes = tlog::prove_inclusion(index, checkpoint.size, self).unwrap();
        Ok(TlogProof { extra: None, index, hashes, checkpoint: note })
    }

    fn consistency_proof(&self, old: TreeSize) -> Result<Vec<Hash>, SourceError> {
        Ok(tlog::prove_consistency(old, TreeSize(self.entries.len() as u64), self).unwrap())
    }

    fn older_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        vec![self.checkpoint_at(3)]
    }
}

/// Keeps what would be recorded.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) releases: Mutex<Vec<Release>>,
    pub(crate) broken: bool,
}

impl Journal for Notebook {
    async fn record(&self, release: &Release) -> Result<(), Unrecorded> {
        if self.broken {
            return Err(Unrecorded { reason: "the ledger is away".into(), is_retryable: true });
        }
        self.releases.lock().unwrap().push(release.clone());
        Ok(())
    }
}
