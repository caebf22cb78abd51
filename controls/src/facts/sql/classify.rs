//! Labels of a parsed statement.

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
    let text = statement.to_string();
    match text.split_whitespace().next().unwrap_or_default() {
        "CREATE" => "create",
        "ALTER" | "RENAME" => "alter",
        "DROP" => "drop_other",
        _ => "other",
    }
}
