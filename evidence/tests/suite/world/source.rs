//! The log as an export reads it, and a journal that keeps what would be recorded.

use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use evidence::{Journal, Release, Source, SourceError, Unrecorded};
use proto::Role;
use proto::v1::{Opening, Slot};
use tlog::{Checkpoint, Hash, LeafIndex, RangeProof, TlogProof, TreeSize};

use super::World;

impl tlog::NodeSource for World {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        self.nodes.get(&(level, index)).copied().ok_or_else(|| format!("no node {level} {index}"))
    }
}

impl Source for World {
    fn checkpoint(&self) -> (Checkpoint, String) {
        self.checkpoint_at(self.entries.len() as u64)
    }

    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Bytes>, SourceError> {
        Ok(self.entries[range.start as usize..range.end as usize].to_vec())
    }

    async fn openings(
        &self,
        role: Role,
        range: Range<u64>,
    ) -> Result<Vec<(u64, Opening)>, SourceError> {
        let all =
            range.flat_map(|index| self.openings[&index].iter().map(move |o| (index, o.clone())));
        Ok(all
            .filter(|(_, o)| Slot::try_from(o.slot).is_ok_and(|slot| role.may_see(slot)))
            .collect())
    }

    async fn first_at_or_after(&self, time: u64) -> Result<Option<u64>, SourceError> {
        Ok((0..self.entries.len() as u64).find(|index| self.recorded_at(*index) >= time))
    }

    fn range_proof(&self, range: Range<u64>) -> Result<RangeProof, SourceError> {
        let (checkpoint, note) = Source::checkpoint(self);
        Ok(RangeProof::prove(range.start, range.end, checkpoint.size, note, self).unwrap())
    }

    fn inclusion_proof(&self, index: u64) -> Result<TlogProof, SourceError> {
        let (checkpoint, note) = Source::checkpoint(self);
        let index = LeafIndex(index);
        let hashes = tlog::prove_inclusion(index, checkpoint.size, self).unwrap();
        Ok(TlogProof { extra: None, index, hashes, checkpoint: note })
    }

    fn consistency_proof(&self, old: TreeSize) -> Result<Vec<Hash>, SourceError> {
        Ok(tlog::prove_consistency(old, TreeSize(self.entries.len() as u64), self).unwrap())
    }

    fn older_checkpoints(&self) -> Vec<(Checkpoint, String)> {
        vec![self.checkpoint_at(3)]
    }
}

/// Keeps what would be recorded.
#[derive(Default)]
pub(crate) struct Notebook {
    pub(crate) releases: Mutex<Vec<Release>>,
    pub(crate) broken: bool,
}

impl Journal for Notebook {
    async fn record(&self, release: &Release) -> Result<(), Unrecorded> {
        if self.broken {
            return Err(Unrecorded { reason: "the ledger is away".into(), is_retryable: true });
        }
        self.releases.lock().unwrap().push(release.clone());
        Ok(())
    }
}
