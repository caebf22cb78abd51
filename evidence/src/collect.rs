//! Collects the material of a package from a verified log.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use proto::Role;
use proto::entry::Leaf;
use proto::ids::Id;
use proto::kind::{Kind, call_of};
use proto::v1::{MediaType, Opening, Slot};
use verifier::{
    ContextLeaf, DisclosureRow, EarlierCheckpoint, LeafRow, Material, Parameters, Status,
};

use crate::criteria::SOC2;
use crate::source::{Source, SourceError};

/// Leaves read at a time: at most 64 MiB.
const CHUNK: u64 = 1024;
/// Most leaves of a chain that are carried to show that a seal after the range covers its end.
const MAX_CHAIN_TAIL: usize = 1000;
/// Most later accesses to the evidence that are carried, newest first.
const MAX_CUSTODY: usize = 2000;
/// Largest material, in bytes; a package is made and read in memory.
const MAX_MATERIAL_BYTES: usize = 1 << 30;

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
        "the disclosure {slot} of leaf {index} is not on this node, and no erasure explains it: let the node follow \
         the log in a role that may see everything"
    )]
    Undisclosed {
        /// Which leaf.
        index: u64,
        /// Which slot.
        slot: &'static str,
    },
    /// Too much for one package.
    #[error(
        "the period has more than {MAX_MATERIAL_BYTES} bytes of evidence: export it in shorter periods"
    )]
    TooLarge,
}

/// Collects everything that a package of `range` is a function of. `parameters` are completed here.
///
/// # Errors
/// [`CollectError`].
pub(crate) async fn collect(
    source: &impl Source,
    role: Role,
    range: Range<u64>,
    mut parameters: Parameters,
) -> Result<Material, CollectError> {
    let (population, openings) = read_population(source, role, range.clone()).await?;
    let mut wanted = Wanted::of(&population);
    let mut context = BTreeMap::new();
    backwards(source, range.start, &mut wanted, &mut context).await?;
    parameters.custody_omitted = forwards(source, range.end, &mut wanted, &mut context).await?;
    keep_needed_erasures(&population, &mut context);
    let erased = erasures(population.values().chain(context.values()));

    let disclosures = rows(&population, openings, role, &erased)?;
    let mut context_openings = Vec::new();
    for index in context.keys() {
        context_openings.extend(source.openings(role, *index..index + 1).await?);
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
        earlier: earlier(source, &range)?,
        mapping: SOC2.to_owned(),
        parameters,
    })
}

/// A leaf as it was read.
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
    let mut size_bytes = 0;
    for chunk in chunks(range) {
        for (index, bytes) in chunk.clone().zip(source.leaves(chunk.clone()).await?) {
            size_bytes += bytes.len();
            leaves.insert(index, Read::decode(index, bytes)?);
        }
        // Fewer at a time: a disclosure has up to 16 MiB.
        for part in (chunk.start..chunk.end).step_by(16) {
            let read = source.openings(role, part..chunk.end.min(part + 16)).await?;
            size_bytes += read.iter().map(|(_, opening)| opening.content.len()).sum::<usize>();
            if size_bytes > MAX_MATERIAL_BYTES {
                return Err(CollectError::TooLarge);
            }
            openings.extend(read);
        }
    }
    Ok((leaves, openings))
}

/// What is looked for outside the range.
struct Wanted {
    /// Snapshots that decided in the range but were activated before it, or were active at its start.
    snapshots: BTreeSet<Vec<u8>>,
    active_snapshot: bool,
    /// Registrations before the range.
    mark: bool,
    /// Starts of epochs that the range cuts.
    starts: BTreeSet<EpochKey>,
    /// Epochs that go on after the range: leaves of the tail until a seal is found.
    tails: BTreeMap<EpochKey, Vec<u64>>,
}

