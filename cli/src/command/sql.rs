//! `exhibit sql`: a question, answered in aligned columns or in a format for programs.

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use proto::terminal::shown;
use serde_json::Value;

use crate::failure::Failure;
use crate::say::say;
use crate::service::{Service, ask};

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One SELECT, WITH, SHOW TABLES or DESCRIBE; tables are events, exchanges, sessions, disclosures, recorders
    statement: String,
    /// How the answer is printed
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns and the checkpoint, for people
    Table,
    /// The service's JSON
    Json,
    /// CSV with a header line
    Csv,
    /// One JSON object a line
    Ndjson,
}

impl Sql {
    pub(crate) async fn run(self, json: bool) -> Result<(), Failure> {
        let format = if json { Format::Json } else { self.format };
        let accept = match format {
            Format::Table | Format::Json => "application/json",
            Format::Csv => "text/csv",
            Format::Ndjson => "application/x-ndjson",
        };
        let request = self
            .service
            .client()?
            .post(self.service.url("/v1/sql"))
            .header("accept", accept)
            .header("content-type", "text/plain; charset=utf-8")
            .body(self.statement);
        let body = ask(request).await?.text().await.map_err(|error| {
            Failure::unreachable("answer_cut", format!("the answer broke off: {error}"))
        })?;
        if format == Format::Table {
            let answer: Value = serde_json::from_str(&body)
                .map_err(|error| Failure::unreachable("answer_unreadable", error))?;
            print_table(&answer);
        } else {
            say!("{}", body.trim_end());
        }
        Ok(())
    }
}

fn print_table(answer: &Value) {
    let columns = answer["columns"].as_array().cloned().unwrap_or_default();
    let rows = answer["rows"].as_array().cloned().unwrap_or_default();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(column_name));
    for row in &rows {
        table.add_row(row.as_array().into_iter().flatten().map(cell));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if rows.iter().all(|row| row[index].is_number() || row[index].is_null()) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    say!("{table}");
    say!("");
    say!(
        "{} rows, of a log of {} entries, at checkpoint",
        rows.len(),
        shown(&answer["tree_size"].to_string())
    );
    for line in answer["checkpoint"].as_str().unwrap_or_default().lines() {
        say!("  {}", shown(line));
    }
}

fn column_name(column: &Value) -> String {
    let name = column.as_str().or_else(|| column["name"].as_str()).unwrap_or_default();
    shown(name).into_owned()
}

/// Text as it is, everything else as JSON; what would command a terminal is shown, not obeyed.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    shown(&text).into_owned()
}
