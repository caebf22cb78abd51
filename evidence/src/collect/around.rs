//! Leaves outside the range without which its own cannot be judged: snapshots, starts and tails of chains, erasures, holds,
//! later accesses.

use std::collections::BTreeSet;
use std::ops::Range;

use proto::Role;
use proto::kind::{Kind, call_of};

use super::later::{Custody, Tails};
use super::{CHUNK, CollectError, EpochKey, Leaves, Read, chunks};
use crate::source::Source;

/// What stands around the range of a population, and how many later accesses were left out for their number or size.
pub(super) async fn around(
    source: &impl Source,
    role: Role,
    population: &Leaves,
    range: &Range<u64>,
) -> Result<(Leaves, u64), CollectError> {
    let mut wanted = Wanted::of(population);
    let mut context = Leaves::new();
    backwards(source, range.start, &mut wanted, &mut context).await?;
    let tails = Tails::of(wanted.tails);
    let omitted = forwards(source, role, range.end, tails, &mut context).await?;
    keep_needed_erasures(population, &mut context);
    Ok((context, omitted))
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
    /// Epochs that go on after the range.
    tails: BTreeSet<EpochKey>,
}

impl Wanted {
    fn of(population: &Leaves) -> Self {
        let mut snapshots = BTreeSet::new();
        let mut activated = BTreeSet::new();
        let (mut starts, mut tails) = (BTreeSet::new(), BTreeSet::new());
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
                _ => tails.insert(key),
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
                    | Kind::DisclosureErased(_)
                    | Kind::LogContinued(_),
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

/// Looks for what must stand after the range. Returns how many accesses were left out.
async fn forwards(
    source: &impl Source,
    role: Role,
    end: u64,
    mut tails: Tails,
    context: &mut Leaves,
) -> Result<u64, CollectError> {
    let size = source.checkpoint().0.size.0;
    let mut custody = Custody::default();
    for chunk in chunks(end..size) {
        for (index, bytes) in chunk.clone().zip(source.leaves(chunk).await?) {
            let read = Read::decode(index, bytes)?;
            tails.add(index, &read, role);
            match read.kind() {
                Some(Kind::EvidenceAccessed(_)) => custody.add(index, read, role),
                Some(Kind::DisclosureErased(_) | Kind::HoldPlaced(_) | Kind::HoldReleased(_)) => {
                    context.insert(index, read);
                }
                _ => {}
            }
        }
    }
    tails.put(context);
    Ok(custody.put(context, end))
}

/// Of the erasures found, only those that concern a leaf of the package.
fn keep_needed_erasures(population: &Leaves, context: &mut Leaves) {
    let is_here: BTreeSet<u64> = population.keys().chain(context.keys()).copied().collect();
    context.retain(|_, read| match read.kind() {
        Some(Kind::DisclosureErased(erasure)) => is_here.contains(&erasure.leaf_index),
        _ => true,
    });
}
