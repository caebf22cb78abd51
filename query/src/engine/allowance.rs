//! What the queries of a workbench may take, several together.

use std::time::{Duration, Instant};

use super::SqlError;

/// Bounds of one query, or of several that are asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// From the first query's start to the last row of the last.
    pub time: Duration,
    /// Rows of all answers.
    pub rows: u64,
    /// Bytes of all answers in memory.
    pub bytes: usize,
    /// Memory of each query for joins, sorts and aggregates; functions may hold as much again.
    pub memory_bytes: usize,
}

/// What is left of the bounds. The clock runs from the start.
#[derive(Debug, Clone)]
pub struct Allowance {
    bounds: Bounds,
    deadline: Instant,
    rows: u64,
    bytes: usize,
}

/// A cell beside its text.
const CELL_BYTES: usize = size_of::<Option<String>>();
/// A row beside its cells.
const ROW_BYTES: usize = size_of::<Vec<Option<String>>>();

impl Allowance {
    /// All of the bounds, from now on.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, deadline: Instant::now() + bounds.time, rows: 0, bytes: 0 }
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn timeout(&self) -> SqlError {
        SqlError::Timeout { limit: self.bounds.time }
    }

    /// Counts a row that an answer holds from now on.
    pub(crate) fn count(&mut self, row: &[Option<String>]) -> Result<(), SqlError> {
        let text: usize = row.iter().flatten().map(String::len).sum();
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(text + row.len() * CELL_BYTES + ROW_BYTES);
        let Bounds { rows, bytes, .. } = self.bounds;
        if self.rows > rows {
            return Err(SqlError::TooManyRows { limit: rows });
        }
        if self.bytes > bytes {
            return Err(SqlError::TooLarge { limit_bytes: bytes });
        }
        Ok(())
    }
}
