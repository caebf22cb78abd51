//! Labels of a parsed statement.

use std::fmt::Write;
use std::ops::ControlFlow;

use sqlparser::ast::{Delete, ObjectType, SetExpr, Statement, Update, Visit, Visitor};

/// Labels of a statement and of the statements inside it.
pub(super) fn labels(statement: &Statement) -> Vec<&'static str> {
    let mut collector = Collector(Vec::new());
    // The visitor never breaks.
    let _: ControlFlow<()> = statement.visit(&mut collector);
    collector.0
}

struct Collector(Vec<&'static str>);

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        self.0.extend(label(statement));
        ControlFlow::Continue(())
    }
}

fn label(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        // `WITH … DELETE …` is a query around the statement that the visitor comes to next.
        Statement::Query(query) => match *query.body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                return None;
            }
            _ => "select",
        },
        Statement::Insert(_) => "insert",
        Statement::Update(Update { selection: None, .. }) => "update_without_where",
        Statement::Update(_) => "update",
        Statement::Delete(Delete { selection: None, .. }) => "delete_without_where",
        Statement::Delete(_) => "delete",
        Statement::Drop { object_type, .. } => match object_type {
            ObjectType::Table => "drop_table",
            ObjectType::Database | ObjectType::Schema => "drop_database",
            _ => "drop_other",
        },
        Statement::Truncate(_) => "truncate",
        Statement::Grant(_) | Statement::Revoke(_) | Statement::Deny(_) => "grant",
        other => by_first_word(other),
    })
}

/// The many variants of CREATE, ALTER and DROP tell their kind by the word they are written with.
fn by_first_word(statement: &Statement) -> &'static str {
    let mut first = FirstWord(String::new());
    // Writing ends with an error right after the word: the rest of the statement is never written.
    let _: std::fmt::Result = write!(first, "{statement}");
    match first.0.as_str() {
        "CREATE" => "create",
        "ALTER" | "RENAME" => "alter",
        "DROP" => "drop_other",
        _ => "other",
    }
}

struct FirstWord(String);

impl Write for FirstWord {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            if character.is_whitespace() || self.0.len() > 16 {
                return Err(std::fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}
