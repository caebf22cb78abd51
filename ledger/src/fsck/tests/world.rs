//! A stopped ledger in a folder, whose recorders did everything that leaves a trace in the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use proto::append::challenge_text;
use proto::canonical::encode_event;
use proto::chain;
use proto::disclosure::disclose;
use proto::ids::Id;
use proto::kind::Kind;
use proto::seal::Seal;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{
    Answer, AppendRequest, AppendResponse, Disclosure, DisclosureErased, Event, Events, HoldPlaced,
    MediaType, NewEvent, Open, Opening, PolicyActivated, RecorderSeal, RecorderStopped, Slot,
    StreamMessage,
};
use proto::{ChainHead, decode_entry};
use tempfile::TempDir;
use tlog::{Hash, LeafIndex, SigningKey, TreeSize, VerifyingKey, leaf_hash};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::door::strangers::Stranger;
use crate::door::{Doors, append};
use crate::fsck::{FsckReport, fsck};
use crate::sequencer::{HoldChange, Rider};
use crate::vault;
use crate::{Ledger, LedgerConfig, Options};

const ORIGIN: &str = "log.example";
/// An exchange of alpha whose two disclosures may be erased, with their key.
pub(super) const ERASED: u8 = 99;

pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) log: VerifyingKey,
    /// Those whose seals can be verified: not beta's.
    pub(super) recorders: Vec<VerifyingKey>,
    pub(super) disclosures: u64,
}

impl World {
    /// A log of a few entries more than `events`. The last of them stand in the write-ahead log alone.
    pub(super) fn build(events: usize) -> Self {
        Self::build_with(events, false)
    }

    /// The same; [`ERASED`] may be erased and not purged yet, with a legal hold beside it.
    pub(super) fn build_with(events: usize, erasing: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (dir, disclosures) = runtime.block_on(record(events, erasing));
        // It waits for the sequencer, and so the store is closed when it is gone.
        drop(runtime);
        let of = |name, seed| key(name, seed).verifying_key();
        let recorders = vec![of("ledger", 2), of("alpha", 3), of("mallory", 5), of("early", 6)];
        Self { dir, log: of(ORIGIN, 1), recorders, disclosures }
    }

    /// The key that signs checkpoints.
    pub(super) fn log_key() -> SigningKey {
        key(ORIGIN, 1)
    }

    /// The ledger's folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    pub(super) fn fsck(&self) -> FsckReport {
        self.fsck_telling(&mut |_, _| ())
    }

    pub(super) fn fsck_telling(&self, progress: &mut dyn FnMut(u64, u64)) -> FsckReport {
        fsck(&self.folder(), None, &self.log, &self.recorders, progress).unwrap()
    }
}

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, [seed; 32]).unwrap()
}

