//! Puts the functions of a plan behind a [`Meter`].
//!
//! Twice: before the optimizer runs, because it computes what is constant, and after it, because it makes calls of its
//! own and because what it computed stands in the plan as literals that every batch would copy.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::{DataType, Field, FieldRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::expr::{Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use super::growth::{Growth, scalar_bytes};
use super::meter::Meter;

/// Most columns that a part of a plan may have: each may be as wide as its widest value in every row of a batch.
const MAX_COLUMNS: usize = 1_000;
/// Longest literal that is copied into batches without being counted.
const SMALL_LITERAL_BYTES: u64 = 32;
/// Most elements of a list type of fixed size.
const MAX_FIXED_SIZE: i32 = 1_024;

/// Aggregates whose result holds all that they were given.
const GATHERING: [&str; 2] = ["array_agg", "string_agg"];

/// Refuses what no meter could bound: functions that are not offered, wherever they come from, list types of any
/// size, and plans of very many columns.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|plan| {
        let columns = plan.schema().fields().len();
        if columns > MAX_COLUMNS {
            return plan_err!("there are {columns} columns, at most {MAX_COLUMNS} are accepted");
        }
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                let refused = match expr {
                    Expr::ScalarFunction(call) if Growth::of(call.name()).is_none() => call.name(),
                    Expr::HigherOrderFunction(call) => call.name(),
                    // One list for each row, as long as all rows before it.
                    Expr::WindowFunction(call) if GATHERING.contains(&call.fun.name()) => {
                        return plan_err!("{} OVER (…) is not offered here", call.fun.name());
                    }
                    Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. })
                        if is_oversized(field.data_type()) =>
                    {
                        return plan_err!("a list type may have at most {MAX_FIXED_SIZE} elements");
                    }
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                plan_err!("the function {refused} is not offered here")
            })
        })
    })?;
    Ok(())
}

fn is_oversized(data_type: &DataType) -> bool {
    match data_type {
        DataType::FixedSizeList(field, size) => {
            *size > MAX_FIXED_SIZE || is_oversized(field.data_type())
        }
        DataType::FixedSizeBinary(size) => *size > MAX_FIXED_SIZE,
        DataType::List(field) | DataType::LargeList(field) => is_oversized(field.data_type()),
        _ => false,
    }
}

/// An expression whose every call is metered.
pub(crate) fn metered(expr: Expr, meter: &Meter) -> Result<Expr> {
    let metered = expr.transform_up(|expr| {
        let (function, args) = match expr {
            Expr::ScalarFunction(ScalarFunction { func, args }) => (func, args),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                (Arc::new(ScalarUDF::from(Concatenation::new())), vec![*left, *right])
            }
            expr => return Ok(Transformed::no(expr)),
        };
        let call = ScalarFunction { func: meter.metered(&function)?, args };
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    });
    Ok(metered?.data)
}

/// An expression whose long literals are metered where a batch would hold a copy for each row. Functions and
/// comparisons take a literal as it is.
fn spread(expr: Expr, meter: &Meter) -> Result<Expr> {
    if let Expr::Literal(value, _) = &expr {
        if scalar_bytes(value) <= SMALL_LITERAL_BYTES || !is_long(&value.data_type()) {
            return Ok(expr);
        }
        let func = meter.metered(&Arc::new(ScalarUDF::from(Literal::new())))?;
        return Ok(Expr::ScalarFunction(ScalarFunction { func, args: vec![expr] }));
    }
    // An aggregate takes a column first, then what must stay a literal.
    let mut kept = match &expr {
        Expr::ScalarFunction(_)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::InList(_)
        | Expr::Between(_) => 0,
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) => 1,
        _ => usize::MAX,
    };
    let spread = expr.map_children(|child| {
        let is_kept = kept == 0 && matches!(child, Expr::Literal(..));
        kept = kept.saturating_sub(usize::from(kept < usize::MAX));
        if is_kept {
            Ok(Transformed::no(child))
        } else {
            spread(child, meter).map(Transformed::yes)
        }
    });
    Ok(spread?.data)
}

fn is_long(data_type: &DataType) -> bool {
    !data_type.is_primitive() && !matches!(data_type, DataType::Boolean | DataType::Null)
}

fn rewrite(plan: LogicalPlan, each: &dyn Fn(Expr) -> Result<Expr>) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(Transformed::yes(name.restore(each(expr)?)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    });
    Ok(rewritten?.data)
}

impl AnalyzerRule for Meter {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewrite(plan, &|expr| metered(expr, self))
    }

    fn name(&self) -> &'static str {
        "meter"
    }
}

#[async_trait]
impl QueryPlanner for Meter {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = rewrite(plan.clone(), &|expr| spread(metered(expr, self)?, self))?;
        DefaultPhysicalPlanner::default().create_physical_plan(&plan, session).await
    }
}

/// `a || b` as a function, so that it is metered like one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation(Signature);

impl Concatenation {
    fn new() -> Self {
        Self(Signature::any(2, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &'static str {
        "||"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = types else { return internal_err!("|| takes two operands") };
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = arrays.as_slice() else { return exec_err!("|| takes two operands") };
        let joined: ArrayRef = concat_elements_dyn(left, right)?;
        Ok(ColumnarValue::Array(joined))
    }
}

/// A literal that is not computed before a batch needs it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Literal(Signature);

impl Literal {
    fn new() -> Self {
        Self(Signature::any(1, Volatility::Volatile))
    }
}

impl ScalarUDFImpl for Literal {
    fn name(&self) -> &'static str {
        "literal"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [only] = types else { return internal_err!("a literal has one value") };
        Ok(only.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [only] = args.arg_fields else { return internal_err!("a literal has one value") };
        Ok(Arc::clone(only))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(only) = args.args.pop() else { return exec_err!("a literal has one value") };
        Ok(only)
    }
}
