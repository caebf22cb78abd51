//! The base tables `events` and `disclosures`, read from parts in ledger order, with nothing in them that the
//! reader may not see.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use proto::v1::{self, MediaType};

use super::pruning::{self, Bounds};
use crate::rows::columns::{self, leaf_schema, name_of};
use crate::rows::disclosed::{self, DisclosedColumn};
use crate::rows::disclosures::{Disclosed, Slots, Status};
use crate::rows::{Part, RowError};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Events,
    Disclosures,
}

/// A base table over some rows, for a reader of some slots.
#[derive(Debug)]
pub(crate) struct BaseTable {
    table: Table,
    schema: SchemaRef,
    parts: Arc<[Part]>,
    slots: Slots,
}

impl BaseTable {
    pub(crate) fn new(table: Table, parts: Arc<[Part]>, slots: Slots) -> Self {
        Self { table, schema: table.schema(), parts, slots }
    }
}

impl Table {
    fn schema(self) -> SchemaRef {
        match self {
            Self::Events => {
                let disclosed = disclosed::COLUMNS.iter().map(|column| Arc::new(column.field()));
                let fields =
                    leaf_schema().fields().iter().cloned().chain(disclosed).collect::<Vec<_>>();
                Arc::new(Schema::new(fields))
            }
            Self::Disclosures => Arc::new(Schema::new(vec![
                Field::new("leaf_index", DataType::UInt64, false),
                Field::new("slot", DataType::Utf8, false),
                Field::new("media_type", DataType::Utf8, true),
                Field::new("size_class", DataType::UInt32, false),
                Field::new("commitment", DataType::Utf8, false),
                Field::new("status", DataType::Utf8, false),
                Field::new("salt", DataType::Utf8, true),
                Field::new("content", DataType::Utf8, true),
            ])),
        }
    }
}

#[async_trait]
impl TableProvider for BaseTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if pruning::narrows(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(wanted) => wanted.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&wanted)?);
        let bounds = Bounds::of(filters);
        let runs = self
            .parts
            .iter()
            .map(|part| (part.clone(), bounds.within(&part.range(), part.times())));
        let runs = runs.filter(|(_, rows)| !rows.is_empty()).collect();
        let orderings = orderings(self.table, &schema);
        // One partition: rows come in ledger order, and the same query gives the same bytes.
        let scan = Scan { table: self.table, schema, wanted, runs, slots: self.slots };
        let schema = Arc::clone(&scan.schema);
        let partitions: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(scan)];
        let plan = StreamingTableExec::try_new(schema, partitions, None, orderings, false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// Rows come by ascending leaf, and `recorded_at` ascends with it.
fn orderings(table: Table, schema: &Schema) -> Vec<LexOrdering> {
    let names: &[&str] = match table {
        Table::Events => &["leaf_index", "recorded_at"],
        Table::Disclosures => &["leaf_index"],
    };
    let ascending = SortOptions { descending: false, nulls_first: false };
    let by = |name: &&str| {
        let column = Arc::new(Column::new(name, schema.index_of(name).ok()?));
        LexOrdering::new([PhysicalSortExpr::new(column, ascending)])
    };
    names.iter().filter_map(by).collect()
}

struct Scan {
    table: Table,
    /// Of the columns that are wanted.
    schema: SchemaRef,
    /// Their positions in the table.
    wanted: Vec<usize>,
    runs: Vec<(Part, Range<u64>)>,
    slots: Slots,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {} parts", self.table, self.runs.len())
    }
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, slots) = (Arc::clone(&self.schema), self.slots);
        let (table, wanted) = (self.table, self.wanted.clone());
        let batches = self.runs.clone().into_iter().flat_map(move |(part, rows)| {
            let batches = match table {
                Table::Events => events(&part, rows, &schema, &wanted, slots),
                Table::Disclosures => disclosures(&part, rows, &schema, &wanted, slots),
            };
            batches.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
        });
        let batches =
            batches.map(|batch| batch.map_err(|e| DataFusionError::External(Box::new(e))));
        let stream = futures_util::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, RowError>> + Send>;

