//! A recorder's stream: it proves its key, then sends events and is told where they stand once they are durable.

mod handshake;
mod proof;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{
    Acknowledged, Acknowledgement, AppendRequest, AppendResponse, Events, Opened, RecorderConflict,
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Status};

use super::strangers::{self, Stranger};
use super::{Doors, Reply, status};
use crate::intake::{Intake, Judged};
use crate::own;
use crate::registry::Lease;
use crate::sequencer::{Arrival, Committed, Stopped};

/// Proofs one stream may wait for at once.
const MAX_WATCHES: usize = 4;
/// Submissions of one stream that may wait for their commit.
const MAX_PENDING: usize = 256;
/// Answers that may wait for a slow recorder.
const MAX_ANSWERS: usize = 64;

type Answers = mpsc::Sender<Result<AppendResponse, Status>>;

/// Serves a stream on its own task; it ends after every event it accepted is durable.
pub(super) fn open(
    doors: Doors,
    caller: Stranger,
    frames: impl Stream<Item = Result<AppendRequest, Status>> + Send + 'static,
) -> Reply<AppendResponse> {
    let (answers, receiver) = mpsc::channel(MAX_ANSWERS);
    tokio::spawn(async move {
        let served = serve(doors, caller, pin!(frames), &answers).await;
        if let Err(status) = served {
            tracing::warn!(status = %status.message(), "an append stream ended");
            answers.send(Err(status)).await.unwrap_or_default();
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

async fn serve<S>(
    doors: Doors,
    caller: Stranger,
    mut frames: Pin<&mut S>,
    answers: &Answers,
) -> Result<(), Status>
where
    S: Stream<Item = Result<AppendRequest, Status>>,
{
    let handshake = handshake::handshake(&doors, &mut frames, answers);
    let (key, epoch) = within(strangers::TIMEOUT, handshake).await?;
    // Before it is told that it may send events.
    caller.known();
    let lease = doors.registry.lease(key.name(), epoch).map_err(|e| status::refused(&e))?;
    let chain = lease.chain().cloned();
    let mut intake = Intake::new(
        doors.log.name().into(),
        key,
        epoch,
        chain.as_ref().map(|chain| chain.head),
        chain.as_ref().and_then(|chain| chain.active_snapshot),
    );
    let opened = Opened {
        head: lease.chain().map(own::report),
        previous: lease.previous().map(own::report),
    };
    send(answers, Response::Opened(opened)).await?;

    let (pending, waiting) = mpsc::channel(MAX_PENDING);
    let acknowledging = tokio::spawn(acknowledge(waiting, answers.clone(), lease));
    let read = read(&doors, &mut frames, answers, &mut intake, &pending).await;
    drop(pending);
    // Whatever was accepted becomes durable and known before another stream may open.
    let mut lease = acknowledging.await.map_err(|_| status::stopped(Stopped))?;
    match read {
        Ok(()) => Ok(()),
        Err(End::Refused(status)) => Err(status),
        Err(End::Fork(conflict)) => {
            let message = format!(
                "event {} does not follow the chain of this epoch: a fork; recorder {:?} is suspended",
                conflict.sequence, conflict.recorder_id
            );
            let suspended = lease.suspend();
            doors.own.record_conflict(*conflict, suspended).await.map_err(status::stopped)?;
            Err(status::status(Code::FailedPrecondition, "recorder_fork", message))
        }
    }
}

/// A recorder that was late, as one that was paused, is told so: it may try again.
async fn within<T>(
    limit: Duration,
    handshake: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    tokio::time::timeout(limit, handshake).await.unwrap_or_else(|_| {
        let message =
            format!("the recorder did not prove its key within {limit:?}; open the stream again");
        Err(status::status(Code::DeadlineExceeded, "handshake_timeout", message))
    })
}

/// Why reading ended early.
enum End {
    Refused(Status),
    Fork(Box<RecorderConflict>),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        End::Refused(status)
    }
}

/// Acknowledgements to come: each is sent after those before it, so after all that was accepted before is durable.
enum Pending {
    Stored(Acknowledgement),
    Submitted(Submitted),
}

struct Submitted {
    events: Vec<(proto::ChainHead, Option<[u8; 32]>)>,
    committed: oneshot::Receiver<Vec<Committed>>,
}

async fn read<S>(
    doors: &Doors,
    frames: &mut Pin<&mut S>,
    answers: &Answers,
    intake: &mut Intake,
    pending: &mpsc::Sender<Pending>,
) -> Result<(), End>
where
    S: Stream<Item = Result<AppendRequest, Status>>,
{
    let watches = Arc::new(Semaphore::new(MAX_WATCHES));
    while let Some(frame) = next(frames).await? {
        match frame {
            Request::Events(events) => accept(doors, intake, pending, events).await?,
            Request::Watch(watch) => {
                let permit = Arc::clone(&watches).try_acquire_owned().map_err(|_| {
                    status::status(Code::ResourceExhausted, "watches", "too many proofs at once")
                })?;
                let (doors, answers) = (doors.clone(), answers.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    let answer = proof::prove(&doors, &watch)
                        .await
                        .map(|watched| AppendResponse { frame: Some(Response::Watched(watched)) });
                    answers.send(answer).await.unwrap_or_default();
                });
            }
            Request::Open(_) | Request::Answer(_) => {
                return Err(status::protocol("the stream is open already").into());
            }
        }
    }
    Ok(())
}

/// Judges the events of a frame and submits the good ones up to the first bad one.
async fn accept(
    doors: &Doors,
    intake: &mut Intake,
    pending: &mpsc::Sender<Pending>,
    events: Events,
) -> Result<(), End> {
    // Another stream of this recorder may have forked its chain meanwhile.
    doors.registry.check_not_suspended(intake.recorder_id()).map_err(|e| status::refused(&e))?;
    let mut arrivals = Vec::with_capacity(events.events.len());
    let mut end = None;
    for event in events.events {
        match intake.judge(event) {
            Ok(Judged::Next(arrival)) => arrivals.push(*arrival),
            Ok(Judged::Resent { sequence }) => {
                // Perhaps it is the last of `arrivals`: answered after them, it is answered when it is durable.
                submit(doors, pending, std::mem::take(&mut arrivals)).await?;
                let stored = Acknowledgement { sequence, ..Acknowledgement::default() };
                pending.send(Pending::Stored(stored)).await.unwrap_or_default();
            }
            Ok(Judged::Fork(conflict)) => {
                end = Some(End::Fork(Box::new(conflict)));
                break;
            }
            Err(refusal) => {
                end = Some(End::Refused(status::refusal(&refusal)));
                break;
            }
        }
    }
    submit(doors, pending, arrivals).await?;
    end.map_or(Ok(()), Err)
}

async fn submit(
    doors: &Doors,
    pending: &mpsc::Sender<Pending>,
    arrivals: Vec<Arrival>,
) -> Result<(), Status> {
    if arrivals.is_empty() {
        return Ok(());
    }
    let events = arrivals.iter().map(|arrival| (arrival.head, arrival.active_snapshot)).collect();
    let committed = doors.sequencer.submit(arrivals, None).await.map_err(status::stopped)?;
    // A receiver that is gone has failed, and reports so when it is awaited.
    pending.send(Pending::Submitted(Submitted { events, committed })).await.unwrap_or_default();
    Ok(())
}

/// Tells the recorder what became durable, and keeps the lease in step; returns it when nothing is pending.
async fn acknowledge(
    mut waiting: mpsc::Receiver<Pending>,
    answers: Answers,
    mut lease: Lease,
) -> Lease {
    while let Some(pending) = waiting.recv().await {
        let events = match pending {
            Pending::Stored(event) => vec![event],
            Pending::Submitted(Submitted { events, committed }) => {
                let Ok(places) = committed.await else {
                    answers.send(Err(status::stopped(Stopped))).await.unwrap_or_default();
                    return lease;
                };
                if let (Some((head, snapshot)), Some(place)) = (events.last(), places.last()) {
                    lease.advance(*head, place.leaf_index, *snapshot);
                }
                events.iter().zip(&places).map(|((head, _), place)| told(head, place)).collect()
            }
        };
        let acknowledged = Response::Acknowledged(Acknowledged { events });
        // A recorder that went away is told its head when it comes back.
        send(&answers, acknowledged).await.unwrap_or_default();
    }
    lease
}

fn told(head: &proto::ChainHead, place: &Committed) -> Acknowledgement {
    Acknowledgement {
        sequence: head.sequence,
        leaf_index: place.leaf_index.0,
        recorded_at_ns: place.recorded_at_ns,
        leaf_hash: place.leaf_hash.0.to_vec().into(),
    }
}

/// The next frame; `None` at the end of the stream, also when the connection broke.
async fn next<S>(frames: &mut Pin<&mut S>) -> Result<Option<Request>, Status>
where
    S: Stream<Item = Result<AppendRequest, Status>>,
{
    match frames.next().await {
        None => Ok(None),
        Some(Ok(AppendRequest { frame: Some(frame) })) => Ok(Some(frame)),
        Some(Ok(AppendRequest { frame: None })) => Err(status::protocol("an empty frame")),
        Some(Err(status)) => Err(status),
    }
}

async fn send(answers: &Answers, frame: Response) -> Result<(), Status> {
    answers
        .send(Ok(AppendResponse { frame: Some(frame) }))
        .await
        .map_err(|_| Status::cancelled("the recorder has gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_paused_handshake_may_be_tried_again() {
        let paused = std::future::pending::<Result<(), Status>>();
        let status = within(Duration::ZERO, paused).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(status.metadata().get("exhibit-code").unwrap(), "handshake_timeout");
    }
}
