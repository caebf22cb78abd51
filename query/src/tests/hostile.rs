//! Callers who mean harm: texts made to stop the node, askers who leave, strangers who knock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use identity::knocks::{IN_FULL, WINDOW};
use proto::kind::Kind;
use proto::v1::evidence_accessed::Result as Outcome;

use super::fixture::{Answer, Node, TestLog};
use crate::config::Limits;

const JSON: &str = "application/json";

fn outcomes(node: &Node) -> Vec<Outcome> {
    let outcome = |kind| match kind {
        Kind::EvidenceAccessed(access) => Some(access.result()),
        _ => None,
    };
    node.notebook.kinds().into_iter().filter_map(outcome).collect()
}

#[tokio::test]
async fn texts_made_to_stop_the_node_are_refused_soon_and_recorded() {
    let node =
        Node::start(&TestLog::of_exchanges(2), &Limits { sql_concurrency: 1, ..Limits::default() });
    let doubled = (1..30).map(|n| format!("t{n} AS (SELECT a.s FROM t{0} a, t{0} b)", n - 1));
    let doubled = doubled.collect::<Vec<_>>().join(", ");
    let texts = [
        format!("{}SELECT 1", "EXPLAIN ".repeat(2_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(8_000)),
        format!("SELECT {}1", "CAST(".repeat(24)),
        format!("SELECT {}1", "NOT(CAST(f(".repeat(8)),
        format!("SELECT {}1", "POSITION(".repeat(30)),
        format!("SELECT CAST(1 AS INT{})", "[]".repeat(10_000)),
        format!("WITH t0 AS (SELECT 1 AS s), {doubled} SELECT s FROM t29"),
        format!("WITH x AS (SELECT 1) SELECT 1 FROM x{}", ",x".repeat(30_000)),
    ];
    for (number, sql) in texts.iter().enumerate() {
        let began = Instant::now();
        let answer = node.sql("auditor", JSON, sql).await;
        let (status, code) = (answer.status, answer.code());
        let short: String = sql.chars().take(60).collect();
        assert_eq!((status, code.as_str()), (400, "sql_too_complex"), "{short}");
        assert!(began.elapsed() < Duration::from_secs(10), "{short}: {:?}", began.elapsed());
        assert_eq!(outcomes(&node), vec![Outcome::Refused; number + 1], "{short}");
    }
    assert_eq!(node.sql("auditor", JSON, "SELECT 1").await.status, 200);
}

/// What is let in may be much to plan; then its time ends it, and the next one's turn comes.
#[tokio::test]
async fn texts_at_the_bounds_give_their_turn_back() {
    let limits = Limits { sql_concurrency: 1, sql_timeout_seconds: 5, ..Limits::default() };
    let node = Node::start(&TestLog::of_exchanges(2), &limits);
    let tables = |table: &str, count: u64| {
        (0..count).map(|n| format!("{table} a{n}")).collect::<Vec<_>>().join(", ")
    };
    let doubled = (1..8).map(|n| format!("t{n} AS (SELECT a.s FROM t{0} a, t{0} b)", n - 1));
    let doubled = doubled.collect::<Vec<_>>().join(", ");
    let chained = (1..120).map(|n| format!("t{n} AS (SELECT s + 1 AS s FROM t{})", n - 1));
    let chained = chained.collect::<Vec<_>>().join(", ");
    for sql in [
        format!("WITH x AS (SELECT 1 AS s) SELECT count(*) FROM {}", tables("x", 128)),
        format!("SELECT count(*) FROM {}", tables("events", 16)),
        format!("SELECT count(*) FROM {}", tables("exchanges", 31)),
        format!("WITH t0 AS (SELECT 1 AS s), {doubled} SELECT s FROM t7"),
        format!("WITH t0 AS (SELECT 1 AS s), {chained} SELECT s FROM t119"),
        format!("SELECT {}1{}", "coalesce(1, ".repeat(30), ")".repeat(30)),
    ] {
        let began = Instant::now();
        let answer = node.sql("auditor", JSON, &sql).await;
        let short: String = sql.chars().take(60).collect();
        assert!(matches!(answer.status, 200 | 422), "{short}: {}", answer.text());
        assert!(began.elapsed() < Duration::from_secs(8), "{short}: {:?}", began.elapsed());
        let next = node.sql("auditor", JSON, "SELECT 1").await;
        assert_eq!(next.status, 200, "after {short}: {}", next.text());
    }
}

#[tokio::test]
async fn what_was_asked_is_recorded_even_when_the_asker_leaves() {
    let node =
        Node::start(&TestLog::of_exchanges(2), &Limits { sql_concurrency: 1, ..Limits::default() });
    let Ok(turn) = node.doors.engine.turn().await else { panic!("nobody else asks") };
    let asking = node.sql("auditor", JSON, "SELECT 1");
    assert!(tokio::time::timeout(Duration::from_millis(50), asking).await.is_err());
    assert_eq!(outcomes(&node), []);
    drop(turn);
    let recorded = async {
        while outcomes(&node).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), recorded).await.expect("it is recorded");
    assert_eq!(outcomes(&node), [Outcome::Allowed]);
    // And its turn is given back.
    assert_eq!(node.sql("auditor", JSON, "SELECT 1").await.status, 200);
}

