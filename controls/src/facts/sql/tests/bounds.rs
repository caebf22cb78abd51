//! Texts made to cost time or stack.

use std::time::{Duration, Instant};

use super::*;
use crate::json::Document;

/// Stack of a thread that serves connections.
const STACK_BYTES: usize = 2 << 20;

fn collect_from(sql: &str) -> Vec<&'static str> {
    let message = serde_json::json!({ "sql": sql }).to_string();
    let document = Document::parse(message.as_bytes()).unwrap();
    let mut statements = Statements::new();
    collect(document.root(), &mut statements);
    statements.into_keys().collect()
}

/// Forms that nest: what opens a level, what stands innermost, what closes a level.
const NESTED: &[(&str, &str, &str, &str)] = &[
    ("SELECT ", "(", "1", ")"),
    ("SELECT * FROM ", "(", "t JOIN u ON 1=1", ")"),
    ("SELECT * FROM ", "(", "select 1", ")"),
    ("", "(", "select 1", ")"),
    ("SELECT ", "f(", "1", ")"),
    ("SELECT ", "f(a=>", "1", ")"),
    ("SELECT ", "f(a:=", "1", ")"),
    ("SELECT ", "f(KEY a VALUE ", "1", ")"),
    ("SELECT ", "a IN (", "1", ")"),
    ("SELECT ", "CASE WHEN ", "1", " THEN 1 END"),
    ("SELECT ", "CASE ", "1", " WHEN 1 THEN 1 END"),
    ("SELECT ", "EXISTS(", "select 1", ")"),
    ("SELECT ", "CAST(", "1", " AS INT)"),
    ("SELECT ", "TRY_CAST(", "1", " AS INT)"),
    ("SELECT ", "CONVERT(", "1", ", INT)"),
    ("SELECT ", "[", "1", "]"),
    ("SELECT ", "ARRAY[", "1", "]"),
    ("SELECT a", "[a", "", "]"),
    ("SELECT ", "{a:", "1", "}"),
    ("SELECT ", "{fn f(", "1", ")}"),
    ("SELECT ", "(1,", "1", ")"),
    ("SELECT ", "MAP {1:", "1", "}"),
    ("SELECT CAST(1 AS ", "ARRAY<", "INT", ">"),
    ("SELECT ", "STRUCT<a ", "INT", ">"),
    ("CREATE TABLE t (a ", "STRUCT<a ", "INT", ">"),
    ("CREATE TABLE t (a ", "STRUCT<b INT, a ", "INT", ">"),
    ("CREATE TABLE t (a ", "Tuple(", "INT", ")"),
    ("SELECT CAST(1 AS ", "Nullable(", "INT", ")"),
    ("SELECT ", "a BETWEEN ", "1", " AND 2"),
    ("SELECT ", "INTERVAL ", "1", " DAY"),
    ("SELECT ", "NOT ", "1", ""),
    ("SELECT ", "- ", "1", ""),
    ("SELECT ", "~", "1", ""),
    ("SELECT ", "DATE ", "'x'", ""),
    ("SELECT ", "BINARY ", "1", ""),
    ("SELECT ", "PRIOR ", "1", ""),
    ("SELECT ", "a.", "!", ""),
    ("SELECT ", "a.b(", "1", ")"),
    ("SELECT f(", "x -> ", "1", ""),
    ("SELECT f(", "(x,y) -> (", "1", ")"),
    ("", "EXPLAIN ", "SELECT 1", ""),
    ("", "PREPARE a AS ", "SELECT 1", ""),
    ("", "WITH a AS (", "select 1", ") select 1"),
    ("SELECT 1 GROUP BY ", "ROLLUP (", "1", ")"),
    ("SELECT 1 GROUP BY ", "(", "1", ")"),
    ("SELECT 1", " UNION (SELECT 1", "", ")"),
    ("", "BEGIN ", "SELECT 1;", " END;"),
    ("", "IF 1=1 THEN ", "SELECT 1;", " END IF;"),
    ("", "WHILE 1=1 BEGIN ", "SELECT 1;", " END;"),
    ("SELECT * FROM ", "LATERAL (", "select 1", ")"),
    ("SELECT * FROM ", "TABLE(", "1", ")"),
    ("SELECT * FROM ", "UNNEST(", "1", ")"),
    ("SELECT * FROM a", " JOIN (b", "", ")"),
    ("SELECT * FROM a", " JOIN b", "", " ON 1=1"),
    ("SELECT ", "f(1) OVER (ORDER BY ", "1", ")"),
    ("SELECT ", "f() FILTER (WHERE ", "1", ")"),
    ("CREATE VIEW v AS ", "(", "select 1", ")"),
    ("INSERT INTO t ", "(", "select 1", ")"),
    ("DELETE FROM t USING ", "(", "t", ")"),
    ("MERGE INTO t USING ", "(", "t", ") ON 1=1 WHEN MATCHED THEN DELETE"),
    ("SELECT ", "TRIM(BOTH ", "1", ")"),
    ("SELECT ", "POSITION(", "1", " IN 1)"),
    ("SELECT ", "SUBSTRING(", "1", " FROM 1)"),
    ("SELECT ", "OVERLAY(", "1", " PLACING 1 FROM 1)"),
    ("SELECT ", "EXTRACT(DAY FROM ", "1", ")"),
    ("SELECT ", "JSON_OBJECT(1:", "1", ")"),
    ("SELECT ", "CEIL(", "1", ")"),
    ("SELECT 1", " = ANY(1", "", ")"),
    ("SELECT ", "a LIKE ", "1", ""),
    ("SELECT ", "a MATCH ", "1", ""),
    ("SELECT ", "x(+) = (", "1", ")"),
    ("SELECT ", "CAST(f(CASE WHEN (", "1", ") THEN 1 END) AS INT)"),
    ("SELECT ", "f(CAST(a.b(POSITION(", "1", " IN 1)) AS INT))"),
    ("SELECT ", "INTERVAL f(", "1", ") DAY"),
    ("SELECT ", "(SELECT CAST(", "1", " AS INT))"),
    ("SELECT ", "/*", "", "*/"),
    ("SELECT ", "$a$", "", "$b$"),
    ("SELECT ", "'", "", ""),
    ("", "DO 'EXECUTE ", "1", "'"),
];

