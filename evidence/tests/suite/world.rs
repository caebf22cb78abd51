//! A log made by the rules: recorder chains, seals, disclosures, decisions by real snapshots.

mod call;
mod source;
mod story;

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use controls::Snapshot;
use evidence::{ExportRequest, Exported};
use proto::Role;
use proto::chain::{self, ChainHead};
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::{self, MediaType, Opening, Slot};
use serde_json::json;
use tlog::{Checkpoint, CompactRange, Hash, SigningKey, TreeSize, leaf_hash};
use verifier::Trust;

pub(crate) use source::Notebook;
pub(crate) use story::snapshot;

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

type Said = Vec<(Slot, MediaType, Vec<u8>)>;

impl World {
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

    fn leaf_hash(&self, index: u64) -> Hash {
        leaf_hash(&self.entries[usize::try_from(index).unwrap()])
    }

    fn erase(&mut self, index: u64, slot: Slot) {
        let erased = v1::DisclosureErased {
            // The id of another leaf, as a recorder may write it a second time: it is a label, and nobody may go by it.
            event_id: event_id(index + 2),
            slots: vec![slot.into()],
            leaf_index: index,
            leaf_hash: self.leaf_hash(index).0.to_vec().into(),
            ..v1::DisclosureErased::default()
        };
        self.say(LEDGER, Kind::DisclosureErased(erased), vec![]);
        self.openings.get_mut(&index).unwrap().retain(|opening| opening.slot != i32::from(slot));
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
            since: vec![],
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
