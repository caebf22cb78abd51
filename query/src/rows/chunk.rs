//! Recent rows, in memory.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use proto::v1::Opening;

use super::RowError;
use super::columns::{self, Row, leaf_batch, leaf_schema};
use super::disclosures::{self, Disclosed, Slots};
use super::part::BATCH_ROWS;

/// Leaves `range`, all of them, and their disclosures. Never empty.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    start: u64,
    leaves: RecordBatch,
    disclosures: RecordBatch,
}

impl Chunk {
    /// # Errors
    /// When the rows do not follow each other, or there are none.
    pub(crate) fn new(rows: &[Row], openings: &[Vec<Opening>]) -> Result<Self, RowError> {
        let start = rows.first().map_or(0, |row| row.index);
        for (row, expected) in rows.iter().zip(start..) {
            if row.index != expected {
                return Err(RowError::Order {
                    previous: expected.saturating_sub(1),
                    found: row.index,
                });
            }
        }
        let disclosed: Vec<_> = rows
            .iter()
            .zip(openings)
            .flat_map(|(row, openings)| Disclosed::of(row, openings))
            .collect();
        let (leaves, disclosures) = (leaf_batch(rows)?, disclosures::batch(&disclosed)?);
        Ok(Self { start, leaves, disclosures })
    }

    /// One chunk of chunks that follow each other.
    pub(crate) fn join(chunks: &[impl AsRef<Self>]) -> Result<Self, RowError> {
        let chunks = || chunks.iter().map(<_ as AsRef<Self>>::as_ref);
        Ok(Self {
            start: chunks().next().map_or(0, |chunk| chunk.start),
            leaves: concat_batches(&leaf_schema(), chunks().map(|chunk| &chunk.leaves))?,
            disclosures: concat_batches(
                &disclosures::schema(),
                chunks().map(|chunk| &chunk.disclosures),
            )?,
        })
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.start..self.start + self.leaves.num_rows() as u64
    }

    pub(crate) fn all_leaves(&self) -> &RecordBatch {
        &self.leaves
    }

    pub(crate) fn all_disclosures(&self) -> &RecordBatch {
        &self.disclosures
    }

    /// `recorded_at` of the first and last row.
    pub(crate) fn times(&self) -> (i64, i64) {
        let times =
            self.leaves.column(columns::RECORDED_AT).as_primitive::<TimestampNanosecondType>();
        let last = times.len().saturating_sub(1);
        if times.is_empty() { (0, 0) } else { (times.value(0), times.value(last)) }
    }

    /// The leaf columns of `rows`, which must lie within the range.
    pub(crate) fn leaves(
        &self,
        wanted: &[usize],
        rows: Range<u64>,
    ) -> Result<Vec<RecordBatch>, RowError> {
        let projected = self.leaves.project(wanted)?;
        let (mut next, end) = (row(rows.start, self.start), row(rows.end, self.start));
        let mut batches = Vec::new();
        while next < end {
            let count = (end - next).min(BATCH_ROWS);
            batches.push(projected.slice(next, count));
            next += count;
        }
        Ok(batches)
    }

    /// The disclosures of `rows` in these slots, with or without their content.
    pub(crate) fn disclosures(
        &self,
        slots: Slots,
        rows: Range<u64>,
        columns: usize,
    ) -> Result<RecordBatch, RowError> {
        let indexes =
            self.disclosures.column(disclosures::LEAF_INDEX).as_primitive::<UInt64Type>().values();
        let (from, to) = (
            indexes.partition_point(|index| *index < rows.start),
            indexes.partition_point(|index| *index < rows.end),
        );
        let wanted = self
            .disclosures
            .project(&(0..columns).collect::<Vec<_>>())?
            .slice(from, to.saturating_sub(from));
        Ok(filter_record_batch(&wanted, &in_slots(wanted.column(disclosures::SLOT), slots))?)
    }

    /// This chunk without those disclosures.
    pub(crate) fn erase(&self, erased: &HashMap<u64, Slots>) -> Result<Self, RowError> {
        let disclosures = erase(&self.disclosures, erased)?;
        Ok(Self { disclosures, ..self.clone() })
    }

    /// Those of the leaves that are here, with the slots that go.
    pub(crate) fn find(&self, wanted: &Erased) -> HashMap<u64, Slots> {
        let hashes = self.leaves.column(*columns::LEAF_HASH).as_string::<i32>();
        find(wanted, self.start, hashes)
    }
}

impl AsRef<Self> for Chunk {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Leaves of which something is erased: index, and leaf hash as its column shows it.
pub(crate) type Erased = HashMap<u64, HashMap<String, Slots>>;

/// Those of the leaves from `start` on, of which `hashes` are the leaf hashes.
pub(crate) fn find(wanted: &Erased, start: u64, hashes: &StringArray) -> HashMap<u64, Slots> {
    let found =
        |(index, hash): (u64, Option<&str>)| Some((index, *wanted.get(&index)?.get(hash?)?));
    (start..).zip(hashes).filter_map(found).collect()
}

/// Which rows of a slot column are in `slots`.
pub(crate) fn in_slots(column: &dyn Array, slots: Slots) -> BooleanArray {
    let numbers = column.as_primitive::<arrow::datatypes::Int32Type>();
    numbers.values().iter().map(|slot| Some(slots.contains(*slot))).collect()
}

/// A batch of disclosures without the content of those that are erased, by leaf.
pub(crate) fn erase(
    batch: &RecordBatch,
    erased: &HashMap<u64, Slots>,
) -> Result<RecordBatch, RowError> {
    let mut rows: Vec<_> = disclosures::rows(batch).collect();
    for row in &mut rows {
        if erased.get(&row.leaf_index).is_some_and(|slots| slots.contains(row.slot)) {
            row.erase();
        }
    }
    disclosures::batch(&rows)
}

/// The position of a leaf in a run that begins at `start`; both are within memory.
fn row(index: u64, start: u64) -> usize {
    usize::try_from(index.saturating_sub(start)).unwrap_or(usize::MAX)
}