/// Forms that go on: the beginning, and what is repeated.
const CHAINED: &[(&str, &str)] = &[
    ("SELECT 1", "+1"),
    ("SELECT 1", "+a.b(1)"),
    ("SELECT 1 WHERE a", " AND a"),
    ("SELECT 1 WHERE a", " OR a AND b"),
    ("SELECT ''", "||''"),
    ("SELECT 1", " UNION SELECT 1"),
    ("SELECT 1", " UNION SELECT 1, 2"),
    ("SELECT 1", "::int"),
    ("SELECT 1", " IS NULL"),
    ("SELECT 1", "!"),
    ("SELECT 1", " COLLATE x"),
    ("SELECT 1", " AT TIME ZONE 'x'"),
    ("SELECT a", ".a"),
    ("SELECT a", "[1]"),
    ("SELECT a", ":a"),
    ("SELECT a", " IN (1, 2)"),
    ("SELECT a", " BETWEEN 1 AND 2"),
    ("SELECT * FROM a", " JOIN a"),
    ("SELECT * FROM a", " JOIN a ON 1=1"),
    ("SELECT * FROM a", " CROSS APPLY b"),
    ("SELECT * FROM t", " PIVOT (sum(a) FOR b IN (1))"),
    ("FROM t", " |> WHERE 1"),
    ("CREATE TABLE t (a INT", "[]"),
    ("CREATE TABLE t (a INT", ", b INT"),
    ("CREATE VIEW v AS SELECT 1", "+1"),
    ("SELECT 1", ", CAST(CAST(CAST(1"),
    ("SELECT 1", ", CAST(f(1) AS INT)"),
    ("SELECT 1", ", f(f(f(f(f(1)))))"),
    ("SELECT 1", "; SELECT 1"),
    ("SELECT 1", "; SELECT f(f(f(f(f(f(1))))))"),
    ("INSERT INTO t VALUES (1, 'a')", ", (1, 'a')"),
    ("SELECT 'a'", " 'a'"),
    ("EXEC 'a'", ", 'DROP'"),
    ("SELECT ", "$"),
    ("SELECT ", "UPDATE ("),
    ("DELETE FROM t ", "UPDATE t SET "),
];

fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for (start, open, inner, close) in NESTED {
        let most = (30_000 / (open.len() + close.len())).max(1);
        for levels in [4, 8, 11, 23, 47, 290, most] {
            let levels = levels.min(most);
            let opened = format!("{start}{}{inner}", open.repeat(levels));
            texts.push(format!("{opened}{}", close.repeat(levels)));
            texts.push(format!("{opened}{} !", close.repeat(levels)));
            texts.push(opened);
        }
    }
    for (start, unit) in CHAINED {
        let most = 30_000 / unit.len();
        for length in [20, 140, 290, 590, 4000, most] {
            texts.push(format!("{start}{}", unit.repeat(length.min(most))));
        }
    }
    texts
}

#[test]
fn no_text_costs_much_time_or_stack() {
    let work = || {
        let mut slowest = (Duration::ZERO, String::new());
        for text in texts() {
            let start = Instant::now();
            collect_from(&text);
            let time = start.elapsed();
            if time > slowest.0 {
                slowest = (time, text);
            }
        }
        slowest
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap();
    let (time, text) = thread.join().unwrap();
    let start: String = text.chars().take(60).collect();
    println!("slowest: {time:?} for {} bytes: {start}", text.len());
    // A small part of a second on an idle machine, minutes without bounds.
    assert!(time < Duration::from_millis(800), "{time:?} for {} bytes: {start}", text.len());
}

/// Statements beyond the bounds of the parser are still found.
#[test]
fn beyond_the_bounds_tokens_tell() {
    for (start, open, inner, close) in NESTED {
        let levels = 600 / (open.len() + close.len()) + 30;
        let nested = format!("{start}{}{inner}{}", open.repeat(levels), close.repeat(levels));
        if nested.contains(['\'', '$']) || nested.contains("/*") {
            continue;
        }
        let found = collect_from(&format!("{nested}; DROP DATABASE prod"));
        assert!(found.contains(&"drop_database"), "{open} {found:?}");
        if open.contains('(') {
            assert!(found.contains(&"unparsed"), "{open} {found:?}");
        }
    }
    for (start, unit) in CHAINED.iter().take(10) {
        let found = collect_from(&format!("{start}{}; DROP DATABASE prod", unit.repeat(3000)));
        assert!(
            found.contains(&"drop_database") && found.contains(&"unparsed"),
            "{unit} {found:?}"
        );
    }
}

/// What people write is read, not only searched.
#[test]
fn ordinary_statements_are_within_the_bounds() {
    let rows = "(1, 'a', NULL, 2.5), ".repeat(60);
    let columns =
        (0..80).map(|n| format!("coalesce(t.c{n}, 0) AS c{n}")).collect::<Vec<_>>().join(", ");
    let joins = (0..12)
        .map(|n| format!(" LEFT JOIN t{n} ON t{n}.id = t.id AND t{n}.x > 1"))
        .collect::<String>();
    for (sql, label) in [
        (format!("INSERT INTO t (a, b, c, d) VALUES {rows}(1, 'b', NULL, 1)"), "insert"),
        (format!("SELECT {columns} FROM t{joins} WHERE t.a IN (1, 2, 3) AND t.b LIKE 'x%' ORDER BY 1"), "select"),
        (
            "WITH a AS (SELECT sum(CASE WHEN round(abs(cast(x AS int)) / 2) > (1 + (2 * (3 - 1))) THEN 1 ELSE 0 END) \
             OVER (PARTITION BY coalesce(nullif(trim(lower(y)), ''), 'none')) FROM (SELECT * FROM (SELECT 1 AS x, 'y' AS y) b) c) \
             SELECT * FROM a WHERE EXISTS (SELECT 1 FROM a d WHERE d.x = a.x)".to_owned(),
            "select",
        ),
    ] {
        assert_eq!(collect_from(&sql), [label], "{sql}");
    }
}
