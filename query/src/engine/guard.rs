//! Which SQL is let in: one statement, and only one that reads. Decided on the parsed statement, never on text;
//! the plan is checked once more by DataFusion's own options.

use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::SqlError;

/// Longest SQL text, in bytes.
pub const MAX_SQL_BYTES: usize = 64 * 1024;
/// Most operators and set operations in a statement. The planner recurses on them; its stack is made for these.
const MAX_CHAIN: usize = 1_000;

/// A statement that may be planned.
#[derive(Debug)]
pub(crate) struct Admitted(pub(crate) Parsed);

/// # Errors
/// Why the text is refused; nothing was planned or run.
pub(crate) fn admit(sql: &str) -> Result<Admitted, SqlError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(SqlError::TooLong { size_bytes: sql.len(), limit_bytes: MAX_SQL_BYTES });
    }
    let first_word = check_tokens(sql)?;
    let parser = DFParserBuilder::new(sql).with_dialect(&GenericDialect {}).build();
    let statements = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = match statements {
        Ok(statements) => statements,
        // A malformed statement that would have written is told so.
        Err(_) if WRITING.contains(&first_word.as_str()) => {
            return Err(SqlError::NotReadOnly { found: first_word });
        }
        Err(error) => return Err(SqlError::planning(&error)),
    };
    let count = statements.len();
    match (statements.pop_front(), count) {
        (None, _) => Err(SqlError::Empty),
        (Some(statement), 1) if reads_only(&statement) => Ok(Admitted(statement)),
        (Some(_), 1) => Err(SqlError::NotReadOnly { found: first_word }),
        (Some(_), count) => Err(SqlError::MoreThanOne { count }),
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

/// Bounds what planning recurses on, and returns the first word in capitals.
fn check_tokens(sql: &str) -> Result<String, SqlError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize()
        .map_err(|error| syntax(&ParserError::TokenizerError(error.to_string())))?;
    let chained = tokens.iter().filter(|token| is_chaining(token)).count();
    if chained > MAX_CHAIN {
        return Err(SqlError::TooComplex(format!(
            "it has {chained} operators, at most {MAX_CHAIN} are accepted"
        )));
    }
    let first_word = tokens.iter().find_map(|token| match token {
        Token::Word(word) => Some(word.value.to_ascii_uppercase()),
        _ => None,
    });
    Ok(first_word.unwrap_or_default())
}

/// Everything but names, literals, brackets, commas and the words that shape a query.
fn is_chaining(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::XOR
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::DIV
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::MINUS
                | Keyword::JOIN
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::EOF => false,
        _ => true,
    }
}

fn reads_only(statement: &Parsed) -> bool {
    match statement {
        Parsed::Statement(statement) => match statement.as_ref() {
            Statement::Query(query) => query_reads_only(query),
            Statement::ShowTables { .. }
            | Statement::ShowColumns { .. }
            | Statement::ExplainTable { .. } => true,
            Statement::Explain { statement, .. } => {
                matches!(statement.as_ref(), Statement::Query(query) if query_reads_only(query))
            }
            _ => false,
        },
        Parsed::Explain(explain) => {
            matches!(explain.statement.as_ref(), Parsed::Statement(_))
                && reads_only(&explain.statement)
        }
        Parsed::CreateExternalTable(_) | Parsed::CopyTo(_) | Parsed::Reset(_) => false,
    }
}

fn query_reads_only(query: &Query) -> bool {
    let mut ctes = query.with.iter().flat_map(|with| &with.cte_tables);
    query.locks.is_empty()
        && ctes.all(|cte| query_reads_only(&cte.query))
        && body_reads_only(&query.body)
}

fn body_reads_only(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => query_reads_only(query),
        SetExpr::SetOperation { left, right, .. } => {
            body_reads_only(left) && body_reads_only(right)
        }
        SetExpr::Values(_) | SetExpr::Table(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(sql: &str) -> &'static str {
        admit(sql).map_or_else(|error| error.code(), |_| "admitted")
    }

    #[test]
    fn reading_is_admitted() {
        for sql in [
            "SELECT 1",
            "select * from events where kind = 'drop table x; delete'",
            "WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT 2;",
            "VALUES (1), (2)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "SHOW TABLES",
            "SHOW COLUMNS FROM events",
            "DESCRIBE events",
            "-- a comment\nSELECT 1",
            "(SELECT 1)",
        ] {
            assert_eq!(code(sql), "admitted", "{sql}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for sql in [
            "INSERT INTO events VALUES (1)",
            "UPDATE events SET kind = ''",
            "DELETE FROM events",
            "CREATE TABLE a AS SELECT 1",
            "CREATE VIEW a AS SELECT 1",
            "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE EXTERNAL TABLE a LOCATION",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "COPY events TO '/tmp/x.csv'",
            "COPY (SELECT 1) TO '/tmp/x' STORED AS CSV",
            "DROP TABLE events",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "TRUNCATE TABLE events",
            "PREPARE a AS SELECT 1",
            "EXECUTE a",
            "GRANT SELECT ON events TO x",
            "EXPLAIN INSERT INTO events VALUES (1)",
            "EXPLAIN COPY events TO 'x'",
            "SELECT * INTO copy FROM events",
            "SELECT * FROM events FOR UPDATE",
            "WITH a AS (INSERT INTO events VALUES (1)) SELECT * FROM a",
            "BEGIN",
            "COMMIT",
            "SHOW datafusion.execution.batch_size",
            "USE x",
        ] {
            assert_eq!(code(sql), "sql_not_read_only", "{sql}");
        }
        assert_eq!(code("SELECT 1; SELECT 2"), "sql_more_than_one_statement");
        assert_eq!(code("SELECT 1; DROP TABLE events"), "sql_more_than_one_statement");
        for sql in ["", " ", ";", "-- nothing"] {
            assert_eq!(code(sql), "sql_empty", "{sql:?}");
        }
        assert_eq!(code(&format!("SELECT '{}'", "x".repeat(MAX_SQL_BYTES))), "sql_too_long");
        assert_eq!(code(&format!("SELECT 1{}", "+1".repeat(MAX_CHAIN + 1))), "sql_too_complex");
        let nested = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(code(&nested), "sql_too_complex");
    }

    #[test]
    fn syntax_errors_tell_the_place() {
        let Err(SqlError::Syntax { line, column, .. }) = admit("SELECT\n  1 )") else {
            panic!("a syntax error was expected");
        };
        assert_eq!((line, column), (Some(2), Some(5)));
        let Err(SqlError::Syntax { line: Some(1), .. }) = admit("SELECT 'open") else {
            panic!("a syntax error was expected");
        };
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}", words in prop::collection::vec(
            prop::sample::select(vec!["SELECT", "FROM", "(", ")", "WITH", "AS", "a", ",", "*", "UNION", "EXPLAIN",
                "NOT", "-", "1", "'", "\"", ";", "INSERT", "CASE", "WHEN", "END", "::", "[", "]"]), 0..60)) {
            let _outcome = admit(&text).is_ok();
            let _outcome = admit(&words.join(" ")).is_ok();
        }
    }
}
