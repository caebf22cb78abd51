//! Access to evidence is itself evidence: an export is recorded before it is handed out.

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use proto::Role;
use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{EvidenceAccessed, MediaType, Slot};
use recorder::{Draft, Recorder};

/// What is recorded of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The role it was made for.
    pub role: Role,
    /// Leaves of its checkpoint.
    pub checkpoint_size: u64,
    /// Its leaves.
    pub leaves: Range<u64>,
    /// SHA-256 of its tag manifest.
    pub digest: [u8; 32],
    /// Its parameters, JSON.
    pub query: Bytes,
}

/// The export could not be recorded, so it is not handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the export could not be recorded, so it was not released: {reason}")]
pub struct Unrecorded {
    /// Why.
    pub reason: String,
    /// May the same call succeed later?
    pub is_retryable: bool,
}

/// Records exports; returns when the record is durable.
pub trait Journal: Sync {
    /// Records one.
    fn record(&self, release: &Release) -> impl Future<Output = Result<(), Unrecorded>> + Send;
}

/// Records exports of one requester by a recorder.
#[derive(Debug)]
pub(crate) struct RequesterJournal<'a> {
    pub(crate) recorder: &'a Recorder,
    /// The requester, JSON.
    pub(crate) principal: Bytes,
}

impl Journal for RequesterJournal<'_> {
    async fn record(&self, release: &Release) -> Result<(), Unrecorded> {
        let kind = Kind::EvidenceAccessed(EvidenceAccessed {
            door: Door::Export.into(),
            result: Outcome::Allowed.into(),
            role: release.role.as_str().to_owned(),
            checkpoint_size: release.checkpoint_size,
            first_index: release.leaves.start,
            end_index: release.leaves.end,
            output_digest: Bytes::copy_from_slice(&release.digest),
        });
        let draft = Draft::new(kind)
            .disclose(Slot::Principal, MediaType::Json, self.principal.clone())
            .disclose(Slot::Query, MediaType::Json, release.query.clone());
        let recorded = self.recorder.record(draft).await;
        recorded.map(|_receipt| ()).map_err(|error| Unrecorded {
            reason: error.to_string(),
            is_retryable: error.is_retryable(),
        })
    }
}