impl Wanted {
    fn of(population: &Leaves) -> Self {
        let mut snapshots = BTreeSet::new();
        let mut activated = BTreeSet::new();
        let (mut starts, mut tails) = (BTreeSet::new(), BTreeMap::new());
        let mut seen = BTreeSet::new();
        for read in population.values() {
            match read.kind() {
                Some(Kind::PolicyActivated(policy)) => {
                    activated.insert(policy.snapshot_digest.to_vec());
                }
                Some(kind) => {
                    let digest = call_of(kind).map(|call| call.snapshot_digest.to_vec());
                    snapshots.extend(
                        digest.filter(|digest| !digest.is_empty() && !activated.contains(digest)),
                    );
                }
                None => {}
            }
            let Some((key, sequence)) = read.epoch() else { continue };
            if seen.insert(key.clone()) && sequence > 0 {
                starts.insert(key.clone());
            }
            match read.kind() {
                // Sealed or ended: nothing more is needed, unless the epoch goes on in the range.
                Some(Kind::RecorderSeal(_) | Kind::RecorderStopped(_)) => tails.remove(&key),
                _ => tails.insert(key, Vec::new()),
            };
        }
        Self { snapshots, active_snapshot: true, mark: true, starts, tails }
    }

    fn nothing_before(&self) -> bool {
        self.snapshots.is_empty() && !self.active_snapshot && !self.mark && self.starts.is_empty()
    }
}

/// Looks for what must stand before the range, nearest first.
async fn backwards(
    source: &impl Source,
    start: u64,
    wanted: &mut Wanted,
    context: &mut Leaves,
) -> Result<(), CollectError> {
    let mut end = start;
    while end > 0 && !wanted.nothing_before() {
        let chunk = end.saturating_sub(CHUNK)..end;
        let leaves = source.leaves(chunk.clone()).await?;
        for (at, bytes) in leaves.into_iter().enumerate().rev() {
            let index = chunk.start + at as u64;
            if wanted.nothing_before() {
                break;
            }
            let read = Read::decode(index, bytes)?;
            let keep = match read.kind() {
                Some(Kind::PolicyActivated(policy)) => {
                    let decided = wanted.snapshots.remove(&policy.snapshot_digest[..]);
                    std::mem::take(&mut wanted.active_snapshot) || decided
                }
                Some(Kind::LogMark(_)) => std::mem::take(&mut wanted.mark),
                Some(Kind::RecorderStarted(_)) => {
                    read.epoch().is_some_and(|(key, _)| wanted.starts.remove(&key))
                }
                Some(
                    Kind::KeyIntroduced(_)
                    | Kind::KeyRetired(_)
                    | Kind::HoldPlaced(_)
                    | Kind::HoldReleased(_)
                    | Kind::DisclosureErased(_),
                ) => true,
                _ => false,
            };
            if keep {
                context.insert(index, read);
            }
        }
        end = chunk.start;
    }
    Ok(())
}

/// Looks for what must stand after the range. Returns how many accesses were left out for their number.
async fn forwards(
    source: &impl Source,
    end: u64,
    wanted: &mut Wanted,
    context: &mut Leaves,
) -> Result<u64, CollectError> {
    let size = source.checkpoint().0.size.0;
    let mut accesses: std::collections::VecDeque<(u64, Read)> = std::collections::VecDeque::new();
    let mut omitted = 0;
    let mut tail_leaves: Leaves = Leaves::new();
    for chunk in chunks(end..size) {
        for (index, bytes) in chunk.clone().zip(source.leaves(chunk).await?) {
            let read = Read::decode(index, bytes)?;
            let sealed = matches!(read.kind(), Some(Kind::RecorderSeal(_)));
            if let Some((key, _)) = read.epoch()
                && let Some(tail) = wanted.tails.get_mut(&key)
            {
                tail.push(index);
                let tail = tail.clone();
                if tail.len() > MAX_CHAIN_TAIL {
                    tail_leaves.retain(|index, _| !tail.contains(index));
                    wanted.tails.remove(&key);
                } else {
                    tail_leaves
                        .insert(index, Read { bytes: read.bytes.clone(), leaf: read.leaf.clone() });
                    if sealed {
                        wanted.tails.remove(&key);
                    }
                }
            }
            match read.kind() {
                Some(Kind::EvidenceAccessed(_)) => {
                    accesses.push_back((index, read));
                    if accesses.len() > MAX_CUSTODY {
                        accesses.pop_front();
                        omitted += 1;
                    }
                }
                Some(Kind::DisclosureErased(_) | Kind::HoldPlaced(_) | Kind::HoldReleased(_)) => {
                    context.insert(index, read);
                }
                _ => {}
            }
        }
    }
    context.extend(tail_leaves);
    context.extend(accesses);
    Ok(omitted)
}

