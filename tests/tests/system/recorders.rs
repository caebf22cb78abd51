//! Recorders that lie: strangers, forks and wrong disclosures, over bare gRPC.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use proto::ChainHead;
use proto::append::challenge_text;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{
    Acknowledged, Answer, AppendRequest, AppendResponse, Event, Events, MediaType, NewEvent, Open,
    Opened, Opening, RecorderStopped, Slot,
};
use recorder::random_id;
use tests::system::{ORIGIN, Plan, Shape, System};
use tlog::SigningKey;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::log;

#[test]
fn strangers_are_turned_away() -> Result<()> {
    tests::run(async {
        let system = ledger(&["known"]).await?;
        let stranger = SigningKey::from_seed("stranger", [7; 32])?;
        code(Stream::open(&system, &stranger, random_id()).await, "recorder_unknown")?;
        // The name of a registered recorder under another key.
        let impostor = SigningKey::from_seed("known", [7; 32])?;
        code(Stream::open(&system, &impostor, random_id()).await, "recorder_unknown")?;
        // Two streams of one epoch.
        let (key, epoch) = (system.key("known")?, random_id());
        let first = Stream::open(&system, &key, epoch).await?;
        code(Stream::open(&system, &key, epoch).await, "recorder_already_open")?;
        drop(first);
        Ok(())
    })
}

#[test]
fn a_forked_chain_is_recorded_and_its_recorder_suspended() -> Result<()> {
    tests::run(async {
        let mut system = ledger(&["known", "honest"]).await?;
        let (key, epoch) = (system.key("known")?, random_id());
        let mut stream = Stream::open(&system, &key, epoch).await?;
        let first = stream.append(stream.event(None, &[])?, Vec::new()).await?;
        ensure!(first.events.len() == 1 && first.events[0].sequence == 0, "{first:?}");

        let forged = ChainHead { sequence: 0, hash: [9; 32] };
        let forked = stream.append(stream.event(Some(&forged), &[])?, Vec::new()).await;
        code(forked, "recorder_fork")?;
        // For good: under this epoch, under another, and after a restart.
        code(Stream::open(&system, &key, epoch).await, "recorder_suspended")?;
        code(Stream::open(&system, &key, random_id()).await, "recorder_suspended")?;
        let conflict = |entries: &[log::Entry]| {
            entries
                .iter()
                .any(|entry| matches!(entry.leaf.event.kind, Some(Kind::RecorderConflict(_))))
        };
        let (entries, _) = log::read_until(&system, conflict).await?;
        let recorded = entries.iter().find_map(|entry| match &entry.leaf.event.kind {
            Some(Kind::RecorderConflict(conflict)) => Some(conflict.clone()),
            _ => None,
        });
        let recorded = recorded.context("no conflict")?;
        ensure!(recorded.recorder_id == "known" && recorded.epoch == epoch.0[..], "{recorded:?}");
        ensure!(recorded.sequence == 1 && recorded.claimed_hash == [9; 32][..], "{recorded:?}");
        system.kill("ledger")?;
        system.start_part("ledger").await?;
        code(Stream::open(&system, &key, random_id()).await, "recorder_suspended")?;
        // The others go on.
        let honest = system.key("honest")?;
        let mut stream = Stream::open(&system, &honest, random_id()).await?;
        stream.append(stream.event(None, &[])?, Vec::new()).await?;
        Ok(())
    })
}

#[test]
fn disclosures_must_be_what_the_leaf_commits_to() -> Result<()> {
    tests::run(async {
        let system = ledger(&["known"]).await?;
        let (key, epoch) = (system.key("known")?, random_id());
        let salt = [3; 32];
        let content = Bytes::from_static(b"{\"subject\":\"erin\"}");
        let good = Opening { slot: Slot::Principal.into(), salt: salt.to_vec().into(), content };
        let other =
            Opening { content: Bytes::from_static(b"{\"subject\":\"carl\"}"), ..good.clone() };
        let resalted = Opening { salt: vec![4; 32].into(), ..good.clone() };
        let surplus = Opening { slot: Slot::Message.into(), ..good.clone() };
        let cases = [
            ("disclosure_mismatch", vec![other]),
            ("disclosure_mismatch", vec![resalted]),
            ("disclosure_missing", vec![]),
            ("disclosure_surplus", vec![good.clone(), surplus]),
        ];
        for (expected, openings) in cases {
            // What was refused is not in the chain: the same epoch begins anew each time.
            let mut stream = Stream::open(&system, &key, epoch).await?;
            ensure!(
                stream.opened.head.is_none(),
                "a refused event was stored: {:?}",
                stream.opened
            );
            let event = stream.event(None, std::slice::from_ref(&good))?;
            code(stream.append(event, openings).await, expected)?;
        }
        let mut stream = Stream::open(&system, &key, epoch).await?;
        let event = stream.event(None, std::slice::from_ref(&good))?;
        let stored = stream.append(event, vec![good.clone()]).await?;
        let index = stored.events.first().context("no acknowledgement")?.leaf_index;
        let (entries, _) = log::read_until(&system, |entries| entries.len() as u64 > index).await?;
        ensure!(entries[index as usize].openings == [good], "the disclosure came back otherwise");
        let mine = entries.iter().filter(|entry| {
            entry
                .leaf
                .event
                .recorder
                .as_ref()
                .is_some_and(|recorder| recorder.recorder_id == "known")
        });
        ensure!(mine.count() == 1, "only the good event is in the log");

        let foreign = Bytes::from_static(b"no event at all");
        let mut bare = Stream::open(&system, &key, random_id()).await?;
        code(bare.append(foreign, Vec::new()).await, "event_undecodable")?;
        Ok(())
    })
}

