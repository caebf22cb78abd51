//! What is let in, what is not, and that to tell takes neither long nor much stack.

use proptest::prelude::*;

use super::bounds::MAX_CHAIN;
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

#[test]
fn what_is_refused_is_named() {
    for (sql, named) in [
        ("EXPLAIN INSERT INTO events VALUES (1)", "INSERT is refused"),
        ("EXPLAIN COPY events TO 'x'", "COPY is refused"),
        ("WITH a AS (INSERT INTO events VALUES (1)) SELECT * FROM a", "INSERT is refused"),
        ("SELECT * INTO copy FROM events", "SELECT … INTO is refused"),
        ("SELECT * FROM events FOR UPDATE", "a lock (FOR UPDATE, FOR SHARE) is refused"),
        ("SHOW datafusion.execution.batch_size", "SHOW datafusion is refused"),
        ("EXPLAIN EXPLAIN SELECT 1", "EXPLAIN of EXPLAIN is refused: write EXPLAIN once"),
        ("EXPLAIN ANALYZE EXPLAIN SELECT 1", "EXPLAIN of EXPLAIN is refused: write EXPLAIN once"),
    ] {
        let told = admit(sql).unwrap_err().to_string();
        assert!(told.starts_with(named), "{sql}: {told}");
    }
}

/// What an auditor writes who knows SQL well.
const DEMANDING: &str = "
    WITH RECURSIVE days AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM days WHERE n < 30),
    calls AS (
        SELECT *, row_number() OVER (PARTITION BY subject ORDER BY recorded_at) AS nth,
               CAST(date_trunc('day', recorded_at) AS DATE) AS day
        FROM events WHERE kind IN ('RequestReceived', 'CallBlocked', 'CallDenied')
    ),
    weighed AS (
        SELECT subject, day, count(*) AS calls,
               sum(CASE WHEN verdict IS DISTINCT FROM 'allow' THEN 1 ELSE 0 END) AS refused,
               round(CAST(coalesce(nullif(sum(CASE WHEN (method = 'tools/call' AND (name LIKE '%delete%'
                   OR name IN (SELECT lower(trim(coalesce(t.name, ''))) FROM (SELECT DISTINCT name FROM events
                       WHERE leaf_index > (SELECT max(leaf_index) / 2 FROM (SELECT leaf_index FROM events) x)) t)))
                   THEN 1 ELSE 0 END), 0), 0) AS DOUBLE) / greatest(CAST(count(*) AS DOUBLE), 1.0), 3) AS share
        FROM calls c WHERE EXISTS (SELECT 1 FROM events e WHERE e.exchange_id = c.exchange_id
            AND e.kind = 'ResponseReturned' AND NOT EXISTS (SELECT 1 FROM (SELECT exchange_id FROM events
                WHERE (kind = 'Cancelled' OR (kind = 'CallBlocked' AND ((verdict) = ('block'))))) b
                WHERE b.exchange_id = e.exchange_id))
        GROUP BY subject, day
    )
    SELECT w.*, first_value(share) OVER (PARTITION BY w.subject ORDER BY w.day ROWS BETWEEN 7 PRECEDING AND CURRENT ROW)
    FROM (weighed w LEFT JOIN (days d CROSS JOIN (SELECT DISTINCT subject AS s FROM calls) p) ON p.s = w.subject)
    WHERE refused > 0 OR share BETWEEN 0.25 AND 1
    ORDER BY 1, 2 DESC NULLS LAST LIMIT 100";

