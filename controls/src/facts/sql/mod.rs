//! Kinds of SQL statements in the arguments of a call.
//!
//! A string is SQL when its member is named like one (`sql`, `query`, …) or when it begins with a keyword that
//! begins statements; in the second case it must also parse, so that prose stays prose. Statements are
//! counted wherever they stand: one after another, in a CTE, under EXPLAIN. Nobody knows which server will read
//! the text, so its labels are those of all dialects together, and every text is also searched token by token,
//! as each family of servers reads comments and strings.
//!
//! Time and stack are bounded for every text: what is beyond the bounds is searched by tokens alone.

mod begin;
mod classify;
mod lexer;
mod metered;
mod parse;
mod search;
mod shape;
mod words;

use std::collections::BTreeMap;

use crate::json::{Kind, Node};
use shape::Eye;

/// Text that should be SQL and cannot be parsed, or is beyond the bounds of parsing.
const UNPARSED: &str = "unparsed";
/// Dialects disagree on where a comment or string ends, so what one server runs another skips.
const AMBIGUOUS: &str = "ambiguous";

/// Text of one message that is read in every way.
const MAX_SEARCHED_BYTES: usize = 256 * 1024;

type Statements = BTreeMap<&'static str, u32>;

struct Budget {
    parsing: parse::Budget,
    searching: search::Budget,
}

/// Adds the statements of every string in `arguments`.
pub(super) fn collect(arguments: Node<'_>, statements: &mut Statements) {
    let mut budget = Budget {
        parsing: parse::Budget::of_message(),
        searching: search::Budget(MAX_SEARCHED_BYTES),
    };
    walk(arguments, false, &mut budget, statements);
}

fn walk(node: Node<'_>, named: bool, budget: &mut Budget, statements: &mut Statements) {
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

fn of_text(text: &str, named: bool, budget: &mut Budget, statements: &mut Statements) {
    let begins = begin::begins_statement(text);
    if !named && !begins {
        return;
    }
    let parsed = parse::parse(text, &mut budget.parsing);
    let is_sql = parsed.is_sql || (begins && (named || parsed.is_beyond));
    let eye = match (is_sql, named) {
        (true, _) => Eye::Open,
        (false, true) => Eye::Wary,
        (false, false) => Eye::Narrow,
    };
    let mut found = search::search(text, eye, &mut budget.searching);
    keep_most(&parsed.labels, &mut found.labels);
    for (label, count) in found.labels {
        let known = statements.entry(label).or_default();
        *known = known.saturating_add(count);
    }
    if is_sql && (!parsed.is_sql || parsed.is_beyond) {
        add(statements, UNPARSED);
    }
    if is_sql && found.is_ambiguous {
        add(statements, AMBIGUOUS);
    }
}

fn add(statements: &mut Statements, label: &'static str) {
    let count = statements.entry(label).or_default();
    *count = count.saturating_add(1);
}

/// The same text read in two ways: each label counts as often as in the way that has most of it.
fn keep_most(labels: &Statements, most: &mut Statements) {
    for (label, count) in labels {
        let known = most.entry(label).or_default();
        *known = (*known).max(*count);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "tests/bounds.rs"]
mod bounds_tests;
