//! A follower's stream: entries in order from any index, then live, each run closed by its checkpoint.
//!
//! Only what a published checkpoint covers is sent, so a follower can verify everything it was given. A slow
//! follower holds nothing but its own small buffer.

use std::sync::Arc;

use identity::{BearerToken, Principal};
use proto::Role;
use proto::v1::subscribe_response::Item;
use proto::v1::{Entries, Slot, SubscribeRequest, SubscribeResponse, SubscribedEntry};
use tlog::LeafIndex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::{Doors, Reply, status};
use crate::sequencer::Stopped;
use crate::store::StoreError;

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
    let role = reader_role(&doors, request.metadata()).await?;
    let from = request.into_inner().from_index;
    let size = doors.published.borrow().checkpoint.size.0;
    if from > size {
        let message = format!("index {from} lies beyond the published tree of {size} entries");
        return Err(status::status(Code::OutOfRange, "index_beyond_tree", message));
    }
    let (sender, receiver) = mpsc::channel(MAX_BUFFERED);
    tokio::spawn(async move {
        if let Err(status) = stream(doors, role, from, &sender).await {
            sender.send(Err(status)).await.unwrap_or_default();
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// The strongest role of the caller that may read entries.
pub(super) async fn reader_role(doors: &Doors, metadata: &MetadataMap) -> Result<Role, Status> {
    let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
    authorize(doors, header).await
}

/// The strongest role that a bearer token gives over entries.
pub(super) async fn authorize(doors: &Doors, header: Option<&str>) -> Result<Role, Status> {
    let refused = |error: identity::AuthError| {
        let kind = if error.is_retryable() { Code::Unavailable } else { Code::Unauthenticated };
        status::status(kind, error.code(), error.to_string())
    };
    let token = BearerToken::from_header(header).map_err(refused)?;
    let principal =
        doors.readers.authenticate(token.as_str(), &doors.audience).await.map_err(refused)?;
    strongest(&principal).ok_or_else(|| {
        let message = "reading entries needs the role admin, auditor, compliance, siem or follower";
        status::status(Code::PermissionDenied, "role_missing", message)
    })
}

fn strongest(principal: &Principal) -> Option<Role> {
    [Role::Follower, Role::Admin, Role::Auditor, Role::Compliance, Role::Siem]
        .into_iter()
        .find(|role| principal.roles.contains(role.as_str()))
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