#[test]
fn demanding_and_long_questions_are_admitted() {
    let numbers = (0..9_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let ctes = (1..100).map(|n| format!("t{n} AS (SELECT s FROM t{})", n - 1));
    let ctes = ctes.collect::<Vec<_>>().join(", ");
    for sql in [
        DEMANDING.to_owned(),
        format!("EXPLAIN ANALYZE {DEMANDING}"),
        format!("SELECT * FROM events WHERE leaf_index IN ({numbers})"),
        format!("SELECT coalesce({numbers})"),
        format!("WITH t0 AS (SELECT 1 AS s), {ctes} SELECT s FROM t99"),
        format!("SELECT {}'x'{}", "upper(".repeat(20), ")".repeat(20)),
        format!("SELECT {}1{}", "CAST(".repeat(20), " AS BIGINT)".repeat(20)),
        format!("SELECT * FROM {}events{}", "(SELECT * FROM ".repeat(9), ") x".repeat(9)),
    ] {
        let outcome = admit(&sql).map(|_| ());
        assert_eq!(outcome, Ok(()), "{}", sql.chars().take(90).collect::<String>());
    }
}

#[test]
fn tables_are_counted_where_they_would_stand() {
    let doubled = (1..30).map(|n| format!("t{n} AS (SELECT a.s FROM t{0} a, T{0} b)", n - 1));
    let doubled = doubled.collect::<Vec<_>>().join(", ");
    for sql in [
        format!("WITH t0 AS (SELECT 1 AS s), {doubled} SELECT s FROM t29"),
        format!("SELECT * FROM (WITH t0 AS (SELECT 1 AS s), {doubled} SELECT s FROM t29)"),
        format!("WITH x AS (SELECT 1 AS s) SELECT 1 FROM x{}", ",x".repeat(200)),
        format!("EXPLAIN SELECT 1 WHERE 1 IN (SELECT 1 FROM events{})", ",events".repeat(200)),
    ] {
        assert_eq!(code(&sql), "sql_too_complex", "{}", &sql[..90]);
    }
    // Not named, they are not put in.
    let unused = format!("WITH t0 AS (SELECT 1 AS s), {doubled} SELECT s FROM t2");
    assert_eq!(code(&unused), "admitted");
}

/// Everything that opens what another can stand in: before, the opening, in the middle, the closing.
const NESTS: &[(&str, &str, &str, &str)] = &[
    ("", "(", "SELECT 1", ")"),
    ("", "EXPLAIN ", "SELECT 1", ""),
    ("", "EXPLAIN ANALYZE VERBOSE ", "SELECT 1", ""),
    ("", "EXPLAIN (VERBOSE) ", "SELECT 1", ""),
    ("", "DESCRIBE ", "SELECT 1", ""),
    ("", "WITH a AS (", "SELECT 1", ") SELECT 1"),
    ("", "BEGIN ", "SELECT 1;", " END;"),
    ("", "IF 1=1 THEN ", "SELECT 1;", " END IF;"),
    ("", "PREPARE a AS ", "SELECT 1", ""),
    ("CREATE VIEW v AS ", "(", "SELECT 1", ")"),
    ("CREATE TABLE t (a ", "STRUCT<a ", "INT", ">"),
    ("CREATE TABLE t (a ", "Tuple(", "INT", ")"),
    ("CREATE TABLE t (a INT", "[]", "", ""),
    ("INSERT INTO t ", "(", "SELECT 1", ")"),
    ("MERGE INTO t USING ", "(", "t", ")"),
    ("DELETE FROM t USING ", "(", "t", ")"),
    ("SELECT ", "(", "1", ")"),
    ("SELECT ", "((SELECT ", "1", "))"),
    ("SELECT ", "(1,", "1", ")"),
    ("SELECT ", "f(", "1", ")"),
    ("SELECT ", "f(a => ", "1", ")"),
    ("SELECT ", "f(a := ", "1", ")"),
    ("SELECT ", "f(DISTINCT ", "1", ")"),
    ("SELECT ", "f(1) OVER (ORDER BY ", "1", ")"),
    ("SELECT ", "f(1) FILTER (WHERE ", "1", ")"),
    ("SELECT ", "f(x -> ", "1", ")"),
    ("SELECT ", "f((x, y) -> (", "1", "))"),
    ("SELECT ", "CAST(", "1", " AS INT)"),
    ("SELECT ", "TRY_CAST(", "1", " AS INT)"),
    ("SELECT ", "CAST(f(", "1", ") AS INT)"),
    ("SELECT ", "CONVERT(", "1", ", INT)"),
    ("SELECT ", "EXTRACT(DAY FROM ", "1", ")"),
    ("SELECT ", "CEIL(", "1", ")"),
    ("SELECT ", "TRIM(BOTH ", "1", ")"),
    ("SELECT ", "POSITION(", "1", " IN 1)"),
    ("SELECT ", "SUBSTRING(", "1", " FROM 1)"),
    ("SELECT ", "OVERLAY(", "1", " PLACING 1 FROM 1)"),
    ("SELECT ", "JSON_OBJECT(1:", "1", ")"),
    ("SELECT ", "XMLELEMENT(NAME a, ", "1", ")"),
    ("SELECT ", "EXISTS(SELECT ", "1", ")"),
    ("SELECT ", "NOT EXISTS(SELECT ", "1", ")"),
    ("SELECT ", "NOT(", "1", ")"),
    ("SELECT ", "INTERVAL(", "1", ")"),
    ("SELECT ", "a IN (", "1", ")"),
    ("SELECT 1", " = ANY(1", "", ")"),
    ("SELECT ", "CASE WHEN ", "1", " THEN 1 END"),
    ("SELECT ", "CASE ", "1", " WHEN 1 THEN 1 END"),
    ("SELECT ", "CASE WHEN 1 THEN CAST(", "1", " AS INT) END"),
    ("SELECT ", "[", "1", "]"),
    ("SELECT ", "ARRAY[", "1", "]"),
    ("SELECT ", "ARRAY(SELECT ", "1", ")"),
    ("SELECT a", "[a", "", "]"),
    ("SELECT ", "{a:", "1", "}"),
    ("SELECT ", "MAP {1:", "1", "}"),
    ("SELECT ", "STRUCT(", "1", ")"),
    ("SELECT ", "STRUCT<a ", "INT", ">"),
    ("SELECT ", "{fn f(", "1", ")}"),
    ("SELECT CAST(1 AS ", "ARRAY<", "INT", ">"),
    ("SELECT CAST(1 AS ", "Nullable(", "INT", ")"),
    ("SELECT ", "ARRAY<", "INT", ">"),
    ("SELECT ", "Nullable(", "INT", ")"),
    ("SELECT ", "Array(", "INT", ")"),
    ("SELECT a", ".a", ".(1)", ""),
    ("SELECT a", ".NOT a", "", ""),
    ("SELECT a", ".f(a", "", ")"),
    ("SELECT a", ".CASE WHEN a", "", " THEN a END"),
    ("SELECT a", ".CAST(a", "", " AS INT)"),
    ("SELECT ", "NOT ", "1", ""),
    ("SELECT ", "- ", "1", ""),
    ("SELECT ", "~", "1", ""),
    ("SELECT ", "PRIOR ", "1", ""),
    ("SELECT ", "INTERVAL ", "1", ""),
    ("SELECT ", "DATE ", "'x'", ""),
    ("SELECT ", "BINARY ", "1", ""),
    ("SELECT ", "a BETWEEN ", "1", ""),
    ("SELECT ", "a BETWEEN 1 AND ", "1", ""),
    ("SELECT ", "x(+) = (", "1", ")"),
    ("SELECT ", "(a, b) OVERLAPS (", "1", ")"),
    ("SELECT 1", "+1", "", ""),
    ("SELECT 1", "::INT", "", ""),
    ("SELECT 1", " IS NULL", "", ""),
    ("SELECT 1", " ISNULL", "", ""),
    ("SELECT 1", " NOTNULL", "", ""),
    ("SELECT 1", " AND NOT 1", "", ""),
    ("SELECT ''", "||''", "", ""),
    ("SELECT a", ":a", "", ""),
    ("SELECT a", " RLIKE a", "", ""),
    ("SELECT 1", " AT TIME ZONE 'x'", "", ""),
    ("SELECT 1", " COLLATE x", "", ""),
    ("SELECT 1", " UNION SELECT 1", "", ""),
    ("SELECT 1", " UNION (SELECT 1", "", ")"),
    ("SELECT 1 GROUP BY ", "ROLLUP(", "1", ")"),
    ("SELECT 1 GROUP BY ", "GROUPING SETS((", "1", "))"),
    ("SELECT * FROM ", "(", "t", ")"),
    ("SELECT * FROM ", "(", "t JOIN u ON 1=1", ")"),
    ("SELECT * FROM ", "(", "SELECT 1", ")"),
    ("SELECT * FROM ", "(SELECT * FROM ", "t", ") x"),
    ("SELECT * FROM ", "((SELECT * FROM ", "t", ") x JOIN u ON 1=1)"),
    ("SELECT * FROM ", "((SELECT CAST(1 AS INT) FROM ", "t", ") x JOIN u ON 1=1)"),
    ("SELECT * FROM ", "LATERAL (", "SELECT 1", ")"),
    ("SELECT * FROM ", "LATERAL (SELECT * FROM ", "t", ")"),
    ("SELECT * FROM ", "TABLE(", "1", ")"),
    ("SELECT * FROM ", "UNNEST(", "1", ")"),
    ("SELECT * FROM ", "(VALUES (", "1", "))"),
    ("SELECT * FROM a", " JOIN (b", "", ")"),
    ("SELECT * FROM a", " JOIN b", "", " ON 1=1"),
    ("SELECT * FROM a", " CROSS APPLY b", "", ""),
    ("SELECT * FROM a", ", a", "", ""),
    ("SELECT * FROM t", " PIVOT (sum(a) FOR b IN (1))", "", ""),
    ("SELECT * FROM t", " UNPIVOT (a FOR b IN (c))", "", ""),
    ("SELECT * FROM t MATCH_RECOGNIZE (PATTERN (", "(", "a", ")"),
    ("FROM t ", "|> WHERE (", "1", ")"),
    ("SELECT 1 FROM t WHERE ", "a IN (SELECT 1 FROM t WHERE ", "1", ")"),
    ("SELECT 1 FROM t WHERE ", "f(CAST(a AS INT), (SELECT 1 FROM t WHERE ", "1", "))"),
    ("SELECT 1", " $a", "", ""),
    ("SELECT 1", " $$", "", ""),
    ("SELECT 1", " q'[", "", ""),
    ("SELECT 1", "/* ", "", "*/"),
    ("SELECT 1", "'", "", ""),
    ("SELECT 1", " E'\\", "", "'"),
    ("SELECT 1", "\"", "", ""),
];

/// Nested so often, closed and left open.
fn nested(&(before, open, middle, close): &(&str, &str, &str, &str), times: usize) -> [String; 2] {
    let opened = format!("{before}{}{middle}", open.repeat(times));
    [format!("{opened}{}", close.repeat(times)), opened]
}

/// Fails when telling takes long, or more stack than a worker has: that would end the process.
fn soon(texts: impl IntoIterator<Item = String> + Send + 'static) {
    let telling = std::thread::Builder::new().stack_size(super::super::workers::STACK_BYTES);
    let telling = telling.spawn(move || {
        for text in texts {
            let began = std::time::Instant::now();
            let outcome = admit(&text).map(|_| ());
            let took = began.elapsed();
            let short: String = text.chars().take(120).collect();
            assert!(took < SOON, "{took:?} for {} bytes: {short}: {outcome:?}", text.len());
        }
    });
    telling.unwrap().join().unwrap();
}

/// On a machine that has much else to do, without optimization.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn every_nest_is_told_soon() {
    let nests = NESTS.iter().flat_map(|nest| {
        let fit = MAX_SQL_BYTES / (nest.1.len() + nest.3.len());
        let times = [2, 4, 8, 11, 14, 18, 24, 31, 48, 100, 990, 2_000, fit];
        times.into_iter().flat_map(|times| nested(nest, times))
    });
    soon(nests.filter(|text| text.len() <= MAX_SQL_BYTES));
}

