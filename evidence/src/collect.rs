//! Collects the material of a package from a verified log.

mod around;
mod disclosed;
mod later;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use proto::Role;
use proto::entry::Leaf;
use proto::ids::Id;
use proto::kind::Kind;
use proto::v1::Opening;
use tlog::{Checkpoint, Hash, leaf_hash, verify_consistency};
use verifier::{ContextLeaf, EarlierCheckpoint, LeafRow, Material, Parameters};

use around::around;
use disclosed::{erasures, rows};

use crate::criteria::SOC2;
use crate::source::{Source, SourceError};

/// Leaves read at a time: at most 64 MiB.
const CHUNK: u64 = 1024;
/// Most bytes of leaves in the range and of what is disclosed of them; a package is made and read in memory.
const MAX_POPULATION_BYTES: usize = 1 << 30;
/// The same of leaves from outside the range. It is apart, and callers can fill only a part of it (`later`): what
/// happens after a period does not make it too large.
const MAX_CONTEXT_BYTES: usize = 512 << 20;

/// Why material cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The log could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A leaf that the follower accepted is not one.
    #[error("leaf {index} cannot be read: {source}")]
    Leaf {
        /// Which.
        index: u64,
        /// What is wrong.
        source: proto::EntryError,
    },
    /// This node does not hold a disclosure that the role may see, and it was not erased.
    #[error(
        "the disclosure {slot} of leaf {index} is not on this node, and no erasure under this checkpoint explains it. If it \
         was erased just now, export again; else the node follows the log in a role that may not see it, or the ledger \
         cannot open it: its log names the leaf then, and docs/ledger.md (When fsck says FAIL) says how an export gets past it"
    )]
    Undisclosed {
        /// Which leaf.
        index: u64,
        /// Which slot.
        slot: &'static str,
    },
    /// Too much for one package.
    #[error(
        "{what} come to more than {limit_bytes} bytes of evidence: export the period in shorter ones"
    )]
    TooLarge {
        /// Leaves from where.
        what: &'static str,
        /// Bytes that are accepted.
        limit_bytes: usize,
    },
}

/// Collects everything that a package of `range` is a function of. `kept` are older checkpoints that the requester knows,
/// `parameters` are completed here.
///
/// # Errors
/// [`CollectError`].
pub(crate) async fn collect(
    source: &impl Source,
    role: Role,
    range: Range<u64>,
    kept: Vec<(Checkpoint, String)>,
    mut parameters: Parameters,
) -> Result<Material, CollectError> {
    let (population, openings) = read_population(source, role, range.clone()).await?;
    let (context, custody_omitted) = around(source, role, &population, &range).await?;
    parameters.custody_omitted = custody_omitted;
    let erased = erasures(population.iter().chain(&context));

    let disclosures = rows(&population, openings, role, &erased)?;
    let mut left = Budget::of(CONTEXT, MAX_CONTEXT_BYTES);
    let mut context_openings = Vec::new();
    for (index, read) in &context {
        left.take(read.bytes.len())?;
        let openings = source.openings(role, *index..index + 1).await?;
        left.take_openings(&openings)?;
        context_openings.extend(openings);
    }
    let context_disclosures = rows(&context, context_openings, role, &erased)?;
    Ok(Material {
        leaves: population.into_iter().map(|(index, read)| read.row(index)).collect(),
        disclosures,
        context: context
            .into_iter()
            .map(|(index, read)| {
                Ok(ContextLeaf { row: read.row(index), proof: source.inclusion_proof(index)? })
            })
            .collect::<Result<_, SourceError>>()?,
        context_disclosures,
        proof: source.range_proof(range.clone())?,
        earlier: earlier(source, &range, kept)?,
        mapping: SOC2.to_owned(),
        parameters,
    })
}

const POPULATION: &str = "the leaves of the period";
const CONTEXT: &str = "the leaves from outside the period that its checks need";

/// What may still be read.
struct Budget {
    what: &'static str,
    limit_bytes: usize,
    left_bytes: usize,
}

impl Budget {
    fn of(what: &'static str, limit_bytes: usize) -> Self {
        Self { what, limit_bytes, left_bytes: limit_bytes }
    }

    fn take(&mut self, bytes: usize) -> Result<(), CollectError> {
        let Self { what, limit_bytes, .. } = *self;
        let left = self.left_bytes.checked_sub(bytes);
        self.left_bytes = left.ok_or(CollectError::TooLarge { what, limit_bytes })?;
        Ok(())
    }

    fn take_openings(&mut self, openings: &[(u64, Opening)]) -> Result<(), CollectError> {
        openings.iter().try_for_each(|(_, opening)| self.take(opening.content.len()))
    }
}

