//! SQL over given leaves, offline: the same tables, columns and functions as the live service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures_util::TryStreamExt;
use proto::v1::Opening;

use super::SqlError;
use super::guard;
use super::session::{self, Resources, Shown};
use super::text::Cells;
use super::tripwire::Tripwire;
use super::workers::Workers;
use crate::rows::columns::{Row, leaf_batch};
use crate::rows::disclosures::Slots;
use crate::rows::{Chunk, Part, RowError};

/// Memory that one offline query may use.
const MEMORY_BYTES: usize = 4 << 30;

/// SQL over leaves that the caller has: to make the lists of a package, and to make them again when it is verified.
///
/// It shows every opening it is given, so the caller gives only what may be seen. `inclusion_proof` is there but has
/// no tree to read, and says so.
#[derive(Debug)]
pub struct Workbench {
    shown: Shown,
    workers: Workers,
}

/// An answer as text: what a CSV shows, null as `None`. The same query over the same leaves gives the same table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of as many cells. Times are RFC 3339 with nanoseconds and `Z`, binary is hex.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Workbench {
    /// A workbench of leaves by ascending index, gaps allowed, and of openings in any order.
    ///
    /// # Errors
    /// When a leaf cannot be decoded, or indexes do not ascend. Openings are not checked against commitments here;
    /// one without its leaf or commitment shows nowhere.
    pub fn new(
        leaves: impl IntoIterator<Item = (u64, Bytes)>,
        openings: Vec<(u64, Opening)>,
    ) -> Result<Self, RowError> {
        let mut by_leaf: HashMap<u64, Vec<Opening>> = HashMap::new();
        for (index, opening) in openings {
            by_leaf.entry(index).or_default().push(opening);
        }
        let mut parts = Vec::new();
        let (mut rows, mut disclosed): (Vec<Row>, Vec<_>) = (Vec::new(), Vec::new());
        for (index, entry) in leaves {
            if let Some(previous) = rows.last().map(|row: &Row| row.index) {
                if index <= previous {
                    return Err(RowError::Order { previous, found: index });
                }
                if index != previous + 1 {
                    parts.push(Part::Hot(Arc::new(Chunk::new(&rows, &disclosed)?)));
                    rows.clear();
                    disclosed.clear();
                }
            }
            rows.push(Row::decode(index, entry)?);
            disclosed.push(by_leaf.remove(&index).unwrap_or_default());
        }
        if !rows.is_empty() {
            parts.push(Part::Hot(Arc::new(Chunk::new(&rows, &disclosed)?)));
        }
        let shown = Shown { parts: parts.into(), slots: Slots::ALL, prover: None };
        let workers = Workers::start(1).map_err(RowError::io("the SQL thread"))?;
        Ok(Self { shown, workers })
    }

    /// Runs one statement that reads. Rows of a query without `ORDER BY` come in ledger order where the query keeps it.
    ///
    /// # Errors
    /// As the SQL door, but without bounds on time and rows.
    pub async fn query(&self, sql: &str) -> Result<Table, SqlError> {
        let batches = self.batches(sql).await?;
        let mut table = Table { columns: batches.0, rows: Vec::new() };
        for batch in &batches.1 {
            let cells = Cells::of(batch).map_err(|error| SqlError::Failed(error.to_string()))?;
            table.rows.extend((0..batch.num_rows()).map(|row| cells.row(row).collect()));
        }
        Ok(table)
    }

    /// In a thread whose stack is made for it: the SQL may come out of a package that is being verified.
    async fn batches(&self, sql: &str) -> Result<(Vec<String>, Vec<RecordBatch>), SqlError> {
        let admitted = guard::admit(sql)?;
        let shown = self.shown.clone();
        let work = self.workers.spawn(async move {
            let resources = Resources { memory_bytes: MEMORY_BYTES, spill: None };
            let context = session::open(&shown, &resources, &Tripwire::new(None)).await?;
            let frame = session::plan(&context, admitted).await?;
            let fields = frame.schema().fields().iter();
            let columns = fields.map(|field| field.name().clone()).collect();
            let running = |error| SqlError::running(&error, Duration::ZERO);
            let stream = frame.execute_stream().await.map_err(running)?;
            Ok((columns, stream.try_collect().await.map_err(running)?))
        });
        work.await.unwrap_or_else(|_| Err(SqlError::Failed("the query was aborted".to_owned())))
    }
}

/// The leaf columns of leaves, the exact leaf among them: the rows of a package's `events` file.
///
/// # Errors
/// When a leaf cannot be decoded.
pub fn events_batch(
    leaves: impl IntoIterator<Item = (u64, Bytes)>,
) -> Result<RecordBatch, RowError> {
    let rows: Vec<Row> = leaves
        .into_iter()
        .map(|(index, entry)| Row::decode(index, entry))
        .collect::<Result<_, _>>()?;
    leaf_batch(&rows)
}