async fn ledger(recorders: &[&str]) -> Result<System> {
    let recorders = recorders.iter().map(|name| (*name).to_owned()).collect();
    System::start(Shape::LedgerAlone, &Plan { recorders, ..Plan::default() }, None).await
}

/// An Append stream by hand.
#[derive(Debug)]
struct Stream {
    recorder_id: String,
    epoch: Id,
    opened: Opened,
    frames: mpsc::Sender<AppendRequest>,
    answers: Streaming<AppendResponse>,
}

impl Stream {
    async fn open(system: &System, key: &SigningKey, epoch: Id) -> Result<Self, Failed> {
        let (frames, outgoing) = mpsc::channel(16);
        let recorder_id = key.name().to_owned();
        let open = Open { recorder_id: recorder_id.clone(), epoch: epoch.to_bytes() };
        send(&frames, Request::Open(open)).await?;
        let answers = log::connect(system).await?.append(ReceiverStream::new(outgoing)).await?;
        let mut answers = answers.into_inner();
        let Response::Challenge(challenge) = next(&mut answers).await? else {
            return Err(Failed::other("no challenge"));
        };
        let text = challenge_text(ORIGIN, key.name(), epoch, &challenge.nonce);
        let signature = key.sign_bytes(text.as_bytes()).to_vec().into();
        send(&frames, Request::Answer(Answer { signature })).await?;
        let Response::Opened(opened) = next(&mut answers).await? else {
            return Err(Failed::other("no head"));
        };
        Ok(Self { recorder_id, epoch, opened, frames, answers })
    }

    /// The canonical bytes of an event that says it follows `head`, and commits to these openings.
    fn event(&self, head: Option<&ChainHead>, openings: &[Opening]) -> Result<Bytes> {
        let commit = |opening: &Opening| {
            let slot = Slot::try_from(opening.slot)?;
            let salt: [u8; 32] = opening.salt[..].try_into()?;
            anyhow::Ok(proto::disclosure::disclose(slot, MediaType::Json, &salt, &opening.content))
        };
        let event = Event {
            event_id: random_id().to_bytes(),
            occurred_at_ns: 1,
            recorder: Some(proto::chain::next(head, &self.recorder_id, &self.epoch.0)),
            disclosures: openings.iter().map(commit).collect::<Result<_>>()?,
            kind: Some(Kind::RecorderStopped(RecorderStopped { drained: true })),
            ..Event::default()
        };
        Ok(proto::canonical::encode_event(&event)?)
    }

    async fn append(
        &mut self,
        event: Bytes,
        openings: Vec<Opening>,
    ) -> Result<Acknowledged, Failed> {
        let events = Events { events: vec![NewEvent { event, openings }] };
        send(&self.frames, Request::Events(events)).await?;
        match next(&mut self.answers).await? {
            Response::Acknowledged(acknowledged) => Ok(acknowledged),
            other => Err(Failed::other(&format!("{other:?}"))),
        }
    }
}

/// A refusal by the ledger, or anything else.
#[derive(Debug)]
struct Failed {
    code: Option<String>,
    message: String,
}

impl Failed {
    fn other(message: &str) -> Self {
        Self { code: None, message: message.to_owned() }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failed {}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        let code = status.metadata().get("exhibit-code").and_then(|code| code.to_str().ok());
        Self { code: code.map(str::to_owned), message: status.to_string() }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::other(&format!("{error:#}"))
    }
}

async fn send(frames: &mpsc::Sender<AppendRequest>, frame: Request) -> Result<(), Failed> {
    let sent = frames.send(AppendRequest { frame: Some(frame) }).await;
    sent.map_err(|_| Failed::other("the stream has ended"))
}

async fn next(answers: &mut Streaming<AppendResponse>) -> Result<Response, Failed> {
    let message = answers.message().await?;
    message.and_then(|message| message.frame).ok_or_else(|| Failed::other("the stream has ended"))
}

/// It must have been refused with this code, in words.
fn code<T: std::fmt::Debug>(outcome: Result<T, Failed>, expected: &str) -> Result<()> {
    match outcome {
        Ok(done) => bail!("not refused ({expected}): {done:?}"),
        Err(failed) => {
            ensure!(failed.code.as_deref() == Some(expected), "{failed}, not {expected}");
            ensure!(failed.message.len() > 20, "it says little: {failed}");
            Ok(())
        }
    }
}