fn events(
    part: &Part,
    rows: Range<u64>,
    schema: &SchemaRef,
    wanted: &[usize],
    slots: Slots,
) -> Result<Batches, RowError> {
    let leaf_columns = leaf_schema().fields().len();
    let disclosed: Vec<&'static DisclosedColumn> = wanted
        .iter()
        .filter_map(|column| disclosed::COLUMNS.get(column.checked_sub(leaf_columns)?))
        .collect();
    let needed = slots.and(Slots::only(disclosed.iter().map(|column| column.slot)));
    // What is read of the leaves: what is wanted, and what the disclosed columns and the row count need.
    let mut read: Vec<usize> =
        wanted.iter().copied().filter(|column| *column < leaf_columns).collect();
    read.extend((!disclosed.is_empty()).then_some(*columns::TOOL));
    read.extend(read.is_empty().then_some(columns::LEAF_INDEX));
    read.sort_unstable();
    read.dedup();
    let mut openings = part.openings(needed, rows.clone())?;
    let leaves = part.leaves(&read, rows.clone())?;
    let (schema, wanted) = (Arc::clone(schema), wanted.to_vec());
    let mut next = rows.start;
    Ok(Box::new(leaves.map(move |leaves| {
        let leaves = leaves?;
        let first = next;
        next += leaves.num_rows() as u64;
        let contents: HashMap<(u64, i32), Bytes> = openings
            .before(next)?
            .into_iter()
            .filter(|row| row.status == Status::Disclosed)
            .map(|row| ((row.leaf_index, row.slot), row.content))
            .collect();
        let column = |position: usize| {
            // `read` holds every leaf column that is asked for here.
            leaves.column(read.binary_search(&position).unwrap_or_default())
        };
        let tools: Vec<Option<&str>> = if disclosed.is_empty() {
            Vec::new()
        } else {
            column(*columns::TOOL).as_string::<i32>().iter().collect()
        };
        let arrays = wanted.iter().map(|&position| {
            match position.checked_sub(leaf_columns).and_then(|d| disclosed::COLUMNS.get(d)) {
                Some(disclosed) => disclosed.build(first, &tools, &contents),
                None => Arc::clone(column(position)),
            }
        });
        of_rows(&schema, arrays.collect(), leaves.num_rows())
    })))
}

/// Rows of the `disclosures` table that are made at a time: a disclosure may have 16 MiB.
const WINDOW: u64 = 64;

fn disclosures(
    part: &Part,
    rows: Range<u64>,
    schema: &SchemaRef,
    wanted: &[usize],
    slots: Slots,
) -> Result<Batches, RowError> {
    let with_content = wanted.iter().any(|column| *column >= 6);
    let visible = if with_content { slots } else { Slots::NONE };
    let mut commitments = part.commitments(rows.clone())?;
    let mut openings = part.openings(visible, rows.clone())?;
    let (schema, wanted) = (Arc::clone(schema), wanted.to_vec());
    let windows = (rows.start..rows.end).step_by(WINDOW as usize);
    Ok(Box::new(windows.map(move |start| {
        let end = rows.end.min(start + WINDOW);
        let opened: HashMap<(u64, i32), Disclosed> = openings
            .before(end)?
            .into_iter()
            .map(|row| ((row.leaf_index, row.slot), row))
            .collect();
        let mut found = commitments.before(end)?;
        for row in &mut found {
            if row.status == Status::Disclosed && !slots.contains(row.slot) {
                row.status = Status::Withheld;
            }
            if let Some(opened) = opened.get(&(row.leaf_index, row.slot)) {
                row.salt = opened.salt.clone();
                row.content = opened.content.clone();
            }
        }
        let arrays = wanted.iter().map(|&column| disclosure_column(column, &found));
        of_rows(&schema, arrays.collect(), found.len())
    })))
}

fn disclosure_column(column: usize, rows: &[Disclosed]) -> ArrayRef {
    let text = |of: fn(&Disclosed) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    match column {
        0 => Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.leaf_index))),
        1 => text(|row| Some(proto::disclosure::slot_name(row.slot).to_owned())),
        2 => text(|row| name_of!(v1::MediaType, "MEDIA_TYPE_", row.media_type)),
        3 => Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.size_class))),
        4 => text(|row| Some(hex::encode(&row.commitment))),
        5 => text(|row| Some(row.status.as_str().to_owned())),
        6 => text(|row| (!row.salt.is_empty()).then(|| hex::encode(&row.salt))),
        7 => text(|row| (!row.salt.is_empty()).then(|| content(row))),
        _ => Arc::new(BinaryArray::new_null(rows.len())),
    }
}

/// Text as it is; octets, and what is no text, in base64.
fn content(row: &Disclosed) -> String {
    match std::str::from_utf8(&row.content) {
        Ok(text) if row.media_type != MediaType::Octets as i32 => text.to_owned(),
        _ => STANDARD.encode(&row.content),
    }
}

/// A batch, even without columns.
fn of_rows(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, RowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