/// A leaf as it was read.
#[derive(Clone)]
struct Read {
    bytes: Bytes,
    leaf: Leaf,
}

impl Read {
    fn decode(index: u64, bytes: Bytes) -> Result<Self, CollectError> {
        let leaf =
            proto::decode_entry(&bytes).map_err(|source| CollectError::Leaf { index, source })?;
        Ok(Self { bytes, leaf })
    }

    fn row(self, index: u64) -> LeafRow {
        LeafRow { index, bytes: self.bytes }
    }

    fn kind(&self) -> Option<&Kind> {
        self.leaf.event.kind.as_ref()
    }

    fn hash(&self) -> Hash {
        leaf_hash(&self.bytes)
    }

    fn epoch(&self) -> Option<(EpochKey, u64)> {
        let recorder = self.leaf.event.recorder.as_ref()?;
        let key = (recorder.recorder_id.clone(), Id::from_slice(&recorder.epoch)?);
        Some((key, recorder.sequence))
    }
}

type EpochKey = (String, Id);
type Leaves = BTreeMap<u64, Read>;

async fn read_population(
    source: &impl Source,
    role: Role,
    range: Range<u64>,
) -> Result<(Leaves, Vec<(u64, Opening)>), CollectError> {
    let (mut leaves, mut openings) = (Leaves::new(), Vec::new());
    let mut left = Budget::of(POPULATION, MAX_POPULATION_BYTES);
    for chunk in chunks(range) {
        for (index, bytes) in chunk.clone().zip(source.leaves(chunk.clone()).await?) {
            left.take(bytes.len())?;
            leaves.insert(index, Read::decode(index, bytes)?);
        }
        // Fewer at a time: a disclosure has up to 16 MiB.
        for part in (chunk.start..chunk.end).step_by(16) {
            let read = source.openings(role, part..chunk.end.min(part + 16)).await?;
            left.take_openings(&read)?;
            openings.extend(read);
        }
    }
    Ok((leaves, openings))
}

/// Older checkpoints, by size: cosigned ones around the range, which bind the operator's clock; those that earlier
/// packages were proved against, and those that the requester kept, which show that the log only grew.
fn earlier(
    source: &impl Source,
    range: &Range<u64>,
    kept: Vec<(Checkpoint, String)>,
) -> Result<Vec<EarlierCheckpoint>, SourceError> {
    let newest = source.checkpoint().0;
    let mut earlier = BTreeMap::new();
    let wanted = cosigned_around(source, range).into_iter().chain(source.exported_checkpoints());
    for (checkpoint, note) in wanted.chain(kept) {
        let size = checkpoint.size;
        if size.0 == 0 || size >= newest.size || earlier.contains_key(&size.0) {
            continue;
        }
        let consistency = source.consistency_proof(size)?;
        let verified =
            verify_consistency(size, newest.size, &checkpoint.root, &newest.root, &consistency);
        verified.map_err(|error| {
            SourceError(format!("the kept checkpoint of {size} leaves is not of this log: {error}"))
        })?;
        earlier.insert(size.0, EarlierCheckpoint { size: size.0, note, consistency });
    }
    Ok(earlier.into_values().collect())
}

/// The cosigned checkpoints nearest to the range on both sides.
fn cosigned_around(source: &impl Source, range: &Range<u64>) -> Vec<(Checkpoint, String)> {
    let newest = source.checkpoint().0.size;
    let mut cosigned = source.older_checkpoints();
    cosigned.retain(|(checkpoint, note)| {
        // The log may sign with two keys of its name.
        let is_cosigned = |note: tlog::Note| {
            note.signatures().iter().any(|signature| signature.name != checkpoint.origin)
        };
        checkpoint.size < newest
            && checkpoint.size.0 > 0
            && tlog::Note::parse(note).is_ok_and(is_cosigned)
    });
    let before = cosigned.iter().rfind(|(checkpoint, _)| checkpoint.size.0 <= range.start + 1);
    let after = cosigned.iter().find(|(checkpoint, _)| checkpoint.size.0 >= range.end);
    before.into_iter().chain(after).cloned().collect()
}

fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end).step_by(CHUNK as usize).map(move |start| start..end.min(start + CHUNK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_counted_to_the_byte() {
        let opening = |len| Opening { content: vec![0; len].into(), ..Opening::default() };
        let mut left = Budget::of(CONTEXT, 10);
        left.take(3).unwrap();
        left.take_openings(&[(0, opening(3)), (0, opening(4))]).unwrap();
        let error = left.take_openings(&[(1, opening(1))]).unwrap_err();
        assert!(error.to_string().contains("outside the period"), "{error}");
    }
}
