//! A query from its text to its last batch, within its bounds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::dataframe::DataFrame;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::SqlError;
use super::guard;
use super::session::{self, Resources, Shown};
use super::tripwire::Tripwire;
use super::workers::Workers;
use crate::config::Limits;

/// How long a query waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// Batches between the query and the reader of its answer.
const AHEAD: usize = 2;

/// Runs queries.
#[derive(Debug)]
pub(crate) struct Engine {
    workers: Workers,
    turns: Arc<Semaphore>,
    limits: Limits,
    spill_dir: PathBuf,
}

/// All turns are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

impl Engine {
    /// `spill_dir` is emptied: what is in it belonged to queries that ended with their process.
    pub(crate) fn start(limits: &Limits, spill_dir: &Path) -> std::io::Result<Self> {
        if spill_dir.exists() {
            std::fs::remove_dir_all(spill_dir)?;
        }
        std::fs::create_dir_all(spill_dir)?;
        Ok(Self {
            workers: Workers::start(limits.sql_concurrency)?,
            turns: Arc::new(Semaphore::new(limits.sql_concurrency)),
            limits: limits.clone(),
            spill_dir: spill_dir.to_owned(),
        })
    }

    /// A turn. It is given back only when the query has really ended, so that those which are told to end and do not
    /// at once cannot pile up.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Busy> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(TURN, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Busy),
        }
    }

    /// Reads the text and plans it; the clock of the query starts here.
    pub(crate) async fn plan(
        &self,
        turn: OwnedSemaphorePermit,
        shown: Shown,
        sql: String,
    ) -> Result<Planned, SqlError> {
        let limit = self.limits.sql_timeout();
        let deadline = Instant::now() + limit;
        let wire = Tripwire::new(Some(deadline));
        let spill_bytes = self.limits.sql_spill_mib.saturating_mul(1 << 20);
        let resources = Resources {
            memory_bytes: self.limits.sql_memory_bytes(),
            spill: (spill_bytes > 0).then(|| (self.spill_dir.clone(), spill_bytes)),
        };
        let planning = self.workers.spawn({
            let wire = wire.clone();
            async move {
                let admitted = guard::admit(&sql)?;
                let context = session::open(&shown, &resources, &wire).await?;
                let frame = session::plan(&context, admitted).await?;
                Ok((frame, turn))
            }
        });
        match tokio::time::timeout_at(deadline.into(), planning).await {
            Ok(Ok(planned)) => planned.map(|(frame, turn)| Planned { frame, turn, wire, deadline }),
            Ok(Err(_)) => Err(SqlError::Failed("planning was aborted".to_owned())),
            Err(_) => Err(SqlError::Timeout { limit }),
        }
    }

    /// Runs what was planned.
    pub(crate) fn run(&self, planned: Planned) -> Answer {
        let Planned { frame, turn, wire, deadline } = planned;
        let schema = SchemaRef::clone(frame.schema().inner());
        let (sender, batches) = mpsc::channel(AHEAD);
        let limits = self.limits.clone();
        let task = self.workers.spawn(async move {
            run(frame, &sender, &limits).await;
            drop(turn);
        });
        let limit = self.limits.sql_timeout();
        Answer { schema, batches, deadline, limit, ended: false, wire, task: task.abort_handle() }
    }
}

#[derive(Debug)]
pub(crate) struct Planned {
    frame: DataFrame,
    turn: OwnedSemaphorePermit,
    wire: Tripwire,
    deadline: Instant,
}

/// The batches of an answer. Dropping it ends the query.
#[derive(Debug)]
pub(crate) struct Answer {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, SqlError>>,
    deadline: Instant,
    limit: Duration,
    ended: bool,
    wire: Tripwire,
    task: AbortHandle,
}

impl Answer {
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch; `None` when the answer is complete. After an error there is none.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch, SqlError>> {
        if self.ended {
            return None;
        }
        let next = tokio::time::timeout_at(self.deadline.into(), self.batches.recv()).await;
        let next = next.unwrap_or(Some(Err(SqlError::Timeout { limit: self.limit })));
        if !matches!(next, Some(Ok(_))) {
            self.ended = true;
        }
        next
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.wire.trip();
        self.task.abort();
    }
}

async fn run(
    frame: DataFrame,
    sender: &mpsc::Sender<Result<RecordBatch, SqlError>>,
    limits: &Limits,
) {
    let (mut rows, mut bytes) = (0, 0);
    let running = |error| SqlError::running(&error, limits.sql_timeout());
    let mut batches = match frame.execute_stream().await {
        Ok(batches) => batches,
        Err(error) => {
            // Nobody may be listening any more.
            sender.send(Err(running(error))).await.ok();
            return;
        }
    };
    while let Some(batch) = batches.next().await {
        let outcome = batch.map_err(running).and_then(|batch| {
            rows += batch.num_rows() as u64;
            bytes += size(&batch);
            if rows > limits.sql_max_rows {
                return Err(SqlError::TooManyRows { limit: limits.sql_max_rows });
            }
            let limit_bytes = limits.sql_max_result_bytes();
            if bytes > limit_bytes { Err(SqlError::TooLarge { limit_bytes }) } else { Ok(batch) }
        });
        let is_last = outcome.is_err();
        if sender.send(outcome).await.is_err() || is_last {
            return;
        }
    }
}

/// Bytes of the rows themselves; a slice does not count what it was cut from, except where views hide its size.
fn size(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View | DataType::BinaryView => column.get_array_memory_size(),
        _ => {
            let sliced = column.to_data().get_slice_memory_size();
            sliced.unwrap_or_else(|_| column.get_array_memory_size())
        }
    };
    batch.columns().iter().map(of).sum()
}
