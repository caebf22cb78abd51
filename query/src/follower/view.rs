//! What the doors see: the rows and nodes under one verified checkpoint.

use std::ops::Range;
use std::sync::Arc;

use tlog::{Checkpoint, VerifyingKey};

use super::marks::Mark;
use super::nodes::Nodes;
use crate::rows::{Part, RowError};

#[derive(Debug)]
pub(crate) struct View {
    /// The key that signed the checkpoint.
    pub(crate) log: VerifyingKey,
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint's signed note, verbatim.
    pub(crate) note: Arc<str>,
    /// All rows under the checkpoint, gapless from leaf 0.
    pub(crate) parts: Vec<Part>,
    pub(crate) nodes: Nodes,
    pub(crate) marks: Arc<[Mark]>,
}

impl View {
    pub(crate) fn size(&self) -> u64 {
        self.checkpoint.size.0
    }

    /// The parts that hold rows of `rows`, each with those rows.
    ///
    /// # Errors
    /// When the range is not under the checkpoint.
    pub(crate) fn within(&self, rows: Range<u64>) -> Result<Vec<(Part, Range<u64>)>, RowError> {
        if rows.start > rows.end || rows.end > self.size() {
            return Err(RowError::Range { start: rows.start, end: rows.end, size: self.size() });
        }
        let first = self.parts.partition_point(|part| part.range().end <= rows.start);
        let parts = self.parts.iter().skip(first).map(|part| {
            let range = part.range();
            (part.clone(), range.start.max(rows.start)..range.end.min(rows.end))
        });
        Ok(parts.take_while(|(_, rows)| !rows.is_empty()).collect())
    }
}
