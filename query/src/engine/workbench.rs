//! SQL over given leaves, offline: the same tables, columns and functions as the live service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures_util::TryStreamExt;
use proto::v1::Opening;
use tokio::task::AbortHandle;

use super::SqlError;
use super::allowance::{Allowance, Bounds};
use super::guard;
use super::repeatable::{self, Withheld};
use super::session::{self, Resources, Shown};
use super::text::Cells;
use super::tripwire::Tripwire;
use super::workers::Workers;
use crate::rows::columns::{Row, leaf_batch};
use crate::rows::disclosures::Slots;
use crate::rows::{Chunk, Part, RowError};

/// How long a query that was told to end is waited for.
const GRACE: Duration = Duration::from_secs(5);

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

    /// Runs one statement that reads, within what is left of the allowance. Rows of a query without `ORDER BY` come in
    /// ledger order where the query keeps it. Dropping the future ends the query.
    ///
    /// # Errors
    /// As the SQL door, by the bounds of the allowance; [`SqlError::Invalid`] also where another run could give another
    /// answer (`now()`, `EXPLAIN`, `information_schema`).
    pub async fn query(&self, sql: &str, allowance: &mut Allowance) -> Result<Table, SqlError> {
        let wire = Tripwire::new(Some(allowance.deadline()));
        // In a thread whose stack is made for it: the SQL may come out of a package that is being verified.
        let mut task = self.workers.spawn({
            let (shown, wire) = (self.shown.clone(), wire.clone());
            let (sql, mut allowance) = (sql.to_owned(), allowance.clone());
            async move {
                let table = answer(&shown, &sql, &wire, &mut allowance).await?;
                Ok((table, allowance))
            }
        });
        let ending = Ending { wire, task: task.abort_handle() };
        match tokio::time::timeout_at(allowance.deadline().into(), &mut task).await {
            Ok(Ok(Ok((table, left)))) => {
                *allowance = left;
                Ok(table)
            }
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) => Err(SqlError::Failed("the query was aborted".to_owned())),
            Err(_) => {
                drop(ending);
                // Those that do not end at once should not pile up.
                tokio::time::timeout(GRACE, task).await.ok();
                Err(allowance.timeout())
            }
        }
    }
}

/// Ends the query when it is dropped.
struct Ending {
    wire: Tripwire,
    task: AbortHandle,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.wire.trip();
        self.task.abort();
    }
}

async fn answer(
    shown: &Shown,
    sql: &str,
    wire: &Tripwire,
    allowance: &mut Allowance,
) -> Result<Table, SqlError> {
    let admitted = guard::admit(sql)?;
    let Bounds { memory_bytes, time, .. } = *allowance.bounds();
    let running = |error| SqlError::running(&error, time);
    let resources = Resources { memory_bytes, spill: None };
    let context = session::open(shown, &resources, wire).await?;
    let withheld = Withheld::of(&context);
    let frame = session::plan(&context, admitted).await.map_err(|error| withheld.told(error))?;
    repeatable::check(frame.logical_plan())?;
    let fields = frame.schema().fields().iter();
    let columns = fields.map(|field| field.name().clone()).collect();
    let mut table = Table { columns, rows: Vec::new() };
    let mut batches = frame.execute_stream().await.map_err(running)?;
    while let Some(batch) = batches.try_next().await.map_err(running)? {
        let cells = Cells::of(&batch).map_err(|error| SqlError::Failed(error.to_string()))?;
        for row in 0..batch.num_rows() {
            let row: Vec<Option<String>> = cells.row(row).collect();
            allowance.count(&row)?;
            table.rows.push(row);
        }
        wire.check().map_err(|_| allowance.timeout())?;
    }
    Ok(table)
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
