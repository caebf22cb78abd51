//! The offline engine shows what the live service shows.

use std::time::{Duration, Instant};

use super::fixture::{Node, TestLog};
use crate::config::Limits;
use crate::engine::allowance::{Allowance, Bounds};
use crate::engine::workbench::{Workbench, events_batch};
use crate::rows::RowError;

const QUERIES: &[&str] = &[
    "SELECT * FROM events ORDER BY leaf_index",
    "SELECT * FROM exchanges ORDER BY request_index",
    "SELECT * FROM sessions ORDER BY first_index",
    "SELECT * FROM recorders",
    "SELECT * FROM disclosures ORDER BY leaf_index, slot",
    "SELECT kind, count(*) AS n FROM events WHERE recorded_at >= '2026-07-28T09:00:10Z' GROUP BY kind ORDER BY kind",
    "SELECT count(*) FROM events",
    "SELECT leaf_index FROM events WHERE leaf_index BETWEEN 10 AND 12",
];

const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(60),
    rows: 10_000,
    bytes: 64 << 20,
    memory_bytes: 256 << 20,
};

fn plenty() -> Allowance {
    Allowance::new(BOUNDS)
}

#[tokio::test]
async fn workbench_and_service_agree() {
    let log = TestLog::of_exchanges(30);
    let node = Node::start(&log, &Limits { segment_rows: 40, ..Limits::default() });
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    for sql in QUERIES {
        let table = workbench.query(sql, &mut plenty()).await.unwrap();
        let live = node.sql("auditor", "text/csv", sql).await;
        let text = live.text();
        let mut csv = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(csv.headers().unwrap().iter().collect::<Vec<_>>(), table.columns, "{sql}");
        let rows: Vec<Vec<String>> =
            csv.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        let offline: Vec<Vec<String>> = table
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.clone().unwrap_or_default()).collect())
            .collect();
        assert!(!rows.is_empty(), "{sql}");
        assert_eq!(rows, offline, "{sql}");
    }
}

#[tokio::test]
async fn exchanges_and_sessions_tell_the_story() {
    let log = TestLog::of_exchanges(3);
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    let sql = "SELECT subject, server, method, tool, verdict, outcome, is_open, stream_messages, closings,
        request_index, closing_index, arguments, response_masks FROM exchanges ORDER BY request_index";
    let rows = workbench.query(sql, &mut plenty()).await.unwrap().rows;
    let row =
        |index: usize| rows[index].iter().map(|c| c.as_deref().unwrap_or("-")).collect::<Vec<_>>();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        row(0),
        [
            "user-0",
            "crm",
            "tools/call",
            "find",
            "allow",
            "result",
            "false",
            "1",
            "1",
            "1",
            "3",
            r#"{"secret":"message-0"}"#,
            "email=2"
        ]
    );
    assert_eq!(row(2)[4..9], ["block", "blocked", "false", "0", "1"]);
    let sql = "SELECT subject, calls, denied, masked, first_index, last_index FROM sessions ORDER BY first_index";
    let rows = workbench.query(sql, &mut plenty()).await.unwrap().rows;
    let row =
        |index: usize| rows[index].iter().map(|c| c.as_deref().unwrap_or("-")).collect::<Vec<_>>();
    assert_eq!(row(0), ["user-0", "1", "0", "1", "0", "4"]);
    assert_eq!(row(2), ["user-2", "1", "1", "0", "10", "14"]);
    let open = Workbench::new(log.leaves(0..2), Vec::new()).unwrap();
    let rows = open
        .query("SELECT is_open, outcome, subject FROM exchanges", &mut plenty())
        .await
        .unwrap()
        .rows;
    assert_eq!(rows, [[Some("true".to_owned()), None, None]]);
}

#[tokio::test]
async fn leaves_may_have_gaps_but_must_ascend_and_decode() {
    let log = TestLog::of_exchanges(4);
    let gappy = log.leaves(2..4).chain(log.leaves(9..12));
    let workbench = Workbench::new(gappy, log.openings()).unwrap();
    let table = workbench.query("SELECT leaf_index FROM events", &mut plenty()).await.unwrap();
    let indexes: Vec<_> = table.rows.iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(indexes, ["2", "3", "9", "10", "11"]);
    assert!(workbench.query("SELECT inclusion_proof(2)", &mut plenty()).await.is_err());
    let reversed = log.leaves(3..4).chain(log.leaves(2..3));
    assert!(matches!(
        Workbench::new(reversed, Vec::new()),
        Err(RowError::Order { previous: 3, found: 2 })
    ));
    let bad = [(0, bytes::Bytes::from_static(b"x"))];
    assert!(matches!(events_batch(bad.clone()), Err(RowError::Leaf { index: 0, .. })));
    assert!(Workbench::new(bad, Vec::new()).is_err());
    let nothing = Workbench::new([], Vec::new()).unwrap();
    assert!(nothing.query("SELECT * FROM exchanges", &mut plenty()).await.unwrap().rows.is_empty());
    assert_eq!(events_batch(log.leaves(0..5)).unwrap().num_rows(), 5);
}

/// Without a bound each of these fills the memory, or goes on for ever.
const ENDLESS: [&str; 3] = [
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) AS leaf_index FROM t",
    "SELECT count(*) FROM events a, events b, events c, events d, events e, events f",
    "SELECT min(a.leaf_index), sum(length(a.tool || b.tool || c.tool || d.tool || e.tool))
        FROM events a, events b, events c, events d, events e, events f",
];

