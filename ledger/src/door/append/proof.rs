//! Proof for a watching recorder that its event stands in a published checkpoint.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::{Watch, Watched};
use tlog::{LeafIndex, TreeSize, prove_consistency, prove_inclusion};
use tonic::{Code, Status};

use super::{Doors, status};
use crate::sequencer::Stopped;

/// How long a proof waits for the checkpoint that covers its leaf.
const WATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for a checkpoint that covers the leaf, and proves that it does.
///
/// A recorder that knows a larger tree than was published here is told at once: waiting would bring it nothing.
pub(super) async fn prove(doors: &Doors, watch: &Watch) -> Result<Watched, Status> {
    let mut published = doors.published.clone();
    let here = published.borrow().checkpoint.size;
    if watch.known_size > here.0 {
        let message = format!(
            "you have verified a checkpoint of {} entries, this ledger has published {here}: it was brought back from an \
             older copy; bring back the newest",
            watch.known_size
        );
        return Err(status::status(Code::FailedPrecondition, "ledger_lost_events", message));
    }
    let covers = tokio::time::timeout(
        WATCH_TIMEOUT,
        published.wait_for(|published| published.checkpoint.size.0 > watch.leaf_index),
    );
    let published = match covers.await {
        Ok(Ok(published)) => Arc::clone(&published),
        Ok(Err(_)) => return Err(status::stopped(Stopped)),
        Err(_) => {
            let message = format!("no checkpoint covers leaf {} yet", watch.leaf_index);
            return Err(status::status(Code::DeadlineExceeded, "not_published", message));
        }
    };
    let size = published.checkpoint.size;
    let tree = doors.tree.nodes();
    let failed = |error: &dyn std::fmt::Display| {
        let leaf = watch.leaf_index;
        tracing::error!(%error, leaf, %size, "a proof could not be made");
        let message = format!(
            "the ledger could not read its store to prove leaf {leaf} in the tree of {size} entries; its log says why, \
             and `exhibit fsck` on the stopped ledger finds what is damaged"
        );
        status::status(Code::Internal, "store_failed", message)
    };
    let inclusion = prove_inclusion(LeafIndex(watch.leaf_index), size, &tree)
        .map_err(|error| failed(&error))?;
    // Against no known checkpoint (size 0) there is nothing to prove: the proof is empty.
    let consistency = prove_consistency(TreeSize(watch.known_size), size, &tree)
        .map_err(|error| failed(&error))?;
    let bytes = |hashes: Vec<tlog::Hash>| hashes.iter().map(|h| h.0.to_vec().into()).collect();
    Ok(Watched {
        leaf_index: watch.leaf_index,
        checkpoint: published.note.to_string(),
        inclusion: bytes(inclusion),
        consistency: bytes(consistency),
    })
}
