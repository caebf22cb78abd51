//! What all checks look at: the package's parts, decoded once.

use std::collections::{BTreeMap, BTreeSet};

use proto::entry::Leaf;
use proto::v1::Slot;
use tlog::{CompactRange, Hash, VerifiedCheckpoint};

use super::log;
use crate::material::{DisclosureRow, LeafRow, Status};
use crate::read::{Opened, Package, Part};
use crate::report::{Checked, Stop, fail_at};
use crate::trust::Trust;

/// A leaf that keeps the rules of the format.
pub(super) struct Decoded {
    pub(super) index: u64,
    pub(super) hash: Hash,
    pub(super) leaf: Leaf,
}

/// The package on the table.
pub(super) struct Case<'a> {
    pub(super) package: &'a Package,
    pub(super) trust: &'a Trust,
    pub(super) opened: &'a Opened,
    /// Leaves of the range.
    pub(super) population: Part<Vec<Decoded>>,
    /// Leaves from outside.
    pub(super) context: Part<Vec<Decoded>>,
    /// The checkpoint, once a trusted log's signature was found on it.
    pub(super) checkpoint: Part<VerifiedCheckpoint>,
    /// That the leaves of the range are the checkpoint's, all of them.
    pub(super) range: Checked,
}

impl<'a> Case<'a> {
    pub(super) fn new(package: &'a Package, trust: &'a Trust, opened: &'a Opened) -> Self {
        let rows = opened.leaves.as_ref().map_err(Clone::clone);
        let context = opened.context.as_ref().map_err(Clone::clone);
        let checkpoint = log::open(trust, opened);
        Self {
            package,
            trust,
            opened,
            population: rows.and_then(|rows| decode(rows.iter())),
            context: context.and_then(|rows| decode(rows.iter().map(|context| &context.row))),
            range: log::prove_range(opened, &checkpoint),
            checkpoint,
        }
    }

    /// All decoded leaves by index: those of the range, and those from outside.
    pub(super) fn all_leaves(&self) -> Result<BTreeMap<u64, &Decoded>, Stop> {
        let population = need(&self.population, "the leaves")?;
        let context = need(&self.context, "the context leaves")?;
        Ok(population.iter().chain(context).map(|decoded| (decoded.index, decoded)).collect())
    }

    /// All disclosure rows by leaf and slot.
    pub(super) fn all_disclosures(&self) -> Result<Disclosures<'_>, Stop> {
        let population = need(&self.opened.disclosures, "the disclosures")?;
        let context = need(&self.opened.context_disclosures, "the context disclosures")?;
        let rows = population.iter().chain(context);
        Ok(Disclosures(rows.map(|row| ((row.index, row.slot), row)).collect()))
    }

    /// Roots of the log at the given sizes, where checkpoint and proved leaves determine them.
    pub(super) fn roots_at(&self, mut sizes: BTreeSet<u64>) -> Result<BTreeMap<u64, Hash>, Stop> {
        let verified = need(&self.checkpoint, "the checkpoint")?;
        let head = BTreeMap::from([(verified.checkpoint.size.0, verified.checkpoint.root)]);
        // Of other leaves than the log's, no root says anything of the log.
        if self.range.is_err() {
            return Ok(head);
        }
        let proof = need(&self.opened.proof, "the range proof")?;
        let population = need(&self.population, "the leaves")?;
        let mut tree = CompactRange::from_hashes(0, proof.start, proof.left.clone())
            .map_err(|error| fail_at("range.malformed", crate::layout::RANGE_PROOF, error))?;
        let mut roots = head;
        let mut note = |tree: &CompactRange| {
            if let (true, Some(root)) = (sizes.remove(&tree.end()), tree.root()) {
                roots.insert(tree.end(), root);
            }
        };
        note(&tree);
        for decoded in population {
            tree.append(decoded.hash);
            note(&tree);
        }
        Ok(roots)
    }
}

/// Disclosure rows by leaf and slot.
pub(super) struct Disclosures<'a>(BTreeMap<(u64, Slot), &'a DisclosureRow>);

impl<'a> Disclosures<'a> {
    pub(super) fn row(&self, index: u64, slot: Slot) -> Option<&'a DisclosureRow> {
        self.0.get(&(index, slot)).copied()
    }

    pub(super) fn content(&self, index: u64, slot: Slot) -> Option<&'a bytes::Bytes> {
        self.row(index, slot).and_then(DisclosureRow::content)
    }

    /// What became of it; a row that is not there counts as withheld (its absence fails elsewhere).
    pub(super) fn status(&self, index: u64, slot: Slot) -> Status {
        self.row(index, slot).map_or(Status::Withheld, |row| row.status)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'a DisclosureRow> {
        self.0.values().copied()
    }
}

/// The part, or why a check that needs it cannot be made.
pub(super) fn need<'p, T>(part: &'p Part<T>, what: &str) -> Result<&'p T, Stop> {
    part.as_ref().map_err(|stop| {
        Stop::NotChecked(match stop {
            Stop::Fail(failure) => format!("{what} cannot be used: see [{}]", failure.code),
            Stop::NotChecked(reason) => format!("{what} cannot be used: {reason}"),
        })
    })
}

fn decode<'r>(rows: impl Iterator<Item = &'r LeafRow>) -> Part<Vec<Decoded>> {
    rows.map(|row| {
        let leaf = proto::decode_entry(&row.bytes).map_err(|error| {
            fail_at("leaves.not_canonical", format!("leaf {}", row.index), error)
        })?;
        Ok(Decoded { index: row.index, hash: tlog::leaf_hash(&row.bytes), leaf })
    })
    .collect()
}