proptest! {
    #[test]
    fn never_panics(text in ".{0,200}", words in prop::collection::vec(
        prop::sample::select(vec!["SELECT", "FROM", "(", ")", "WITH", "AS", "a", ",", "*", "UNION", "EXPLAIN",
            "NOT", "-", "1", "'", "\"", ";", "INSERT", "CASE", "WHEN", "THEN", "END", "::", "[", "]", "CAST(", "f(",
            "AS INT)", ".", "INTERVAL", "JOIN", "BETWEEN", "AND", "EXISTS(", "DATE", "IN", "<", "ARRAY", "{", "}"]), 0..400)) {
        let _outcome = admit(&text).is_ok();
        soon([words.join(" ")]);
    }

    /// Nests within nests: what opens one may stand in any other.
    #[test]
    fn mixed_nests_are_told_soon(picked in prop::collection::vec(0..NESTS.len(), 1..40), closed in any::<bool>()) {
        let picked: Vec<_> = picked.into_iter().map(|index| NESTS[index]).collect();
        let mut text = format!("{}{}", picked[0].0, picked.iter().map(|nest| nest.1).collect::<String>());
        text.push('1');
        if closed {
            text.extend(picked.iter().rev().map(|nest| nest.3));
        }
        soon([text]);
    }
}
