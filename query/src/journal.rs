//! Access to evidence is itself evidence: what was asked, by whom, with what result.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proto::kind::Kind;
use proto::v1::{MediaType, Slot};
use recorder::{Draft, Recorder};

/// An access that is about to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) kind: Kind,
    pub(crate) disclosures: Vec<(Slot, MediaType, Bytes)>,
}

/// The access could not be recorded, so it must not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the access could not be recorded: {reason}")]
pub(crate) struct Unrecorded {
    pub(crate) reason: String,
}

/// Where accesses are recorded.
pub(crate) trait Journal: Send + Sync {
    /// Returns when the access is durable.
    fn record(&self, access: Access) -> BoxFuture<'_, Result<(), Unrecorded>>;

    /// Why it would refuse now.
    fn readiness(&self) -> Result<(), Unrecorded>;
}

impl Journal for Recorder {
    fn record(&self, access: Access) -> BoxFuture<'_, Result<(), Unrecorded>> {
        let draft = access
            .disclosures
            .into_iter()
            .fold(Draft::new(access.kind), |draft, (slot, media_type, content)| {
                draft.disclose(slot, media_type, content)
            });
        Box::pin(async move {
            let recorded = Recorder::record(self, draft).await;
            recorded.map(|_| ()).map_err(|error| Unrecorded { reason: error.to_string() })
        })
    }

    fn readiness(&self) -> Result<(), Unrecorded> {
        Recorder::readiness(self).map_err(|error| Unrecorded { reason: error.to_string() })
    }
}
