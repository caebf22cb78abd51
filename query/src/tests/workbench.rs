//! The offline engine shows what the live service shows.

use super::fixture::{Node, TestLog};
use crate::config::Limits;
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

#[tokio::test]
async fn workbench_and_service_agree() {
    let log = TestLog::of_exchanges(30);
    let node = Node::start(&log, &Limits { segment_rows: 40, ..Limits::default() });
    let workbench = Workbench::new(log.leaves(0..log.len()), log.openings()).unwrap();
    for sql in QUERIES {
        let table = workbench.query(sql).await.unwrap();
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
    let rows = workbench.query(sql).await.unwrap().rows;
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
    let rows = workbench.query(sql).await.unwrap().rows;
    let row =
        |index: usize| rows[index].iter().map(|c| c.as_deref().unwrap_or("-")).collect::<Vec<_>>();
    assert_eq!(row(0), ["user-0", "1", "0", "1", "0", "4"]);
    assert_eq!(row(2), ["user-2", "1", "1", "0", "10", "14"]);
    let open = Workbench::new(log.leaves(0..2), Vec::new()).unwrap();
    let rows = open.query("SELECT is_open, outcome, subject FROM exchanges").await.unwrap().rows;
    assert_eq!(rows, [[Some("true".to_owned()), None, None]]);
}

#[tokio::test]
async fn leaves_may_have_gaps_but_must_ascend_and_decode() {
    let log = TestLog::of_exchanges(4);
    let gappy = log.leaves(2..4).chain(log.leaves(9..12));
    let workbench = Workbench::new(gappy, log.openings()).unwrap();
    let table = workbench.query("SELECT leaf_index FROM events").await.unwrap();
    let indexes: Vec<_> = table.rows.iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(indexes, ["2", "3", "9", "10", "11"]);
    assert!(workbench.query("SELECT inclusion_proof(2)").await.is_err());
    let reversed = log.leaves(3..4).chain(log.leaves(2..3));
    assert!(matches!(
        Workbench::new(reversed, Vec::new()),
        Err(RowError::Order { previous: 3, found: 2 })
    ));
    let bad = [(0, bytes::Bytes::from_static(b"x"))];
    assert!(matches!(events_batch(bad.clone()), Err(RowError::Leaf { index: 0, .. })));
    assert!(Workbench::new(bad, Vec::new()).is_err());
    let nothing = Workbench::new([], Vec::new()).unwrap();
    assert!(nothing.query("SELECT * FROM exchanges").await.unwrap().rows.is_empty());
    assert_eq!(events_batch(log.leaves(0..5)).unwrap().num_rows(), 5);
}
