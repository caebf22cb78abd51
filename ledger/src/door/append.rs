//! A recorder's stream: it proves its key, then sends events and is told where they stand once they are durable.

mod handshake;
mod proof;
mod queue;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::kind::Kind;
use proto::v1::append_request::Frame as Request;
use proto::v1::append_response::Frame as Response;
use proto::v1::{Acknowledgement, AppendRequest, AppendResponse, Events, Opened, RecorderConflict};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{Code, Status};

use self::queue::{Pending, Queue, acknowledge, submit, too_fast};
use super::strangers::{self, Stranger};
use super::{Doors, Reply, status};
use crate::intake::{Intake, Judged};
use crate::own;
use crate::sequencer::Stopped;

/// Proofs one stream may wait for at once.
const MAX_WATCHES: usize = 4;
/// Submissions of one stream that may wait for their commit.
const MAX_PENDING: usize = 256;
/// Answers that may wait for a slow recorder.
const MAX_ANSWERS: usize = 64;

type Answers = mpsc::Sender<Result<AppendResponse, Status>>;

/// Serves a stream on its own task; it ends after every event it accepted is durable.
pub(crate) fn open(
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
    let allowance = doors.registry.allowance(key.name()).map_err(|e| status::refused(&e))?;
    let duty = doors.registry.duty(key.name());
    let chain = lease.chain().cloned();
    let mut intake = Intake::new(
        doors.log.name().into(),
        key,
        epoch,
        chain.as_ref().map(|chain| chain.head),
        chain.as_ref().and_then(|chain| chain.active_snapshot),
        Arc::clone(&doors.store),
    )
    .with_duty(duty);
    let opened = Opened {
        head: lease.chain().map(own::report),
        previous: lease.previous().map(own::report),
    };
    send(answers, Response::Opened(opened)).await?;

    let (pending, waiting) = mpsc::channel(MAX_PENDING);
    let acknowledging = tokio::spawn(acknowledge(waiting, answers.clone(), lease));
    let queue = Queue { doors: &doors, allowance: &allowance, pending };
    let read = read(&queue, &mut frames, answers, &mut intake).await;
    drop(queue);
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
        Err(End::Forbidden(conflict, kind)) => {
            let message = format!(
                "recorder {:?} may not record a {kind}: its duty is {duty} (`duties` in the ledger's configuration)",
                conflict.recorder_id
            );
            let kind = Kind::RecorderConflict(*conflict);
            doors.own.record(kind, Vec::new()).await.map_err(status::stopped)?;
            Err(status::status(Code::PermissionDenied, "event_kind", message))
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
    /// An event of the kind that has this name.
    Forbidden(Box<RecorderConflict>, &'static str),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        End::Refused(status)
    }
}

async fn read<S>(
    queue: &Queue<'_>,
    frames: &mut Pin<&mut S>,
    answers: &Answers,
    intake: &mut Intake,
) -> Result<(), End>
where
    S: Stream<Item = Result<AppendRequest, Status>>,
{
    let watches = Arc::new(Semaphore::new(MAX_WATCHES));
    while let Some(frame) = next(frames).await? {
        match frame {
            Request::Events(events) => accept(queue, intake, events).await?,
            Request::Watch(watch) => {
                let permit = Arc::clone(&watches).try_acquire_owned().map_err(|_| {
                    status::status(Code::ResourceExhausted, "watches", "too many proofs at once")
                })?;
                let (doors, answers) = (queue.doors.clone(), answers.clone());
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
async fn accept(queue: &Queue<'_>, intake: &mut Intake, events: Events) -> Result<(), End> {
    let Queue { doors, allowance, pending } = queue;
    // Another stream of this recorder may have forked its chain meanwhile.
    doors.registry.check_not_suspended(intake.recorder_id()).map_err(|e| status::refused(&e))?;
    let mut arrivals = Vec::with_capacity(events.events.len());
    let mut end = None;
    for event in events.events {
        // A large frame is some milliseconds of work: others may run in between.
        tokio::task::consume_budget().await;
        if let Err(pause) = allowance.count(Instant::now()) {
            end = Some(End::Refused(too_fast(intake.recorder_id(), pause)));
            break;
        }
        match intake.judge(event) {
            Ok(Judged::Next(accepted)) => match intake.seal(*accepted) {
                Ok(arrival) => arrivals.push(arrival),
                Err(error) => {
                    end = Some(End::Refused(status::not_sealed(&error)));
                    break;
                }
            },
            Ok(Judged::Resent { sequence }) => {
                // Perhaps it is the last of `arrivals`: answered after them, it is answered when it is durable.
                submit(queue, std::mem::take(&mut arrivals)).await?;
                let stored = Acknowledgement { sequence, ..Acknowledgement::default() };
                pending.send(Pending::Stored(stored)).await.unwrap_or_default();
            }
            Ok(Judged::Forbidden(conflict, kind)) => {
                end = Some(End::Forbidden(Box::new(conflict), kind));
                break;
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
    submit(queue, arrivals).await?;
    end.map_or(Ok(()), Err)
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
