//! What the SQL door refuses, and what it bounds.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use proto::kind::Kind;
use proto::v1::Slot;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use serde_json::json;

use super::fixture::{Answer, URL, machine};
use super::sql::{ARROW, CSV, JSON, NDJSON, bounded, last_result, node};
use crate::config::Limits;

#[tokio::test]
async fn a_table_that_is_not_there_names_those_that_are() {
    let node = node(&bounded());
    for sql in ["SELECT * FROM nothere", "SELECT * FROM public.nothere"] {
        let answer = node.sql("auditor", JSON, sql).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "sql_invalid"));
        assert_eq!(
            answer.json()["message"],
            "there is no table nothere: the tables are disclosures, events, exchanges, recorders, sessions"
        );
    }
    let answer = node.sql("auditor", JSON, "SELECT Kind2, \"KIND\" FROM events").await;
    assert!(!answer.text().contains("datafusion"), "{}", answer.text());
}

#[tokio::test]
async fn strangers_and_other_roles_are_turned_away() {
    let node = node(&bounded());
    for role in ["siem", "approver", "follower"] {
        let answer = node.sql(role, JSON, "SELECT 1").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "role_required"), "{role}");
        assert!(answer.header("www-authenticate").contains("insufficient_scope"));
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(&format!("roles that the token gave: {role}")), "{message}");
        assert_eq!(last_result(&node), (Door::Sql, Outcome::Denied, String::new(), 0));
    }
    let elsewhere = machine("auditor").token("http://elsewhere").unwrap();
    for (authorization, code) in [
        (None, "token_missing"),
        (Some("Bearer x.y.z".to_owned()), "token_malformed"),
        (Some(format!("Bearer {elsewhere}")), "wrong_audience"),
    ] {
        let mut request = Request::post("/v1/sql").body(Body::from("SELECT 1")).unwrap();
        if let Some(value) = &authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        let answer = Answer::of(node.send(request).await).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, code));
        assert!(answer.header("www-authenticate").starts_with("Bearer resource_metadata="));
        let Some(Kind::AuthenticationFailed(failed)) = node.notebook.kinds().pop() else {
            panic!("the failure was not recorded");
        };
        assert_eq!((failed.server.as_str(), failed.http_status), ("query", 401));
    }
}

