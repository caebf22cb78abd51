//! A DataFusion session that holds the tables of one archive as one reader may see them, and nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};

use super::SqlError;
use super::functions;
use super::guard::Admitted;
use super::in_order::UnionsInOrder;
use super::meter::Meter;
use super::metering;
use super::tables::{BaseTable, Table};
use super::tripwire::Tripwire;
use crate::archive::Archive;
use crate::rows::Part;
use crate::rows::disclosures::Slots;

/// Rows of a batch: what an operator may make of a batch before anybody counts it is as many times its widest row.
const BATCH_ROWS: usize = 1024;

const VIEWS: &str = include_str!("views.sql");

/// What a session shows.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) parts: Arc<[Part]>,
    pub(crate) slots: Slots,
    /// Where proofs come from; offline there are none.
    pub(crate) prover: Option<Archive>,
}

/// What one query may use.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    /// For joins, sorts and aggregates, and as much again for what functions make.
    pub(crate) memory_bytes: usize,
    /// Where, and how many bytes.
    pub(crate) spill: Option<(PathBuf, u64)>,
}

/// A session for one query.
pub(crate) async fn open(
    shown: &Shown,
    resources: &Resources,
    wire: &Tripwire,
) -> Result<SessionContext, SqlError> {
    let disk = match &resources.spill {
        None => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        Some((dir, bytes)) => DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![dir.clone()]))
            .with_max_temp_directory_size(*bytes),
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(resources.memory_bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(|error| SqlError::running(&error, std::time::Duration::ZERO))?;
    // One partition: rows come in ledger order, and the same query gives the same bytes.
    let config = SessionConfig::new()
        .with_information_schema(true)
        .with_target_partitions(1)
        .with_batch_size(BATCH_ROWS);
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(UnionsInOrder));
    let meter = Arc::new(Meter::new(resources.memory_bytes));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_factories(std::collections::HashMap::new())
        .with_file_formats(Vec::new())
        .with_analyzer_rule(Arc::clone(&meter) as _)
        .with_query_planner(meter)
        .with_physical_optimizer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(wire.clone()))
        .build();
    let context = SessionContext::new_with_state(state);
    functions::install(&context, shown.prover.clone());
    install_tables(&context, shown).await.map_err(|error| SqlError::planning(&error))?;
    Ok(context)
}

/// Plans an admitted statement.
pub(crate) async fn plan(
    context: &SessionContext,
    admitted: Admitted,
) -> Result<datafusion::dataframe::DataFrame, SqlError> {
    let planning = |error: DataFusionError| SqlError::planning(&error);
    let plan = context.state().statement_to_plan(admitted.0).await;
    let plan =
        plan.map_err(|error| no_table(context, &error).unwrap_or_else(|| planning(error)))?;
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only
        .verify_plan(&plan)
        .map_err(|_| SqlError::NotReadOnly { found: plan.display().to_string() })?;
    metering::check(&plan).map_err(planning)?;
    context.execute_logical_plan(plan).await.map_err(planning)
}

/// What the engine says of a table that is not there names its own catalogs; what helps are the tables that are.
fn no_table(context: &SessionContext, error: &DataFusionError) -> Option<SqlError> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("table '")?.split_once("' not found")?.0;
    let name = name.strip_prefix("datafusion.").unwrap_or(name);
    let name = name.strip_prefix("public.").unwrap_or(name);
    let mut tables = context.catalog("datafusion")?.schema("public")?.table_names();
    tables.sort_unstable();
    let tables = tables.join(", ");
    Some(SqlError::Invalid(format!("there is no table {name}: the tables are {tables}")))
}

async fn install_tables(context: &SessionContext, shown: &Shown) -> Result<(), DataFusionError> {
    for (name, table) in [("events", Table::Events), ("disclosures", Table::Disclosures)] {
        let table = BaseTable::new(table, Arc::clone(&shown.parts), shown.slots);
        context.register_table(name, Arc::new(table))?;
    }
    for view in VIEWS.split_inclusive(";\n") {
        context.sql(view).await?;
    }
    Ok(())
}
