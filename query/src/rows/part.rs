//! A run of rows, wherever it is kept.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;

use super::RowError;
use super::chunk::Chunk;
use super::columns;
use super::disclosures::{self, ALL_COLUMNS, Disclosed, PUBLIC_COLUMNS, Slots};
use super::segment::Segment;

/// Rows of a batch: with the largest leaves, 64 MiB.
pub(crate) const BATCH_ROWS: usize = 1024;

pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, RowError>> + Send>;

/// Consecutive leaves with their disclosures.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// In memory.
    Hot(Arc<Chunk>),
    /// On disk.
    Sealed(Arc<Segment>),
}

impl Part {
    pub(crate) fn range(&self) -> Range<u64> {
        match self {
            Self::Hot(chunk) => chunk.range(),
            Self::Sealed(segment) => segment.range(),
        }
    }

    /// `recorded_at` of the first and last leaf, as the column has it.
    pub(crate) fn times(&self) -> (i64, i64) {
        match self {
            Self::Hot(chunk) => chunk.times(),
            Self::Sealed(segment) => segment.times(),
        }
    }

    /// Leaf columns (positions in the leaf schema, ascending) of the leaves in `rows`, in order.
    pub(crate) fn leaves(&self, wanted: &[usize], rows: Range<u64>) -> Result<Batches, RowError> {
        match self {
            Self::Hot(chunk) => Ok(Box::new(chunk.leaves(wanted, rows)?.into_iter().map(Ok))),
            Self::Sealed(segment) => segment.leaves(wanted, rows),
        }
    }

    /// Disclosures of the leaves in `rows`, by leaf and slot, with salt and content.
    pub(crate) fn openings(&self, slots: Slots, rows: Range<u64>) -> Result<Disclosures, RowError> {
        self.disclosures(slots, rows, ALL_COLUMNS)
    }

    /// Disclosures of the leaves in `rows`, by leaf and slot, without salt and content.
    pub(crate) fn commitments(&self, rows: Range<u64>) -> Result<Disclosures, RowError> {
        self.disclosures(Slots::ALL, rows, PUBLIC_COLUMNS)
    }

    fn disclosures(
        &self,
        slots: Slots,
        rows: Range<u64>,
        columns: usize,
    ) -> Result<Disclosures, RowError> {
        let batches: Batches = if slots.is_empty() {
            Box::new(std::iter::empty())
        } else {
            match self {
                Self::Hot(chunk) => {
                    Box::new(std::iter::once(chunk.disclosures(slots, rows, columns)))
                }
                Self::Sealed(segment) => segment.disclosures(slots, rows, columns)?,
            }
        };
        Ok(Disclosures { batches, ahead: VecDeque::new() })
    }

    /// The first leaf recorded at or after a time.
    pub(crate) fn first_at_or_after(&self, time: i64) -> Result<Option<u64>, RowError> {
        let range = self.range();
        let mut first = range.start;
        for batch in self.leaves(&[columns::RECORDED_AT], range)? {
            let batch = batch?;
            let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
            let row = times.partition_point(|recorded_at| *recorded_at < time);
            first += row as u64;
            if row < times.len() {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

/// Disclosures in order, taken leaf by leaf.
pub(crate) struct Disclosures {
    batches: Batches,
    ahead: VecDeque<Disclosed>,
}

impl Disclosures {
    /// The next ones of leaves before `end`.
    pub(crate) fn before(&mut self, end: u64) -> Result<Vec<Disclosed>, RowError> {
        let mut taken = Vec::new();
        loop {
            while let Some(next) = self.ahead.pop_front() {
                if next.leaf_index >= end {
                    self.ahead.push_front(next);
                    return Ok(taken);
                }
                taken.push(next);
            }
            match self.batches.next() {
                Some(batch) => self.ahead.extend(disclosures::rows(&batch?)),
                None => return Ok(taken),
            }
        }
    }
}
