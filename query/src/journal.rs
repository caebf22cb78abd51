//! Access to evidence is itself evidence: what was asked, by whom, with what result.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proto::kind::Kind;
use proto::v1::{MediaType, Slot};
use recorder::{Draft, RecordError, Recorder};

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
    /// It may be in the log all the same, now or later.
    pub(crate) may_come: bool,
}

impl From<RecordError> for Unrecorded {
    fn from(error: RecordError) -> Self {
        Self { reason: error.to_string(), may_come: error.may_come() }
    }
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
            Recorder::record(self, draft).await?;
            Ok(())
        })
    }

    fn readiness(&self) -> Result<(), Unrecorded> {
        Ok(Recorder::readiness(self)?)
    }
}
