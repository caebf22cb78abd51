//! From an accepted event to its acknowledgement: in order, within what the recorder may take.

use std::time::Duration;

use proto::v1::append_response::Frame as Response;
use proto::v1::{Acknowledged, Acknowledgement};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::{Answers, Doors, send, status};
use crate::limits::{Allowance, InFlight, PATIENCE};
use crate::registry::Lease;
use crate::sequencer::{Arrival, Committed, Stopped};

/// When there may be room again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

/// Acknowledgements to come: each is sent after those before it, so after all that was accepted before is durable.
pub(super) enum Pending {
    Stored(Acknowledgement),
    Submitted(Submitted),
}

pub(super) struct Submitted {
    events: Vec<(proto::ChainHead, Option<[u8; 32]>)>,
    committed: oneshot::Receiver<Vec<Committed>>,
    /// Given back when it is their turn to be acknowledged.
    _room: InFlight,
}

/// Where the accepted events of a stream go.
pub(super) struct Queue<'a> {
    pub(super) doors: &'a Doors,
    pub(super) allowance: &'a Allowance,
    pub(super) pending: mpsc::Sender<Pending>,
}

pub(super) fn too_fast(recorder_id: &str, pause: Duration) -> Status {
    let message = format!(
        "recorder {recorder_id:?} appends more events in a second than it may (limits.events_per_second); what was \
         acknowledged stands, send the rest after a pause"
    );
    status::later("recorder_too_fast", message, pause)
}

/// Waits a moment for room: that slows the recorder down. Then its stream is ended, so that what it sent does not stay
/// in memory, and it is asked to come back with what was not acknowledged.
pub(super) async fn submit(queue: &Queue<'_>, arrivals: Vec<Arrival>) -> Result<(), Status> {
    let Queue { doors, allowance, pending } = queue;
    if arrivals.is_empty() {
        return Ok(());
    }
    let bytes = arrivals.iter().map(Arrival::size_bytes).sum();
    let room = allowance.room(arrivals.len(), bytes).await.map_err(|_| {
        let message = "more events of this recorder wait for their commit than may (limits.events_in_flight, \
                       limits.mib_in_flight); what was acknowledged stands, send the rest after a pause";
        status::later("recorder_in_flight", message, FULL_PAUSE)
    })?;
    let events = arrivals.iter().map(|arrival| (arrival.head, arrival.active_snapshot)).collect();
    let submitted = tokio::time::timeout(PATIENCE, doors.sequencer.submit(arrivals, None)).await;
    let Ok(committed) = submitted else {
        let message = "more waits to be committed than the ledger takes; what was acknowledged stands, send the rest \
                       after a pause";
        return Err(status::later("ledger_busy", message, FULL_PAUSE));
    };
    let committed = committed.map_err(status::stopped)?;
    let submitted = Submitted { events, committed, _room: room };
    // A receiver that is gone has failed, and reports so when it is awaited.
    pending.send(Pending::Submitted(submitted)).await.unwrap_or_default();
    Ok(())
}

/// Tells the recorder what became durable, and keeps the lease in step; returns it when nothing is pending.
pub(super) async fn acknowledge(
    mut waiting: mpsc::Receiver<Pending>,
    answers: Answers,
    mut lease: Lease,
) -> Lease {
    while let Some(pending) = waiting.recv().await {
        let events = match pending {
            Pending::Stored(event) => vec![event],
            Pending::Submitted(Submitted { events, committed, _room }) => {
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
