//! The base tables `events` and `disclosures`, read from parts in ledger order, with nothing in them that the
//! reader may not see.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::batches::{disclosures, events};
use super::pruning::{self, Bounds};
use crate::rows::Part;
use crate::rows::columns::leaf_schema;
use crate::rows::disclosed;
use crate::rows::disclosures::Slots;

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
