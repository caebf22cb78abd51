//! Where evidence comes from.

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use proto::Role;
use proto::v1::Opening;
use tlog::{Checkpoint, Hash, RangeProof, TlogProof, TreeSize, VerifyingKey};

/// The log as verified up to one checkpoint. [`query::Archive`] is one.
pub trait Source: Sync {
    /// The checkpoint and its signed note.
    fn checkpoint(&self) -> (Checkpoint, String);

    /// Exact bytes of the leaves in a range under the checkpoint, in order.
    fn leaves(
        &self,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Vec<Bytes>, SourceError>> + Send;

    /// Openings that a role may see, by leaf and slot; none of what was erased.
    fn openings(
        &self,
        role: Role,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Vec<(u64, Opening)>, SourceError>> + Send;

    /// The first leaf recorded at or after a time, Unix ns.
    fn first_at_or_after(
        &self,
        recorded_at_ns: u64,
    ) -> impl Future<Output = Result<Option<u64>, SourceError>> + Send;

    /// Proof that a range is complete.
    ///
    /// # Errors
    /// When the range is not under the checkpoint or the tree cannot be read.
    fn range_proof(&self, range: Range<u64>) -> Result<RangeProof, SourceError>;

    /// Proof that a leaf is in the tree.
    ///
    /// # Errors
    /// When the leaf is not under the checkpoint or the tree cannot be read.
    fn inclusion_proof(&self, index: u64) -> Result<TlogProof, SourceError>;

    /// Proof that an older tree is a prefix of the checkpoint's.
    ///
    /// # Errors
    /// When the older tree is not under the checkpoint or the tree cannot be read.
    fn consistency_proof(&self, old: TreeSize) -> Result<Vec<Hash>, SourceError>;

    /// Older verified checkpoints with their notes, ascending by size.
    fn older_checkpoints(&self) -> Vec<(Checkpoint, String)>;

    /// Checkpoints that earlier packages were proved against, as far as they are known, ascending by size: whoever has
    /// such a package can then tell that the log only grew.
    fn exported_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        Vec::new()
    }

    /// The key that signs the log's checkpoints; a source that names none cannot be asked for proofs from kept ones.
    fn log_key(&self) -> Option<VerifyingKey> {
        None
    }
}

/// The log could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the verified copy of the log cannot be read: {0}")]
pub struct SourceError(pub String);

impl SourceError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Source for query::Archive {
    fn checkpoint(&self) -> (Checkpoint, String) {
        let (checkpoint, note) = query::Archive::checkpoint(self);
        (checkpoint.clone(), note.to_owned())
    }

    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Bytes>, SourceError> {
        query::Archive::leaves(self, range).await.map_err(SourceError::of)
    }

    async fn openings(
        &self,
        role: Role,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Opening)>, SourceError> {
        self.disclosures_visible_to(role, range).await.map_err(SourceError::of)
    }

    async fn first_at_or_after(&self, recorded_at_ns: u64) -> Result<Option<u64>, SourceError> {
        query::Archive::first_at_or_after(self, recorded_at_ns).await.map_err(SourceError::of)
    }

    fn range_proof(&self, range: Range<u64>) -> Result<RangeProof, SourceError> {
        query::Archive::range_proof(self, range.start, range.end).map_err(SourceError::of)
    }

    fn inclusion_proof(&self, index: u64) -> Result<TlogProof, SourceError> {
        query::Archive::inclusion_proof(self, index).map_err(SourceError::of)
    }

    fn consistency_proof(&self, old: TreeSize) -> Result<Vec<Hash>, SourceError> {
        query::Archive::consistency_proof(self, old).map_err(SourceError::of)
    }

    fn older_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        query::Archive::older_checkpoints(self)
    }

    fn exported_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        query::Archive::exported_checkpoints(self)
    }

    fn log_key(&self) -> Option<VerifyingKey> {
        Some(query::Archive::log_key(self).clone())
    }
}
