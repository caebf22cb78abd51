//! A recorder says what its part of the system has to say, and a stranger learns nothing.

use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::recorder_conflict::Reason;
use proto::v1::{
    Answer, AppendRequest, EvidenceAccessed, LogMark, Open, RecorderConflict, SessionOpened,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::append::Stream;
use super::{House, ORIGIN, key, recorder};
use crate::door::append;
use crate::door::strangers::Stranger;

fn conflicts(house: &House) -> Vec<RecorderConflict> {
    let conflict = |kind: Kind| match kind {
        Kind::RecorderConflict(conflict) => Some(conflict),
        _ => None,
    };
    house.kinds().into_iter().filter_map(conflict).collect()
}

async fn refused(house: &House, epoch: u8, kind: Kind) -> Status {
    let mut stream = Stream::open(house, epoch).await;
    let (event, _) = stream.event_of(None, kind);
    stream.append(&[&event]).await;
    stream.answer().await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_ledger_says_what_is_the_ledgers_to_say() {
    let house = House::build(&[]).await;
    let status = refused(&house, 1, Kind::LogMark(LogMark::default())).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.metadata().get("exhibit-code").unwrap(), "event_kind");
    assert!(status.message().contains("LogMark"), "{status:?}");
    let recorded = conflicts(&house);
    assert_eq!(recorded.len(), 1);
    assert_eq!((&*recorded[0].recorder_id, recorded[0].reason()), ("r", Reason::Kind));
    assert_eq!((recorded[0].sequence, &recorded[0].epoch[..]), (0, &[1; 16][..]));
    // Nothing of it is in the log, and the recorder may go on with what it may say, in the same epoch.
    let mut stream = Stream::open(&house, 1).await;
    let (event, _) = stream.event_of(None, Kind::SessionOpened(session()));
    stream.append(&[&event]).await;
    assert_eq!(stream.acknowledged().await.unwrap().len(), 1);
    let marks = house.kinds().iter().filter(|kind| matches!(kind, Kind::LogMark(_))).count();
    assert_eq!(marks, 1, "the one of the start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duty_that_is_configured_is_kept_to() {
    let query = House::build_with(&[], |config| {
        config.duties.insert("r".into(), "query".into());
    })
    .await;
    let status = refused(&query, 1, Kind::SessionOpened(session())).await;
    assert!(status.message().contains("its duty is query"), "{status:?}");
    let mut stream = Stream::open(&query, 2).await;
    let (event, _) = stream.event_of(None, Kind::EvidenceAccessed(EvidenceAccessed::default()));
    stream.append(&[&event]).await;
    assert_eq!(stream.acknowledged().await.unwrap().len(), 1);
}

fn session() -> SessionOpened {
    SessionOpened { server: "billing".into(), ..SessionOpened::default() }
}

#[test]
fn a_duty_of_nobody_and_one_that_is_none_are_mistakes() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = super::config(dir.path(), &[]);
    config.duties =
        [("r", "ledger"), ("gone", "gateway")].map(|(n, d)| (n.into(), d.into())).into();
    config.limits.mib_in_flight = 1;
    let mistakes = config.mistakes().join("\n");
    for part in ["duties.r: \"ledger\"", "\"gone\" is the name of no vkey", "limits.mib_in_flight"]
    {
        assert!(mistakes.contains(part), "{part} in {mistakes}");
    }
}

/// What somebody with some key is told who claims a name.
async fn claim(house: &House, name: &str, seed: u8) -> Status {
    let (frames, receiver) = mpsc::channel(16);
    let mut answers =
        append::open(house.doors(), Stranger::default(), ReceiverStream::new(receiver));
    let epoch = Id([7; 16]);
    let send = |frame| frames.send(Ok::<_, Status>(AppendRequest { frame: Some(frame) }));
    let open = Open { recorder_id: name.into(), epoch: epoch.to_bytes() };
    send(Request::Open(open)).await.unwrap();
    let next = futures_util::StreamExt::next(&mut answers).await.unwrap();
    let Some(Response::Challenge(challenge)) = next.unwrap().frame else { panic!() };
    let text = proto::append::challenge_text(ORIGIN, name, epoch, &challenge.nonce);
    let signature = key(name, seed).sign_bytes(text.as_bytes()).to_vec().into();
    send(Request::Answer(Answer { signature })).await.unwrap();
    futures_util::StreamExt::next(&mut answers).await.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_tell_a_registered_name_from_another() {
    let house = House::build(&[]).await;
    let [registered, unknown] = [claim(&house, "r", 9).await, claim(&house, "s", 9).await];
    for status in [&registered, &unknown] {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.metadata().get("exhibit-code").unwrap(), "recorder_unknown");
    }
    assert_eq!(registered.message().replace("\"r\"", "\"s\""), unknown.message());
    // Nor that one is suspended.
    let mut forking = Stream::open(&house, 1).await;
    let forged = proto::ChainHead { sequence: 0, hash: [9; 32] };
    let (fork, _) = forking.event(Some(&forged));
    forking.append(&[&fork]).await;
    forking.answer().await.unwrap_err();
    assert_eq!(claim(&house, "r", 9).await.message(), registered.message());
    let mine = claim(&house, recorder().name(), 3).await;
    assert_eq!(mine.metadata().get("exhibit-code").unwrap(), "recorder_suspended");
}