#[tokio::test]
async fn refusals_have_codes_and_are_recorded() {
    let node = node(&bounded());
    for (sql, code) in [
        ("INSERT INTO events VALUES (1)", "sql_not_read_only"),
        ("SET datafusion.execution.batch_size = 1", "sql_not_read_only"),
        ("COPY events TO '/tmp/stolen.csv'", "sql_not_read_only"),
        ("CREATE EXTERNAL TABLE a STORED AS PARQUET LOCATION '/'", "sql_not_read_only"),
        ("CREATE TABLE a AS SELECT 1", "sql_not_read_only"),
        ("SELECT 1; SELECT 2", "sql_more_than_one_statement"),
        ("SELEC 1", "sql_syntax"),
        ("", "sql_empty"),
        ("SELECT nothing FROM events", "sql_invalid"),
        ("SELECT * FROM '/etc/passwd'", "sql_invalid"),
        ("SELECT * FROM read_csv('/etc/passwd')", "sql_invalid"),
        ("SELECT * FROM \"/etc/passwd.csv\"", "sql_invalid"),
        ("SELECT repeat('x', 1000000000)", "sql_invalid"),
        ("SELECT lpad('x', 1000000000)", "sql_invalid"),
        ("SELECT arrow_cast([1], 'FixedSizeList(1000000000, Int64)')", "sql_invalid"),
        ("SELECT CAST([1] AS BIGINT[1000000000])", "sql_invalid"),
        ("SELECT struct(1, 2)", "sql_invalid"),
        ("SELECT {'a': 1}", "sql_invalid"),
        ("SELECT array_agg(value) OVER (ORDER BY value) FROM range(9)", "sql_invalid"),
        ("SELECT array_transform([1], x -> [x, x])", "sql_invalid"),
        ("SELECT (INSERT INTO events VALUES (1))", "sql_syntax"),
    ] {
        let answer = node.sql("auditor", JSON, sql).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, code),
            "{sql}: {}",
            answer.text()
        );
        assert_eq!(last_result(&node).1, Outcome::Refused, "{sql}");
    }
    let answer = node.sql("auditor", JSON, "SELECT\n1 )").await.json();
    assert_eq!((&answer["line"], &answer["column"]), (&json!(2), &json!(3)));
    let before = node.notebook.kinds().len();
    for sql in [
        "SHOW TABLES",
        "DESCRIBE events",
        "EXPLAIN SELECT 1",
        "VALUES (1)",
        "SELECT * FROM generate_series(1, 3)",
    ] {
        let answer = node.sql("auditor", JSON, sql).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }
    assert_eq!(node.notebook.kinds().len(), before + 5);
    // As JSON, too.
    let token = machine("admin").token(URL).unwrap();
    let ask = |body: &'static str| {
        let request = Request::post("/v1/sql")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json; charset=utf-8");
        node.send(request.body(Body::from(body)).unwrap())
    };
    let answer = Answer::of(ask(r#"{"sql": "SELECT 7 AS n"}"#).await).await;
    assert_eq!(answer.json()["rows"], json!([[7]]));
    assert_eq!(Answer::of(ask("SELECT 7").await).await.code(), "body_malformed");
    assert_eq!(
        Answer::of(ask(r#"{"sql": "SELECT 7", "x": 1}"#).await).await.code(),
        "body_malformed"
    );
}

const RUNAWAYS: &[&str] = &[
    "SELECT count(*) FROM events a, events b, events c, events d, events e, events f",
    "SELECT count(*) FROM events a JOIN events b ON a.leaf_index + b.leaf_index < 0
       JOIN events c ON true JOIN generate_series(1, 100000000000) g ON g.value + a.leaf_index < 0",
    "SELECT max(a.value) FROM generate_series(1, 200000) a JOIN generate_series(1, 10000000000) b
       ON a.value * b.value = -1",
    "SELECT count(*) FROM generate_series(1, 1000000000000000)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
];

#[tokio::test]
async fn runaway_queries_end_in_time_and_give_their_turn_back() {
    let node = node(&Limits { sql_concurrency: 1, ..bounded() });
    for sql in RUNAWAYS {
        for accept in [JSON, CSV] {
            let began = Instant::now();
            let answer = node.sql("auditor", accept, sql).await;
            let took = began.elapsed();
            assert_eq!((answer.status, answer.code().as_str()), (422, "sql_timeout"), "{sql}");
            assert!(took < Duration::from_secs(5), "{sql}: {took:?}");
            // There is one turn: the next query runs only when the runaway has really ended.
            let next = node.sql("auditor", JSON, "SELECT count(*) FROM events").await;
            assert_eq!(next.status, 200, "after {sql}: {}", next.text());
        }
    }
}

#[tokio::test]
async fn a_reader_who_leaves_ends_the_query() {
    let node = node(&Limits { sql_concurrency: 1, sql_timeout_seconds: 600, ..bounded() });
    for sql in RUNAWAYS {
        let left = tokio::time::timeout(Duration::from_millis(300), node.sql("auditor", JSON, sql));
        assert!(left.await.is_err(), "{sql}");
        let next = node.sql("auditor", JSON, "SELECT 1").await;
        assert_eq!(next.status, 200, "after {sql}: {}", next.text());
    }
}

#[tokio::test]
async fn rows_bytes_and_memory_are_bounded() {
    let limits = Limits {
        sql_max_rows: 20_000,
        sql_max_result_mib: 1,
        sql_memory_mib: 8,
        sql_spill_mib: 0,
        ..Limits::default()
    };
    let node = node(&limits);
    let rows = "SELECT value FROM generate_series(1, 40000)";
    let wide = "SELECT value, md5(CAST(value AS TEXT)) || md5(CAST(value + 1 AS TEXT)) || md5(CAST(value + 2 AS TEXT)) AS w FROM generate_series(1, 19999)";
    for (sql, code) in [(rows, "sql_too_many_rows"), (wide, "sql_result_too_large")] {
        let answer = node.sql("auditor", JSON, sql).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, code), "{}", answer.text());
        for accept in [CSV, NDJSON, ARROW] {
            let answer = node.sql("auditor", accept, sql).await;
            // The first batch was within the bounds, so the answer began; it must not end well.
            assert_eq!(answer.status, 200);
            assert!(answer.body.unwrap_err().contains("larger") || code == "sql_too_many_rows");
        }
    }
    let hungry = "SELECT array_agg(a.value) FROM generate_series(1, 100000000) a";
    let answer = node.sql("auditor", CSV, hungry).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "sql_out_of_memory"),
        "{}",
        answer.text()
    );
    let hungry = "SELECT a.value FROM generate_series(1, 100000000) a ORDER BY a.value DESC";
    assert_eq!(node.sql("auditor", JSON, hungry).await.code(), "sql_out_of_memory");
}

#[tokio::test]
async fn deep_statements_do_not_overflow_the_stack() {
    let node = node(&Limits::default());
    for sql in [
        format!("SELECT 1{}", "+1".repeat(1000)),
        format!("SELECT * FROM events WHERE {} leaf_index = 1", "leaf_index = 2 OR ".repeat(450)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(900)),
        format!("SELECT {}1{}", "abs(".repeat(40), ")".repeat(40)),
    ] {
        let answer = node.sql("auditor", JSON, &sql).await;
        assert!(matches!(answer.status, 200 | 400), "{} {}", answer.status, answer.text());
    }
}

#[tokio::test]
async fn of_a_long_statement_that_is_refused_the_beginning_is_recorded() {
    let node = node(&bounded());
    let recorded = || {
        let accesses = node.notebook.accesses.lock().unwrap();
        let mut said = accesses.last().unwrap().disclosures.iter();
        let (.., query) = said.find(|(slot, ..)| *slot == Slot::Query).unwrap();
        String::from_utf8(query.to_vec()).unwrap()
    };
    let key = "AKIAIOSFODNN7EXAMPLE";
    let long = format!("SELECT '{key}{}'", " x".repeat(150_000));
    for (role, status, code, kept) in
        [("auditor", 413, "sql_too_long", 64 * 1024), ("approver", 403, "role_required", 4 * 1024)]
    {
        let answer = node.sql(role, JSON, &long).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        let said = recorded();
        let (beginning, end) = said.split_at(kept);
        assert!(beginning.starts_with("SELECT '[masked:api_key] x x"), "{}", &beginning[..80]);
        assert_eq!(end, format!("\n[cut: {} bytes were asked]", long.len()));
        node.sql(role, JSON, "SELEC 1").await;
        assert_eq!(recorded(), "SELEC 1");
    }
    // What was answered is recorded whole.
    let answered = format!("SELECT 1 --{}", "x".repeat(60_000));
    assert_eq!(node.sql("auditor", JSON, &answered).await.status, 200);
    assert_eq!(recorded(), answered);
}
