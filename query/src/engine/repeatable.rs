//! What a workbench does not run, because its answer could be another one the next time: a list is made again by
//! everyone who verifies its package.
//!
//! What it does run has one answer: leaves are read in ledger order and in one partition, unions give one side after
//! the other ([`in_order`](super::in_order)), and the engine's hashing has a fixed seed. So rows without `ORDER BY`,
//! rows that `ORDER BY` leaves equal, `LIMIT`, `array_agg`, sums of floats and estimates come out the same.

use std::collections::BTreeSet;

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, Volatility};
use datafusion::prelude::SessionContext;

use super::SqlError;

/// Functions that the engine calls immutable and that are not the same on every machine: one names the machine, the
/// others are computed by its mathematical library, whose last digits are its own.
const OF_THE_MACHINE: &str = "acos acosh asin asinh atan atan2 atanh cbrt cos cosh cot exp ln log log10 log2 power \
     sin sinh tan tanh version";

const WHY: &str = "a list has to be the same whenever it is made again";

/// The names that the session no longer knows.
#[derive(Debug)]
pub(crate) struct Withheld(BTreeSet<String>);

impl Withheld {
    /// Takes away the functions whose answer is not told by their arguments alone. What a table function is given is
    /// computed while it is planned, so no look at the plan would find them all.
    pub(crate) fn of(context: &SessionContext) -> Self {
        let state = context.state();
        let functions = state.scalar_functions().iter();
        let changing = functions.filter(|(_, function)| {
            function.signature().volatility != Volatility::Immutable
                || OF_THE_MACHINE.split_whitespace().any(|name| name == function.name())
        });
        let names: BTreeSet<String> = changing.map(|(name, _)| name.clone()).collect();
        for name in &names {
            context.deregister_udf(name);
        }
        Self(names)
    }

    /// What the engine says of a function that was taken away is that there is none, or no column of that name; what
    /// helps is why.
    pub(crate) fn told(&self, error: SqlError) -> SqlError {
        let SqlError::Invalid(message) = &error else { return error };
        let after = |words| message.split_once(words).map(|(_, rest)| rest);
        let rest = after("Invalid function '").or_else(|| after("No field named "));
        let name =
            rest.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
        match name.map(str::to_lowercase) {
            Some(name) if self.0.contains(&name) => SqlError::Invalid(format!(
                "the function {name} is not offered in a list: {WHY}, and its answer depends on the time, on \
                     chance or on the machine. Write the value itself, or :from and :to for the period"
            )),
            _ => error,
        }
    }
}

/// Refuses what tells about the engine and its run, not about the leaves.
///
/// # Errors
/// What is refused.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|plan| {
        found = match plan {
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => Some("EXPLAIN"),
            LogicalPlan::TableScan(scan)
                if scan.table_name.schema() == Some("information_schema") =>
            {
                Some("information_schema (SHOW TABLES, SHOW COLUMNS)")
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        Ok::<_, DataFusionError>(TreeNodeRecursion::Stop)
    });
    walked.map_err(|error| SqlError::planning(&error))?;
    match found {
        Some(what) => Err(SqlError::Invalid(format!(
            "{what} is not offered in a list: {WHY}, and this tells about the engine. Ask the query service"
        ))),
        None => Ok(()),
    }
}
