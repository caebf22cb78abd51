//! A follower's stream: entries in order from any index, then live, each run closed by its checkpoint.
//!
//! Only what a published checkpoint covers is sent, so a follower can verify everything it was given. A slow
//! follower holds nothing but its own small buffer. Who opens a stream is recorded before the first entry is sent.

use std::sync::Arc;
use std::time::Duration;

use proto::Role;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::subscribe_response::Item;
use proto::v1::{Entries, Slot, SubscribeRequest, SubscribeResponse, SubscribedEntry};
use tlog::LeafIndex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};

use super::access::Reading;
use super::subscriptions::Full;
use super::{Doors, Reply, status};
use crate::clock::unix_now_ns;
use crate::sequencer::Stopped;
use crate::store::StoreError;

/// When a place for another stream may be free.
const FULL_PAUSE: Duration = Duration::from_secs(5);
/// Messages that may wait for a slow follower.
const MAX_BUFFERED: usize = 4;
/// Entries in one message, about how many bytes of them, and of their disclosures.
const MAX_ENTRIES: usize = 1_024;
const MAX_ENTRY_BYTES: usize = 1 << 20;
const MAX_OPENING_BYTES: usize = 4 << 20;

pub(super) async fn open(
    doors: Doors,
    request: Request<SubscribeRequest>,
) -> Result<Reply<SubscribeResponse>, Status> {
    let from = request.get_ref().from_index;
    let reading = Reading { door: Door::Subscribe, first_index: from, end_index: 0 };
    let authorization = request.metadata().get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let reader = doors.admit(authorization, request.extensions(), reading).await?;
    let size = doors.published.borrow().checkpoint.size.0;
    if from > size {
        doors.record(&reader, reading, Outcome::Refused).await?;
        let message = format!("index {from} lies beyond the published tree of {size} entries");
        return Err(status::status(Code::OutOfRange, "index_beyond_tree", message));
    }
    let place = match doors.subscriptions.take(reader.name()) {
        Ok(place) => place,
        Err(full) => {
            doors.record(&reader, reading, Outcome::Refused).await?;
            return Err(too_many(&full));
        }
    };
    doors.record(&reader, reading, Outcome::Allowed).await?;
    let (sender, receiver) = mpsc::channel(MAX_BUFFERED);
    tokio::spawn(async move {
        let streaming = stream(doors, reader.role, from, &sender);
        if let Err(status) = until(remaining(reader.expires_at()), streaming).await {
            sender.send(Err(status)).await.unwrap_or_default();
        }
        drop(place);
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn too_many(full: &Full) -> Status {
    let (code, message) = match full {
        Full::InAll => (
            "too_many_subscriptions",
            "as many streams of entries are open as may be (limits.subscriptions); try again later",
        ),
        Full::OfReader => (
            "too_many_subscriptions_of_reader",
            "you have a quarter of all streams of entries open that may be (limits.subscriptions); close one first",
        ),
    };
    status::later(code, message, FULL_PAUSE)
}

/// The stream ends with the token that opened it.
async fn until(
    token_ends_in: Duration,
    streaming: impl Future<Output = Result<(), Status>>,
) -> Result<(), Status> {
    tokio::time::timeout(token_ends_in, streaming).await.unwrap_or_else(|_| {
        let message = "the token expired; open again with a new one";
        Err(status::status(Code::Unauthenticated, "token_expired", message))
    })
}

fn remaining(expires_at: u64) -> Duration {
    Duration::from_secs(expires_at).saturating_sub(Duration::from_nanos(unix_now_ns()))
}

async fn stream(
    doors: Doors,
    role: Role,
    mut next: u64,
    sender: &mpsc::Sender<Result<SubscribeResponse, Status>>,
) -> Result<(), Status> {
    let mut published = doors.published.clone();
    loop {
        let covering = Arc::clone(&published.borrow_and_update());
        let size = covering.checkpoint.size.0;
        while next < size {
            let entries = read(&doors, role, next, size).await?;
            next += entries.entries.len() as u64;
            if send(sender, Item::Entries(entries)).await.is_err() {
                return Ok(());
            }
        }
        if send(sender, Item::Checkpoint(covering.note.to_string())).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            changed = published.changed() => changed.map_err(|_| status::stopped(Stopped))?,
            () = sender.closed() => return Ok(()),
        }
    }
}

async fn read(doors: &Doors, role: Role, from: u64, size: u64) -> Result<Entries, Status> {
    let store = Arc::clone(&doors.store);
    let read = move || -> Result<Entries, StoreError> {
        let count = usize::try_from(size - from).unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
        let entries = store.entries(LeafIndex(from), count, MAX_ENTRY_BYTES)?;
        if entries.is_empty() {
            return Err(StoreError::Damaged(format!("entry {from} is missing")));
        }
        let end = LeafIndex(from + entries.len() as u64);
        let mut entries: Vec<_> = entries
            .into_iter()
            .map(|entry| SubscribedEntry { entry, openings: Vec::new() })
            .collect();
        let (openings, complete) = store.openings(LeafIndex(from), end, MAX_OPENING_BYTES)?;
        entries.truncate(usize::try_from(complete.0 - from).unwrap_or(entries.len()));
        for (index, opening) in openings {
            let visible = Slot::try_from(opening.slot).is_ok_and(|slot| role.may_see(slot));
            let place = usize::try_from(index.0 - from).ok().and_then(|at| entries.get_mut(at));
            if let (true, Some(entry)) = (visible, place) {
                entry.openings.push(opening);
            }
        }
        Ok(Entries { first_index: from, entries })
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| status::stopped(Stopped))?
        .map_err(|error| status::store(&error))
}

async fn send(
    sender: &mpsc::Sender<Result<SubscribeResponse, Status>>,
    item: Item,
) -> Result<(), mpsc::error::SendError<Result<SubscribeResponse, Status>>> {
    sender.send(Ok(SubscribeResponse { item: Some(item) })).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_ends_with_its_token() {
        assert_eq!(remaining(1), Duration::ZERO);
        let an_hour = Duration::from_secs(3600);
        let good_until = (Duration::from_nanos(unix_now_ns()) + an_hour).as_secs();
        assert!(remaining(good_until) > Duration::from_secs(3500));
        let ended = until(Duration::ZERO, std::future::pending()).await.unwrap_err();
        assert_eq!(ended.code(), Code::Unauthenticated);
        assert!(ended.message().contains("open again with a new one"));
        assert!(until(an_hour, async { Ok(()) }).await.is_ok());
    }
}