/// Runs a ledger from its start to its stop; returns its folder and how many disclosures were recorded.
async fn record(events: usize, erasing: bool) -> (TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, key: &SigningKey| {
        let path = dir.path().join(name);
        fs::write(&path, &*key.encode()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let names = [("alpha", 3), ("beta", 4), ("mallory", 5), ("early", 6)];
    let vkeys = names.map(|(name, seed)| key(name, seed).verifying_key().to_string());
    let config: LedgerConfig = serde_json::from_value(serde_json::json!({
        "data_dir": dir.path().join("ledger"),
        "log_key_file": write("log.key", &key(ORIGIN, 1)),
        "recorder_key_file": write("ledger.key", &key("ledger", 2)),
        "recorders": vkeys,
    }))
    .unwrap();
    let ledger = Ledger::start(config, Options::default()).await.unwrap();
    let open = |at: usize| Writer::open(ledger.doors.clone(), key(names[at].0, names[at].1));
    let (mut alpha, mut beta) = (open(0).await, open(1).await);
    let (mut mallory, mut early) = (open(2).await, open(3).await);

    let activated = PolicyActivated { snapshot_digest: vec![8; 32].into(), ..Default::default() };
    alpha.record(Kind::PolicyActivated(activated), 0, &[Slot::Snapshot]).await;
    for exchange in 1..=20 {
        let writer = if exchange % 2 == 0 { &mut alpha } else { &mut beta };
        let asked = [Slot::Principal, Slot::Message, Slot::DecisionInput];
        writer.record(message(), exchange, &asked).await;
        writer.record(message(), exchange, &[Slot::Message]).await;
    }
    let slots = vec![Slot::Message.into(), Slot::Reason.into()];
    let event_id = alpha.record(message(), ERASED, &[Slot::Message, Slot::Reason]).await;
    if erasing {
        erase_and_hold(&ledger.doors, event_id, slots).await;
    }
    mallory.record(stopped(), 0, &[Slot::Message]).await;
    mallory.record(stopped(), 0, &[]).await;
    mallory.fork().await;
    early.fork().await;
    for writer in [&mut alpha, &mut beta] {
        writer.seal().await;
    }
    alpha.record_many(events.saturating_sub(65)).await;
    // Each in a commit of its own, and so at a time of its own.
    for _ in 0..20 {
        beta.record(stopped(), 0, &[]).await;
    }
    for writer in [&mut alpha, &mut beta] {
        writer.seal().await;
    }
    let disclosures = [&alpha, &beta, &mallory].iter().map(|writer| writer.disclosures).sum();
    drop((alpha, beta, mallory, early));
    ledger.stop().await;
    (dir, disclosures)
}

/// The commit of an erasure, without the purge behind it; then a hold.
async fn erase_and_hold(doors: &Doors, event_id: Bytes, slots: Vec<i32>) {
    let entries = doors.store.entries(LeafIndex(0), 10_000, usize::MAX).unwrap();
    let leaves = (0..).zip(&entries).map(|(index, entry)| (index, entry, decode_entry(entry)));
    let mut leaves = leaves.map(|(index, entry, leaf)| (index, entry, leaf.unwrap().event));
    let (leaf_index, entry, event) =
        leaves.find(|(_, _, event)| event.event_id == event_id).unwrap();
    let rider = Rider {
        erased: slots.iter().map(|slot| (LeafIndex(leaf_index), *slot)).collect(),
        destroyed: vec![vault::key_id(&event)],
        ..Rider::default()
    };
    let leaf_hash = leaf_hash(entry).0.to_vec().into();
    let erased = DisclosureErased { event_id, slots, leaf_index, leaf_hash, ..Default::default() };
    let events = vec![(Kind::DisclosureErased(erased), Vec::new())];
    doors.own.record_with(events, rider).await.unwrap();
    let hold = Id([5; 16]);
    let placed = HoldPlaced { hold_id: hold.to_bytes(), ..HoldPlaced::default() };
    let subject = vec![(Slot::Subject, Bytes::from_static(br#"{"from_ns":0}"#))];
    let rider = Rider { hold: Some((hold, HoldChange::Placed)), ..Rider::default() };
    doors.own.record_with(vec![(Kind::HoldPlaced(placed), subject)], rider).await.unwrap();
}

/// What may be erased with its exchange.
fn message() -> Kind {
    Kind::StreamMessage(StreamMessage::default())
}

fn stopped() -> Kind {
    Kind::RecorderStopped(RecorderStopped { drained: true })
}

/// A recorder's stream through the Append door, without a network in between.
struct Writer {
    key: SigningKey,
    epoch: Id,
    head: Option<ChainHead>,
    frames: mpsc::Sender<Result<AppendRequest, Status>>,
    answers: Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>,
    number: u64,
    disclosures: u64,
}

impl Writer {
    async fn open(doors: Doors, key: SigningKey) -> Self {
        let epoch = Id([key.verifying_key().public_key()[0]; 16]);
        let (frames, receiver) = mpsc::channel(16);
        let answers = append::open(doors, Stranger::default(), ReceiverStream::new(receiver));
        let mut stream =
            Self { key, epoch, head: None, frames, answers, number: 0, disclosures: 0 };
        let recorder_id = stream.key.name().to_owned();
        let open = Open { recorder_id, epoch: epoch.to_bytes() };
        stream.send(Request::Open(open)).await;
        let Response::Challenge(challenge) = stream.next().await else { panic!("no challenge") };
        let text = challenge_text(ORIGIN, stream.key.name(), epoch, &challenge.nonce);
        let signature = stream.key.sign_bytes(text.as_bytes()).to_vec().into();
        stream.send(Request::Answer(Answer { signature })).await;
        let Response::Opened(_) = stream.next().await else { panic!("not opened") };
        stream
    }

    async fn send(&self, frame: Request) {
        self.frames.send(Ok(AppendRequest { frame: Some(frame) })).await.unwrap();
    }

    async fn next(&mut self) -> Response {
        self.answers.next().await.unwrap().unwrap().frame.unwrap()
    }

    /// Appends events in one commit, if they fit, and waits until they are durable.
    async fn append(&mut self, events: Vec<NewEvent>) {
        let mut waiting = events.len();
        self.send(Request::Events(Events { events })).await;
        while waiting > 0 {
            let Response::Acknowledged(told) = self.next().await else { panic!("refused") };
            waiting -= told.events.len();
        }
    }

    /// Appends an event and returns its id; exchange 0 is none.
    async fn record(&mut self, kind: Kind, exchange: u8, slots: &[Slot]) -> Bytes {
        let mut openings = Vec::new();
        let mut disclosures = Vec::new();
        for slot in slots {
            self.disclosures += 1;
            let mut salt = [0; 32];
            getrandom::fill(&mut salt).unwrap();
            // One in ten is small, so that each of its bytes can be flipped.
            let filling = if self.disclosures.is_multiple_of(10) { 0 } else { 300 };
            let content = Bytes::from(format!("{} {slot:?} {}", self.number, "x".repeat(filling)));
            disclosures.push(disclose(*slot, MediaType::Json, &salt, &content));
            let salt = Bytes::copy_from_slice(&salt);
            openings.push(Opening { slot: (*slot).into(), salt, content });
        }
        let (event_id, event) = self.event(kind, exchange, disclosures);
        self.append(vec![NewEvent { event, openings }]).await;
        event_id
    }

    /// Appends events without disclosures, many in one commit.
    async fn record_many(&mut self, mut count: usize) {
        while count > 0 {
            let now = count.min(1_000);
            let event = |_| NewEvent {
                event: self.event(stopped(), 0, Vec::new()).1,
                openings: Vec::new(),
            };
            let events = (0..now).map(event).collect();
            self.append(events).await;
            count -= now;
        }
    }

    /// Sends an event that contradicts the chain.
    async fn fork(&mut self) {
        self.head = Some(ChainHead { sequence: 7, hash: [9; 32] });
        let (_, event) = self.event(stopped(), 0, Vec::new());
        let events = vec![NewEvent { event, openings: Vec::new() }];
        self.send(Request::Events(Events { events })).await;
        let refused = self.answers.next().await.unwrap().unwrap_err();
        assert_eq!(refused.metadata().get("exhibit-code").unwrap(), "recorder_fork");
    }

    async fn seal(&mut self) {
        let head = self.head.unwrap();
        let seal = Seal {
            origin: ORIGIN,
            recorder_id: self.key.name(),
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
            key_id: self.key.verifying_key().key_id().to_vec().into(),
            signature: seal.sign(&self.key).to_vec().into(),
            clock: None,
        };
        self.record(Kind::RecorderSeal(seal), 0, &[]).await;
    }

    /// The next event of the chain: its id and its bytes.
    fn event(&mut self, kind: Kind, exchange: u8, disclosures: Vec<Disclosure>) -> (Bytes, Bytes) {
        self.number += 1;
        let exchange_id = if exchange == 0 { Vec::new() } else { vec![exchange; 16] };
        let event_id = Bytes::copy_from_slice(uuid::Uuid::now_v7().as_bytes());
        let recorder = chain::next(self.head.as_ref(), self.key.name(), &self.epoch.0);
        let sequence = recorder.sequence;
        let event = encode_event(&Event {
            event_id: event_id.clone(),
            occurred_at_ns: self.number,
            recorder: Some(recorder),
            exchange_id: exchange_id.into(),
            disclosures,
            kind: Some(kind),
            ..Event::default()
        })
        .unwrap();
        self.head = Some(ChainHead { sequence, hash: proto::event_hash(&event) });
        (event_id, event)
    }
}
