//! Makes every plan give way: a query whose time is up, or whose reader left, ends soon.
//!
//! DataFusion's leaves already take turns, but a join can work for long on one pair of batches. So every join and
//! recursion yields after some batches, and every join filter looks at the clock each time it is evaluated.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};

/// Tells a running query to end. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tripwire(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    deadline: Option<Instant>,
}

/// The query was told to end.
#[derive(Debug, thiserror::Error)]
#[error("the query was ended")]
pub(crate) struct Tripped;

impl Tripwire {
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        Self(Arc::new(Inner { cancelled: AtomicBool::new(false), deadline }))
    }

    pub(crate) fn trip(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), Tripped> {
        let is_late = self.0.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_late || self.0.cancelled.load(Ordering::Relaxed) { Err(Tripped) } else { Ok(()) }
    }
}

impl PhysicalOptimizerRule for Tripwire {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let node = self.guard_filter(node)?;
            if node.children().len() < 2 {
                return Ok(Transformed::no(node));
            }
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as _))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "tripwire"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl Tripwire {
    fn guard_filter(&self, node: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let filter = Some(self.guarded(filter));
            let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
            return Ok(Arc::new(join));
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            return join.builder().with_filter(Some(self.guarded(filter))).build_exec();
        }
        Ok(node)
    }

    fn guarded(&self, filter: &JoinFilter) -> JoinFilter {
        let guarded = Guarded { wire: self.clone(), inner: Arc::clone(filter.expression()) };
        JoinFilter::new(
            Arc::new(guarded),
            filter.column_indices().to_vec(),
            Arc::clone(filter.schema()),
        )
    }
}

/// An expression that fails once the wire was tripped.
#[derive(Debug)]
struct Guarded {
    wire: Tripwire,
    inner: Arc<dyn PhysicalExpr>,
}

impl PhysicalExpr for Guarded {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.wire.check().map_err(|tripped| DataFusionError::External(Box::new(tripped)))?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { wire: self.wire.clone(), inner }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

impl PartialEq for Guarded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Guarded {}

impl Hash for Guarded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}