#[tokio::test]
async fn strangers_who_knock_again_and_again_are_counted() {
    let node = Node::start(&TestLog::of_exchanges(2), &Limits::default());
    let knock = async |address: &str, authorization: Option<&str>| {
        let address: SocketAddr = address.parse().unwrap();
        let mut request = Request::get("/v1/events").extension(ConnectInfo(address));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.header("user-agent", "probe/1").body(Body::empty()).unwrap();
        assert_eq!(Answer::of(node.send(request).await).await.status, 401);
    };
    for port in 1_000..1_100 {
        knock(&format!("192.0.2.1:{port}"), None).await;
    }
    for _ in 0..20 {
        knock("192.0.2.1:7", Some("Bearer x.y.z")).await;
    }
    knock("192.0.2.2:7", None).await;
    let told = || -> Vec<(String, u64)> {
        let accesses = node.notebook.accesses.lock().unwrap();
        let told = accesses.iter().map(|access| match &access.kind {
            Kind::AuthenticationFailed(failed) => {
                let client = String::from_utf8(access.disclosures[0].2.to_vec()).unwrap();
                (client, failed.count)
            }
            other => panic!("{other:?}"),
        });
        told.collect()
    };
    let in_full =
        |address: &str| (format!(r#"{{"address":"{address}","user_agent":"probe/1"}}"#), 0);
    let mut expected = vec![in_full("192.0.2.1"); IN_FULL as usize];
    expected.push(in_full("192.0.2.2"));
    assert_eq!(told(), expected);
    // The ledger is away for a while: the counts stay.
    *node.notebook.is_broken.lock().unwrap() = true;
    node.doors.record_knocks(node.doors.knocks.ended(Instant::now() + WINDOW)).await;
    *node.notebook.is_broken.lock().unwrap() = false;
    assert_eq!(told().len(), expected.len());
    // It answers too late: what it may have is not told it again.
    *node.notebook.is_slow.lock().unwrap() = true;
    node.doors.record_knocks(node.doors.knocks.ended(Instant::now() + 2 * WINDOW)).await;
    *node.notebook.is_slow.lock().unwrap() = false;
    node.doors.record_knocks(node.doors.knocks.end()).await;
    let mut counted = told().split_off(expected.len());
    counted.sort_by_key(|(_, count)| *count);
    let of = |count| (r#"{"address":"192.0.2.1","user_agent":null}"#.to_owned(), count);
    assert_eq!(counted, [of(20), of(100 - u64::from(IN_FULL))]);
}
