//! The first exceptions of a criterion, as a table that fits a page.

use maud::{Markup, html};
use query::Table;
use verifier::layout::csv;

use crate::criteria::Criterion;

/// Rows that are shown; all are in the CSV.
const SHOWN_ROWS: usize = 20;
/// Columns that no reader of a page looks at; they stand in the CSV.
const LEFT_OUT: [&str; 4] = ["exchange_id", "recorder_id", "first_snapshot", "second_snapshot"];

/// The table. Columns that are empty in every row shown tell nothing; one with the same cell in every row is told once.
pub(super) fn table(criterion: &Criterion, table: &Table) -> Markup {
    let shown = table.rows.len().min(SHOWN_ROWS);
    let rows: Vec<Vec<&str>> = table
        .rows
        .iter()
        .take(shown)
        .map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or_default()).collect())
        .collect();
    let columns: Vec<Column<'_>> =
        table.columns.iter().enumerate().map(|(at, name)| Column::of(at, name, &rows)).collect();
    let varying: Vec<&Column<'_>> =
        columns.iter().filter(|column| column.says == Says::Varies).collect();
    let same: Vec<String> = columns
        .iter()
        .filter_map(|column| match column.says {
            Says::Same(cell) => Some(format!("{} {}", column.name, csv::cell(cell))),
            _ => None,
        })
        .collect();
    html! {
        @if !same.is_empty() { p.small { "In every row shown: " (same.join("; ")) "." } }
        div.scroll { table {
            thead { tr { @for column in &varying { th { (column.name) } } } }
            tbody {
                @for row in &rows {
                    tr { @for column in &varying {
                        td { (csv::cell(row.get(column.at).copied().unwrap_or_default())) }
                    } }
                }
            }
        } }
        @if table.rows.len() > shown {
            p.small { "The first " (shown) " of " (table.rows.len()) "; all are in criteria/" (criterion.id) "/." }
        }
    }
}

struct Column<'a> {
    at: usize,
    name: &'a str,
    says: Says<'a>,
}

#[derive(PartialEq, Eq)]
enum Says<'a> {
    Nothing,
    Same(&'a str),
    Varies,
}

impl<'a> Column<'a> {
    fn of(at: usize, name: &'a str, rows: &[Vec<&'a str>]) -> Self {
        let mut cells = rows.iter().map(|row| row.get(at).copied().unwrap_or_default());
        let first = cells.next().unwrap_or_default();
        let same = cells.all(|cell| cell == first);
        let says = match (same, first) {
            _ if LEFT_OUT.contains(&name) => Says::Nothing,
            (true, "") => Says::Nothing,
            // The first column says where the evidence is; of a single row everything is told in the table.
            (true, cell) if at > 0 && rows.len() > 1 => Says::Same(cell),
            _ => Says::Varies,
        };
        Self { at, name, says }
    }
}
