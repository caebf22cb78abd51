//! Runs the queries of a package, the mapping's and the requester's, within bounds.

use std::time::Duration;

use query::{Allowance, Bounds, SqlError, Table, Workbench};
use tokio_util::sync::CancellationToken;
use verifier::Material;

use super::lists::{List, Lists, is_custom_id};
use super::{DeriveError, opening_of};
use crate::criteria::{Mapping, bind};

/// Of all queries of the mapping together, which answer with what a package may hold.
const OF_MAPPING: Bounds = Bounds {
    time: Duration::from_secs(600),
    rows: 20_000_000,
    bytes: 4 << 30,
    memory_bytes: 4 << 30,
};
/// Of all queries of the requester together, who may be anybody that may export.
const OF_REQUESTER: Bounds = Bounds {
    time: Duration::from_secs(60),
    rows: 1_000_000,
    bytes: 256 << 20,
    memory_bytes: 512 << 20,
};
/// So many times slower than the exporter's may the machine be on which a package is verified.
const PATIENCE: u32 = 10;

/// How long queries may take, and what ends them before.
pub(crate) struct Effort {
    patience: u32,
    end: CancellationToken,
}

impl Effort {
    /// Within the bounds, until `end`.
    pub(crate) fn of_exporter(end: &CancellationToken) -> Self {
        Self { patience: 1, end: end.clone() }
    }

    /// What an exporter could make, a verifier can make again.
    pub(crate) fn of_verifier() -> Self {
        Self { patience: PATIENCE, end: CancellationToken::new() }
    }

    fn allowance(&self, bounds: Bounds) -> Allowance {
        Allowance::new(Bounds { time: bounds.time * self.patience, ..bounds })
    }
}

/// A query, and the list that it makes.
struct Asked {
    folder: String,
    name: &'static str,
    sql: String,
    custom: bool,
}

/// Runs every query over the material's leaves and disclosures.
pub(super) fn run(
    material: &Material,
    mapping: &Mapping,
    effort: &Effort,
) -> Result<Lists, DeriveError> {
    let asked = asked(material, mapping)?;
    let leaves = material.leaves.iter().map(|row| (row.index, row.bytes.clone()));
    let openings = material.disclosures.iter().filter_map(opening_of).collect();
    let bench = Workbench::new(leaves, openings).map_err(|error| error.to_string())?;
    // A thread with a runtime of its own: this is called from within runtimes and without one.
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("no runtime for SQL: {error}"))?;
            runtime.block_on(answers(&bench, asked, effort))
        });
        work.join().unwrap_or_else(|_| Err("the SQL engine failed".to_owned().into()))
    })
}

/// The queries of a package, the requester's last.
fn asked(material: &Material, mapping: &Mapping) -> Result<Vec<Asked>, DeriveError> {
    let parameters = &material.parameters;
    let mut asked = Vec::new();
    for id in &parameters.criteria {
        let criterion = mapping.criterion(id).map_err(|error| error.to_string())?;
        let lists =
            [("population", &criterion.population.sql), ("exceptions", &criterion.exceptions.sql)];
        asked.extend(lists.map(|(name, sql)| Asked {
            folder: id.clone(),
            name,
            sql: bind(sql, parameters),
            custom: false,
        }));
    }
    for custom in &parameters.custom_queries {
        let id = custom.id.clone();
        if !is_custom_id(&id) {
            let reason = "an id is 1 to 64 of A-Z a-z 0-9 _ -".to_owned();
            return Err(DeriveError::CustomQuery { id, code: "custom_query", reason });
        }
        let (folder, sql) = (format!("custom-{id}"), bind(&custom.sql, parameters));
        asked.push(Asked { folder, name: "population", sql, custom: true });
    }
    Ok(asked)
}

async fn answers(
    bench: &Workbench,
    asked: Vec<Asked>,
    effort: &Effort,
) -> Result<Lists, DeriveError> {
    let (mut of_mapping, mut of_requester) = (None, None);
    let mut lists = Vec::with_capacity(asked.len());
    for Asked { folder, name, sql, custom } in asked {
        // The clock of the requester's queries starts with the first of them.
        let (left, bounds) =
            if custom { (&mut of_requester, OF_REQUESTER) } else { (&mut of_mapping, OF_MAPPING) };
        let allowance = left.get_or_insert_with(|| effort.allowance(bounds));
        let answered = tokio::select! {
            answered = bench.query(&sql, allowance) => answered,
            () = effort.end.cancelled() => return Err(DeriveError::Ended),
        };
        let table: Table = answered.map_err(|error| refused(&folder, name, custom, &error))?;
        lists.push(List { folder, name, sql, custom, table });
    }
    Ok(Lists(lists))
}

/// Why there is no list.
fn refused(folder: &str, name: &str, custom: bool, error: &SqlError) -> DeriveError {
    let is_bound = matches!(
        error,
        SqlError::Timeout { .. }
            | SqlError::TooManyRows { .. }
            | SqlError::TooLarge { .. }
            | SqlError::OutOfMemory(_)
    );
    let reason = error.to_string();
    match folder.strip_prefix("custom-").filter(|_| custom) {
        Some(id) => {
            let code = match error {
                SqlError::Timeout { .. } => "custom_query_timeout",
                _ if is_bound => "custom_query_too_large",
                _ => "custom_query",
            };
            DeriveError::CustomQuery { id: id.to_owned(), code, reason }
        }
        None if is_bound => {
            DeriveError::ListTooLarge(format!("the list {folder}/{name} cannot be made ({reason})"))
        }
        None => {
            DeriveError::Failed(format!("the query of {folder}/{name} cannot be run: {reason}"))
        }
    }
}
