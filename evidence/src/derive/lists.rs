//! The lists of each criterion, how each was made, and how many rows it has.

use query::Table;
use verifier::Material;
use verifier::layout::csv::CsvWriter;

use crate::criteria::Mapping;

/// A list, as it was asked for and answered.
pub(crate) struct List {
    /// Folder below `criteria/`.
    pub(crate) folder: String,
    /// `population` or `exceptions`.
    pub(crate) name: &'static str,
    /// The query that was run.
    pub(crate) sql: String,
    /// The requester's own, not the mapping's.
    pub(crate) custom: bool,
    pub(crate) table: Table,
}

/// All lists of a package, in the order of their criteria.
pub(crate) struct Lists(pub(crate) Vec<List>);

/// How much a list holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) rows: u64,
    /// What the rows stand for: a refusal that was counted is a row and several attempts.
    pub(crate) attempts: u64,
}

impl Lists {
    /// Of a list; nothing when there is no such list.
    pub(crate) fn count(&self, folder: &str, name: &str) -> Count {
        let list = self.0.iter().find(|list| list.folder == folder && list.name == name);
        list.map_or_else(Count::default, |list| Count::of(&list.table))
    }
}

/// Where a row says how many attempts it stands for; every other row is one.
const ATTEMPTS: &str = "attempts";

impl Count {
    fn of(table: &Table) -> Self {
        let rows = table.rows.len() as u64;
        let Some(at) = table.columns.iter().position(|name| name == ATTEMPTS) else {
            return Self { rows, attempts: rows };
        };
        let of_row = |row: &Vec<Option<String>>| {
            let told = row.get(at).and_then(Option::as_deref);
            told.and_then(|told| told.parse().ok()).unwrap_or(1)
        };
        Self { rows, attempts: table.rows.iter().map(of_row).fold(0, u64::saturating_add) }
    }
}

/// May a custom query be called so?
pub(crate) fn is_custom_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// `criteria/…` and `ipe/…`.
pub(super) fn files(
    material: &Material,
    mapping: &Mapping,
    Lists(lists): &Lists,
    put: &mut impl FnMut(&str, Vec<u8>),
) {
    let mut queries = format!(
        "-- How each list of this package was made: run over the tables of data/population by Exhibit's SQL engine.\n\
         -- In stock DuckDB they run after data/verify/views.sql, which makes these tables.\n\
         -- Control mapping {} {}, SHA-256 {}: data/ipe/mapping.yaml.\n",
        mapping.name, mapping.version, mapping.sha256
    );
    let mut counts = CsvWriter::new(["file", "rows", "source", "query"]);
    for List { folder, name, sql, custom, table } in lists {
        let source = if *custom {
            "CUSTOM query of the requester".to_owned()
        } else {
            format!("mapping {} {}", mapping.name, mapping.version)
        };
        queries
            .push_str(&format!("\n-- criteria/{folder}/{name}: {source}\n{};\n", sql.trim_end()));
        let mut csv = CsvWriter::new(table.columns.iter().map(String::as_str));
        for row in &table.rows {
            csv.row(row.iter().map(|cell| cell.as_deref().unwrap_or_default()));
        }
        for (file, bytes) in csv.finish(&format!("criteria/{folder}/{name}")) {
            put(&file, bytes);
        }
        let (file, rows) = (format!("criteria/{folder}/{name}"), table.rows.len().to_string());
        let query = format!("ipe/queries.sql: criteria/{folder}/{name}");
        counts.row([file.as_str(), &rows, &source, &query]);
    }
    for (file, rows) in [
        ("population/leaves.parquet", material.leaves.len()),
        ("population/events.parquet", material.leaves.len()),
        ("population/events.ndjson", material.leaves.len()),
        ("population/disclosures.parquet", material.disclosures.len()),
        ("context/leaves.parquet", material.context.len()),
        ("context/disclosures.parquet", material.context_disclosures.len()),
    ] {
        counts.row([file, &rows.to_string(), "the log", ""]);
    }
    put("ipe/queries.sql", queries.into_bytes());
    for (file, bytes) in counts.finish("ipe/row_counts") {
        put(&file, bytes);
    }
}
