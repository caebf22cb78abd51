//! Kinds of SQL statements in the arguments of a call.
//!
//! A string is SQL when its member is named like one (`sql`, `query`, …) or when it begins with a keyword that
//! begins statements; in the second case it must also parse, so that prose stays prose. Statements are
//! counted wherever they stand: one after another, in a CTE, under EXPLAIN. What does not parse is searched
//! token by token for the statements that destroy most.

mod classify;
mod tokens;

use std::collections::BTreeMap;

use sqlparser::dialect::{Dialect, GenericDialect, MsSqlDialect, MySqlDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;

use crate::json::{Kind, Node};

/// Longest text that is parsed; a longer one is only searched by tokens.
const MAX_PARSED_BYTES: usize = 64 * 1024;
/// Text that is parsed in one message; what is beyond is only searched by tokens.
const MAX_PARSED_BYTES_PER_MESSAGE: usize = 1024 * 1024;
/// Deepest nesting of expressions that the parser follows.
const RECURSION_LIMIT: usize = 48;

/// Text of a member with such a name begins with SQL, but cannot be parsed.
const UNPARSED: &str = "unparsed";

type Statements = BTreeMap<&'static str, u32>;

/// Adds the statements of every string in `arguments`.
pub(super) fn collect(arguments: Node<'_>, statements: &mut Statements) {
    let mut budget = MAX_PARSED_BYTES_PER_MESSAGE;
    walk(arguments, false, &mut budget, statements);
}

fn walk(node: Node<'_>, named: bool, budget: &mut usize, statements: &mut Statements) {
    match node.kind() {
        Kind::Object => {
            for member in node.members() {
                walk(member.value, is_sql_name(&member.key), budget, statements);
            }
        }
        Kind::Array => node.elements().for_each(|node| walk(node, named, budget, statements)),
        Kind::String => {
            if let Some(text) = node.as_str() {
                of_text(&text, named, budget, statements);
            }
        }
        _ => {}
    }
}

fn is_sql_name(name: &str) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    matches!(
        name.as_str(),
        "sql" | "query" | "queries" | "statement" | "statements" | "stmt" | "commandsql" | "script"
    ) || name.ends_with("sql")
        || name.starts_with("sql")
        || name.ends_with("query")
}

fn of_text(text: &str, named: bool, budget: &mut usize, statements: &mut Statements) {
    let begins = tokens::begins_statement(text);
    if !named && !begins {
        return;
    }
    if text.len() <= MAX_PARSED_BYTES.min(*budget) {
        *budget -= text.len();
        if let Some(found) = parsed(text) {
            for label in found {
                add(statements, label);
            }
            return;
        }
    }
    if named && begins {
        add(statements, UNPARSED);
    }
    for label in tokens::destructive(text, named && begins) {
        add(statements, label);
    }
}

fn add(statements: &mut Statements, label: &'static str) {
    let count = statements.entry(label).or_default();
    *count = count.saturating_add(1);
}

/// Labels of the statements, when some dialect reads the whole text.
fn parsed(text: &str) -> Option<Vec<&'static str>> {
    let dialects: [&dyn Dialect; 4] =
        [&GenericDialect {}, &PostgreSqlDialect {}, &MySqlDialect {}, &MsSqlDialect {}];
    dialects.into_iter().find_map(|dialect| {
        let statements = Parser::new(dialect)
            .with_recursion_limit(RECURSION_LIMIT)
            .try_with_sql(text)
            .and_then(|mut parser| parser.parse_statements())
            .ok()?;
        (!statements.is_empty()).then(|| statements.iter().flat_map(classify::labels).collect())
    })
}

#[cfg(test)]
mod tests;