/// Of the erasures found, only those that concern a leaf of the package.
fn keep_needed_erasures(population: &Leaves, context: &mut Leaves) {
    let ids: BTreeSet<Bytes> = population
        .values()
        .chain(context.values())
        .map(|read| read.leaf.event.event_id.clone())
        .collect();
    context.retain(|_, read| match read.kind() {
        Some(Kind::DisclosureErased(erasure)) => ids.contains(&erasure.event_id),
        _ => true,
    });
}

fn erasures<'r>(leaves: impl Iterator<Item = &'r Read>) -> BTreeSet<(Bytes, i32)> {
    leaves
        .filter_map(|read| match read.kind() {
            Some(Kind::DisclosureErased(erasure)) => Some(erasure),
            _ => None,
        })
        .flat_map(|erasure| erasure.slots.iter().map(|slot| (erasure.event_id.clone(), *slot)))
        .collect()
}

/// One row per commitment.
fn rows(
    leaves: &Leaves,
    openings: Vec<(u64, Opening)>,
    role: Role,
    erased: &BTreeSet<(Bytes, i32)>,
) -> Result<Vec<DisclosureRow>, CollectError> {
    let mut openings: BTreeMap<(u64, i32), Opening> =
        openings.into_iter().map(|(index, opening)| ((index, opening.slot), opening)).collect();
    let mut rows = Vec::new();
    for (index, read) in leaves {
        for commitment in &read.leaf.event.disclosures {
            // The canonical decoder refuses numbers that these enums do not have.
            let slot = Slot::try_from(commitment.slot).unwrap_or_default();
            let media_type = MediaType::try_from(commitment.media_type).unwrap_or_default();
            let is_erased = erased.contains(&(read.leaf.event.event_id.clone(), commitment.slot));
            let opening = openings.remove(&(*index, commitment.slot));
            let (status, opening) = match opening {
                _ if !role.may_see(slot) => (Status::Withheld, None),
                _ if is_erased => (Status::Erased, None),
                Some(opening) => {
                    let salt = opening.salt[..].try_into().map_err(|_| {
                        SourceError(format!("the salt of leaf {index} is not 32 bytes long"))
                    })?;
                    (Status::Disclosed, Some(verifier::Opening { salt, content: opening.content }))
                }
                None => {
                    let slot = proto::disclosure::slot_name(commitment.slot);
                    return Err(CollectError::Undisclosed { index: *index, slot });
                }
            };
            rows.push(DisclosureRow { index: *index, slot, media_type, status, opening });
        }
    }
    Ok(rows)
}

/// Cosigned checkpoints around the range: they bind the operator's clock.
fn earlier(
    source: &impl Source,
    range: &Range<u64>,
) -> Result<Vec<EarlierCheckpoint>, SourceError> {
    let newest = source.checkpoint().0.size;
    let mut cosigned = source.older_checkpoints();
    cosigned.retain(|(checkpoint, note)| {
        checkpoint.size < newest
            && checkpoint.size.0 > 0
            && tlog::Note::parse(note).is_ok_and(|note| note.signatures().len() > 1)
    });
    let before = cosigned.iter().rfind(|(checkpoint, _)| checkpoint.size.0 <= range.start + 1);
    let after = cosigned.iter().find(|(checkpoint, _)| checkpoint.size.0 >= range.end);
    let mut earlier = Vec::new();
    for (checkpoint, note) in before.into_iter().chain(after) {
        let consistency = source.consistency_proof(checkpoint.size)?;
        let size = checkpoint.size.0;
        if earlier.iter().all(|known: &EarlierCheckpoint| known.size != size) {
            earlier.push(EarlierCheckpoint { size, note: note.clone(), consistency });
        }
    }
    Ok(earlier)
}

fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    (range.start..end).step_by(CHUNK as usize).map(move |start| start..end.min(start + CHUNK))
}