#[tokio::test]
async fn answers_are_bounded_together() {
    let log = TestLog::of_exchanges(30);
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    let code = async |sql: &str, bounds: Bounds| {
        workbench.query(sql, &mut Allowance::new(bounds)).await.unwrap_err().code()
    };
    let many = "SELECT a.leaf_index FROM events a, events b, events c";
    assert_eq!(code(many, BOUNDS).await, "sql_too_many_rows");
    let little = Bounds { bytes: 100_000, ..BOUNDS };
    assert_eq!(code(many, little).await, "sql_result_too_large");
    // What a join keeps counts as well.
    let wide = "SELECT a.leaf_index, a.leaf, b.leaf AS l2, c.leaf_index AS c
        FROM events a, events b, events c, events d";
    assert_eq!(code(wide, BOUNDS).await, "sql_out_of_memory");
    let mut together = Allowance::new(Bounds { rows: 250, ..BOUNDS });
    let all = "SELECT leaf_index FROM events";
    assert_eq!(workbench.query(all, &mut together).await.unwrap().rows.len(), 150);
    let second = workbench.query(all, &mut together).await.unwrap_err();
    assert_eq!(second.code(), "sql_too_many_rows");
}

#[tokio::test]
async fn a_query_ends_at_its_deadline() {
    let log = TestLog::of_exchanges(30);
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    for sql in ENDLESS {
        let begun = Instant::now();
        let mut little = Allowance::new(Bounds { time: Duration::from_millis(300), ..BOUNDS });
        let error = workbench.query(sql, &mut little).await.unwrap_err();
        assert_eq!(error.code(), "sql_timeout", "{sql}");
        // It has really ended: the one thread for SQL is free again.
        let rows = workbench.query("SELECT 1", &mut plenty()).await.unwrap().rows.len();
        assert_eq!(rows, 1);
        assert!(begun.elapsed() < Duration::from_secs(30), "{sql}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_ends() {
    let log = TestLog::of_exchanges(30);
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    for sql in ENDLESS {
        let mut allowance = plenty();
        let query = workbench.query(sql, &mut allowance);
        tokio::time::timeout(Duration::from_millis(200), query).await.unwrap_err();
        let mut next = Allowance::new(Bounds { time: Duration::from_secs(30), ..BOUNDS });
        assert_eq!(workbench.query("SELECT 1", &mut next).await.unwrap().rows.len(), 1, "{sql}");
    }
}

#[tokio::test]
async fn what_could_differ_the_next_time_is_refused() {
    let log = TestLog::of_exchanges(3);
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    for sql in [
        "SELECT now()",
        "SELECT leaf_index FROM events WHERE recorded_at < NOW()",
        "SELECT current_timestamp",
        "SELECT current_date",
        "SELECT current_time",
        "SELECT today()",
        "SELECT random()",
        "SELECT uuid()",
        "SELECT leaf_index FROM events ORDER BY random()",
        "SELECT leaf_index FROM events LIMIT CAST(10 * random() AS BIGINT)",
        "SELECT (SELECT max(leaf_index) FROM events WHERE recorded_at < now())",
        "WITH a AS (SELECT uuid() AS u FROM events) SELECT count(u) FROM a",
        "SELECT count(*) OVER (PARTITION BY random()) FROM events",
        "SELECT value FROM generate_series(1, CAST(date_part('epoch', now()) AS BIGINT))",
        "SELECT inclusion_proof(2)",
        "SELECT version()",
        "SELECT exp(1.5)",
        "SELECT pow(2.0, 0.5)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT count(*) FROM events",
        "SHOW TABLES",
        "SHOW COLUMNS FROM events",
        "SELECT * FROM information_schema.df_settings",
        "SELECT count(*) FROM events WHERE kind IN (SELECT name FROM information_schema.df_settings)",
    ] {
        let error = workbench.query(sql, &mut plenty()).await.unwrap_err();
        assert_eq!(error.code(), "sql_invalid", "{sql}: {error}");
        let told = error.to_string();
        assert!(told.contains("not offered in a list"), "{sql}: {told}");
    }
    let told = workbench.query("SELECT nowhere()", &mut plenty()).await.unwrap_err().to_string();
    assert!(told.contains("Invalid function 'nowhere'"), "{told}");
}

#[tokio::test]
async fn rows_of_a_union_come_side_by_side() {
    let log = TestLog::of_exchanges(3);
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    let union = "SELECT 0 AS side, value FROM generate_series(1, 5000)
        UNION ALL SELECT 1, value FROM generate_series(1, 5000)
        UNION ALL SELECT 2, value FROM generate_series(1, 5000)";
    let expected: Vec<Vec<Option<String>>> = (0..3)
        .flat_map(|side| (1..=5000).map(move |n: u32| vec![side.to_string(), n.to_string()]))
        .map(|row: Vec<String>| row.into_iter().map(Some).collect())
        .collect();
    let mut allowance = Allowance::new(Bounds { rows: 100_000, ..BOUNDS });
    let mut rows = async |sql: &str| workbench.query(sql, &mut allowance).await.unwrap().rows;
    assert!(rows(union).await == expected);
    let limited = format!("SELECT * FROM ({union}) LIMIT 5010 OFFSET 10");
    assert!(rows(&limited).await == expected[10..5020]);
    // As an aggregate sees them.
    let firsts = format!("SELECT value, first_value(side) FROM ({union}) GROUP BY value");
    let firsts = rows(&firsts).await;
    assert_eq!(firsts.len(), 5000);
    for (row, all) in firsts.iter().zip(&expected) {
        assert_eq!((&row[0], row[1].as_deref()), (&all[1], Some("0")));
    }
}
