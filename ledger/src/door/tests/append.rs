//! Recorders by hand: what is acknowledged, and when.

use bytes::Bytes;
use futures_util::StreamExt;
use proto::append::challenge_text;
use proto::canonical::encode_event;
use proto::entry::Leaf;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{
    Acknowledgement, Answer, AppendRequest, AppendResponse, Event, Events, NewEvent, Open,
    RecorderStopped, Watch,
};
use proto::{ChainHead, event_hash};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{House, ORIGIN, recorder};
use crate::door::strangers::Stranger;
use crate::door::{Reply, append};

/// A recorder's stream.
pub(super) struct Stream {
    epoch: Id,
    pub(super) frames: mpsc::Sender<Result<AppendRequest, Status>>,
    answers: Reply<AppendResponse>,
}

impl Stream {
    pub(super) async fn open(house: &House, epoch: u8) -> Self {
        let (frames, receiver) = mpsc::channel(16);
        let known = Stranger::default();
        let answers = append::open(house.doors(), known, ReceiverStream::new(receiver));
        Self::prove(epoch, frames, answers).await
    }

    /// Opens it and proves the key.
    pub(super) async fn prove(
        epoch: u8,
        frames: mpsc::Sender<Result<AppendRequest, Status>>,
        answers: Reply<AppendResponse>,
    ) -> Self {
        let epoch = Id([epoch; 16]);
        let mut stream = Self { epoch, frames, answers };
        let key = recorder();
        stream.send(Request::Open(Open { recorder_id: "r".into(), epoch: epoch.to_bytes() })).await;
        let Response::Challenge(challenge) = stream.next().await.unwrap() else { panic!() };
        let text = challenge_text(ORIGIN, "r", epoch, &challenge.nonce);
        let signature = key.sign_bytes(text.as_bytes()).to_vec().into();
        stream.send(Request::Answer(Answer { signature })).await;
        assert!(matches!(stream.next().await.unwrap(), Response::Opened(_)));
        stream
    }

    pub(super) async fn send(&self, frame: Request) {
        self.frames.send(Ok(AppendRequest { frame: Some(frame) })).await.unwrap();
    }

    async fn next(&mut self) -> Result<Response, String> {
        self.answer().await.map_err(|status| {
            let code = status.metadata().get("exhibit-code").unwrap();
            code.to_str().unwrap().to_owned()
        })
    }

    /// What the ledger says next.
    pub(super) async fn answer(&mut self) -> Result<Response, Status> {
        Ok(self.answers.next().await.unwrap()?.frame.unwrap())
    }

    pub(super) async fn append(&self, events: &[&Bytes]) {
        self.send(frame(events)).await;
    }

    pub(super) async fn acknowledged(&mut self) -> Result<Vec<Acknowledgement>, String> {
        match self.next().await? {
            Response::Acknowledged(acknowledged) => Ok(acknowledged.events),
            other => panic!("{other:?}"),
        }
    }

    /// The event after `before`, and the head that it makes.
    pub(super) fn event(&self, before: Option<&ChainHead>) -> (Bytes, ChainHead) {
        self.event_of(before, Kind::RecorderStopped(RecorderStopped { drained: true }))
    }

    /// The same, of some kind.
    pub(super) fn event_of(&self, before: Option<&ChainHead>, kind: Kind) -> (Bytes, ChainHead) {
        let recorder = proto::chain::next(before, "r", &self.epoch.0);
        let sequence = recorder.sequence;
        let event = encode_event(&Event {
            event_id: Bytes::from_static(&[1; 16]),
            occurred_at_ns: 1,
            recorder: Some(recorder),
            kind: Some(kind),
            ..Event::default()
        })
        .unwrap();
        let head = ChainHead { sequence, hash: event_hash(&event) };
        (event, head)
    }
}

pub(super) fn frame(events: &[&Bytes]) -> Request {
    let new = |event: &&Bytes| NewEvent { event: (*event).clone(), openings: Vec::new() };
    Request::Events(Events { events: events.iter().map(new).collect() })
}

/// Leaves of recorder `r`; the ledger seals by itself meanwhile.
fn recorded(house: &House) -> usize {
    let is_ours =
        |leaf: &Leaf| leaf.event.recorder.as_ref().is_some_and(|by| by.recorder_id == "r");
    house.leaves().iter().filter(|(leaf, _)| is_ours(leaf)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_sent_twice_in_a_frame_is_acknowledged_once_it_is_durable() {
    let house = House::build(&[]).await;
    let mut stream = Stream::open(&house, 1).await;
    let (event, head) = stream.event(None);
    let (second, _) = stream.event(Some(&head));
    stream.append(&[&event, &event, &second]).await;
    let mut told = Vec::new();
    while told.len() < 3 {
        told.extend(stream.acknowledged().await.unwrap());
    }
    let sequences: Vec<u64> = told.iter().map(|told| told.sequence).collect();
    assert_eq!(sequences, [0, 0, 1]);
    // First where it stands, then that it was there already.
    let known: Vec<bool> = told.iter().map(|told| !told.leaf_hash.is_empty()).collect();
    assert_eq!(known, [true, false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_compared_is_not_acknowledged() {
    let house = House::build(&[]).await;
    let mut stream = Stream::open(&house, 1).await;
    let (first, head) = stream.event(None);
    let (second, head) = stream.event(Some(&head));
    stream.append(&[&first, &second]).await;
    assert_eq!(stream.acknowledged().await.unwrap().len(), 2);
    // Another event under the number of one below the head.
    let mut forged = proto::decode_event(&first).unwrap();
    forged.occurred_at_ns = 2;
    let forged = encode_event(&forged).unwrap();
    stream.append(&[&forged]).await;
    assert_eq!(stream.acknowledged().await.unwrap_err(), "event_below_head");
    // The head itself is known.
    drop(stream);
    let before = recorded(&house);
    let mut stream = Stream::open(&house, 1).await;
    stream.append(&[&second]).await;
    let told = stream.acknowledged().await.unwrap();
    assert_eq!((told[0].sequence, told[0].leaf_hash.len()), (head.sequence, 0));
    assert_eq!(recorded(&house), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_of_one_epoch_ends_the_streams_of_the_others() {
    let house = House::build(&[]).await;
    let mut other = Stream::open(&house, 1).await;
    let (first, head) = other.event(None);
    other.append(&[&first]).await;
    assert_eq!(other.acknowledged().await.unwrap().len(), 1);

    let mut forking = Stream::open(&house, 2).await;
    let forged = ChainHead { sequence: 0, hash: [9; 32] };
    let (fork, _) = forking.event(Some(&forged));
    forking.append(&[&fork]).await;
    assert_eq!(forking.acknowledged().await.unwrap_err(), "recorder_fork");

    let before = recorded(&house);
    let (second, _) = other.event(Some(&head));
    other.append(&[&second]).await;
    assert_eq!(other.acknowledged().await.unwrap_err(), "recorder_suspended");
    assert_eq!(recorded(&house), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_knows_more_than_was_published_is_told_at_once() {
    let house = House::build(&[]).await;
    let mut stream = Stream::open(&house, 1).await;
    stream.send(Request::Watch(Watch { leaf_index: 99_999, known_size: 100_000 })).await;
    assert_eq!(stream.next().await.unwrap_err(), "ledger_lost_events");
}
