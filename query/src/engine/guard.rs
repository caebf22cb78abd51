//! Which SQL is let in: one statement, and only one that reads. Decided on the parsed statement, never on text;
//! the plan is checked once more by DataFusion's own options.
//!
//! Reading the text is bounded, too: by its tokens before it is parsed, by the parser's steps, and by what it would
//! come to when it is planned. It still belongs into [`workers`](super::workers), whose stack is made for it.

mod bounds;
mod steps;
mod tables;
#[cfg(test)]
mod tests;

use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::SqlError;
use steps::Counting;

/// Longest SQL text, in bytes.
pub const MAX_SQL_BYTES: usize = 64 * 1024;

/// A statement that may be planned.
#[derive(Debug)]
pub(crate) struct Admitted(pub(crate) Parsed);

/// # Errors
/// Why the text is refused; nothing was planned or run.
pub(crate) fn admit(sql: &str) -> Result<Admitted, SqlError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(SqlError::TooLong { size_bytes: sql.len(), limit_bytes: MAX_SQL_BYTES });
    }
    let dialect = Counting::default();
    let tokens = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|error| syntax(&ParserError::TokenizerError(error.to_string())))?;
    bounds::check(&tokens)?;
    let first_word = first_word(&tokens);
    let parser = DFParserBuilder::new(tokens).with_dialect(&dialect).build();
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = match statements {
        Ok(statements) => statements,
        Err(_) if dialect.is_exhausted() => {
            let deep = "its brackets, functions and casts can be read in too many ways";
            return Err(SqlError::TooComplex(deep.to_owned()));
        }
        // A malformed statement that would have written is told so.
        Err(_) if WRITING.contains(&first_word.as_str()) => {
            return Err(SqlError::NotReadOnly { found: first_word });
        }
        Err(error) => return Err(SqlError::planning(&error)),
    };
    match (statements.pop_front(), statements.len()) {
        (None, _) => Err(SqlError::Empty),
        (Some(statement), 0) => {
            check(&statement)?;
            Ok(Admitted(statement))
        }
        (Some(_), others) => Err(SqlError::MoreThanOne { count: others + 1 }),
    }
}

/// Where and why the parser stopped.
pub(crate) fn syntax(error: &ParserError) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::TooComplex("it is nested too deeply".to_owned());
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    // The parser tells the place at the end of its text: `… at Line: 1, Column: 8`.
    let place = message.rsplit_once(" at Line: ").and_then(|(before, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((before, line.parse().ok()?, column.parse().ok()?))
    });
    match place {
        Some((before, line, column)) => {
            SqlError::Syntax { message: before.to_owned(), line: Some(line), column: Some(column) }
        }
        None => SqlError::Syntax { message: message.clone(), line: None, column: None },
    }
}

const WRITING: [&str; 16] = [
    "ALTER", "ANALYZE", "COPY", "CREATE", "DELETE", "DROP", "EXECUTE", "GRANT", "INSERT", "MERGE",
    "PREPARE", "RESET", "SET", "TRUNCATE", "UPDATE", "VACUUM",
];

fn first_word(tokens: &[TokenWithSpan]) -> String {
    let first_word = tokens.iter().find_map(|token| match &token.token {
        Token::Word(word) => Some(word.value.to_ascii_uppercase()),
        _ => None,
    });
    first_word.unwrap_or_default()
}

/// Does it only read, and not too much at a time?
fn check(statement: &Parsed) -> Result<(), SqlError> {
    match statement {
        Parsed::Statement(statement) => {
            statement_reads_only(statement)?;
            tables::check(statement.as_ref())
        }
        Parsed::Explain(explain) => match explain.statement.as_ref() {
            Parsed::Explain(_) => Err(explained_twice()),
            explained => check(explained),
        },
        writing => Err(not_read_only(writing)),
    }
}

fn statement_reads_only(statement: &Statement) -> Result<(), SqlError> {
    match statement {
        Statement::Query(query) => query_reads_only(query),
        Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ExplainTable { .. } => Ok(()),
        // As DESCRIBE: EXPLAIN is the parser's own.
        Statement::Explain { statement, .. } => match statement.as_ref() {
            Statement::Query(query) => query_reads_only(query),
            Statement::Explain { .. } => Err(explained_twice()),
            other => Err(not_read_only(other)),
        },
        other => Err(not_read_only(other)),
    }
}

fn query_reads_only(query: &Query) -> Result<(), SqlError> {
    if !query.locks.is_empty() {
        return Err(SqlError::NotReadOnly { found: "a lock (FOR UPDATE, FOR SHARE)".to_owned() });
    }
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        query_reads_only(&cte.query)?;
    }
    body_reads_only(&query.body)
}

fn body_reads_only(body: &SetExpr) -> Result<(), SqlError> {
    match body {
        SetExpr::Select(select) if select.into.is_some() => {
            Err(SqlError::NotReadOnly { found: "SELECT … INTO".to_owned() })
        }
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
        SetExpr::Query(query) => query_reads_only(query),
        SetExpr::SetOperation { left, right, .. } => {
            body_reads_only(left)?;
            body_reads_only(right)
        }
        writing => Err(not_read_only(writing)),
    }
}

fn explained_twice() -> SqlError {
    SqlError::Invalid("EXPLAIN of EXPLAIN is refused: write EXPLAIN once".to_owned())
}

/// Names a statement by its first word, and SHOW by what it would show.
fn not_read_only(statement: &impl ToString) -> SqlError {
    let text = statement.to_string();
    let words = if text.starts_with("SHOW ") { 2 } else { 1 };
    let found: Vec<&str> = text.split_whitespace().take(words).collect();
    SqlError::NotReadOnly { found: found.join(" ") }
}
