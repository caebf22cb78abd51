//! The SQL door: what it answers, in which form, who sees what, and that it is recorded first.

use std::time::Duration;

use arrow::ipc::reader::StreamReader;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{self, Slot};
use serde_json::{Value, json};
use tlog::TlogProof;

use super::fixture::{Answer, Node, TestLog, URL, log_key, machine};
use crate::config::Limits;

pub(super) const JSON: &str = "application/json";
pub(super) const CSV: &str = "text/csv";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const ARROW: &str = "application/vnd.apache.arrow.stream";

pub(super) fn node(limits: &Limits) -> Node {
    Node::start(&TestLog::of_exchanges(20), limits)
}

pub(super) fn bounded() -> Limits {
    Limits { sql_timeout_seconds: 2, segment_rows: 40, ..Limits::default() }
}

pub(super) fn last_result(node: &Node) -> (Door, Outcome, String, u64) {
    let Some(Kind::EvidenceAccessed(access)) = node.notebook.kinds().pop() else {
        panic!("no access was recorded last");
    };
    (access.door(), access.result(), access.role, access.checkpoint_size)
}

#[tokio::test]
async fn an_answer_names_its_checkpoint_and_is_recorded_first() {
    let log = TestLog::of_exchanges(20);
    let node = Node::start(&log, &bounded());
    let answer = node.sql("auditor", JSON, "SELECT leaf_index, kind FROM events LIMIT 2").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["columns"], json!(["leaf_index", "kind"]));
    assert_eq!(body["rows"], json!([[0, "SessionOpened"], [1, "RequestReceived"]]));
    assert_eq!((&body["row_count"], &body["tree_size"]), (&json!(2), &json!(log.len())));
    assert_eq!(body["checkpoint"], json!(log.note(log.len())));
    assert_eq!(answer.header("exhibit-tree-size"), log.len().to_string());
    assert_eq!(
        STANDARD.decode(answer.header("exhibit-checkpoint")).unwrap(),
        log.note(log.len()).as_bytes()
    );
    assert_eq!(last_result(&node), (Door::Sql, Outcome::Allowed, "auditor".into(), log.len()));
    let accesses = node.notebook.accesses.lock().unwrap();
    let slots: Vec<Slot> = accesses[0].disclosures.iter().map(|disclosure| disclosure.0).collect();
    assert_eq!(slots, [Slot::Principal, Slot::Client, Slot::Query]);
    assert_eq!(accesses[0].disclosures[2].2, "SELECT leaf_index, kind FROM events LIMIT 2");
}

#[tokio::test]
async fn what_is_asked_is_recorded_without_its_secrets() {
    let log = TestLog::of_exchanges(20);
    let node = Node::start(&log, &bounded());
    let key = "AKIAIOSFODNN7EXAMPLE";
    let agent = format!("{} {key} {}", "a".repeat(498), "b".repeat(2000));
    for (role, sql) in [
        (Some("auditor"), format!("SELECT length('{key}'), '{key}' LIKE 'AKIA%7EXAMPLE'")),
        (Some("auditor"), format!("SELECT '{key}' FROM nowhere")),
        (Some("siem"), format!("SELECT '{key}'")),
        (None, format!("SELECT '{key}'")),
    ] {
        let token = role.map(|role| machine(role).token(URL).unwrap());
        let authorization = token.map_or("none".to_owned(), |token| format!("Bearer {token}"));
        let request = Request::post("/v1/sql")
            .header("authorization", authorization)
            .header("user-agent", &agent)
            .body(Body::from(sql.clone()));
        let answer = Answer::of(node.send(request.unwrap()).await).await;
        if answer.status == 200 {
            // What is asked is asked with the key itself.
            assert_eq!(answer.json()["rows"], json!([[key.len(), true]]));
        }
        let recorded = node.notebook.accesses.lock().unwrap().pop().unwrap();
        let text = |slot: Slot| {
            let content = recorded.disclosures.iter().find(|disclosure| disclosure.0 == slot);
            content.map(|content| String::from_utf8(content.2.to_vec()).unwrap())
        };
        let client = text(Slot::Client).unwrap();
        assert!(client.contains(" [masked:"), "{client}");
        let question = text(Slot::Query);
        assert_eq!(question.is_some(), role.is_some());
        let question = question.unwrap_or_default();
        assert!(role.is_none() || question == sql.replace(key, "[masked:api_key]"), "{question}");
        for (_, _, content) in &recorded.disclosures {
            let found = content.windows(6).any(|window| window == &key.as_bytes()[..6]);
            assert!(!found, "a part of the key is recorded of: {sql}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() {
    let node = node(&bounded());
    *node.notebook.is_broken.lock().unwrap() = true;
    for sql in ["SELECT 1", "DROP TABLE events"] {
        let answer = node.sql("auditor", JSON, sql).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "access_not_recorded"));
    }
    assert_eq!(node.get("siem", "/v1/events/poll").await.code(), "access_not_recorded");
    let answer =
        Answer::of(node.send(Request::post("/v1/sql").body(Body::empty()).unwrap()).await).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "access_not_recorded"));
}

#[tokio::test]
async fn invisible_slots_are_absent_whatever_is_asked() {
    let mut log = TestLog::of_exchanges(20);
    let decided = r#"{"arguments":{"secret":"message-0"}}"#;
    let request = Kind::RequestReceived(v1::RequestReceived::default());
    log.push(request, b"", b"", &[(Slot::DecisionInput, decided)]);
    let node = Node::start(&log, &bounded());
    let questions = [
        "SELECT * FROM events",
        "SELECT message, arguments, foreign_name, resource_uri FROM events",
        "SELECT * FROM exchanges",
        "SELECT * FROM sessions",
        "SELECT * FROM disclosures",
        "SELECT content, salt FROM disclosures",
        "SELECT content FROM disclosures WHERE slot = 'DECISION_INPUT'",
        "SELECT d.content FROM disclosures d JOIN events e ON d.leaf_index = e.leaf_index",
        "SELECT a.message FROM events a JOIN events b ON a.exchange_id = b.exchange_id",
        "SELECT max(message), min(arguments), array_agg(message) FROM events",
        "SELECT e.* FROM (SELECT * FROM events) e WHERE e.message LIKE '%message-%' OR true",
        "WITH m AS (SELECT coalesce(message, arguments, 'none') AS t FROM events) SELECT t FROM m",
        "EXPLAIN ANALYZE SELECT message FROM events",
    ];
    for sql in questions {
        for accept in [JSON, ARROW] {
            let hidden = node.sql("compliance", accept, sql).await;
            assert_eq!(hidden.status, 200, "{sql}");
            let body = hidden.body.unwrap();
            let found = body.windows(8).any(|window| window == b"message-");
            assert!(!found || sql.contains("message-"), "compliance sees a message by {sql}");
        }
    }
    let count = "SELECT count(message), count(subject), count(content)
        FROM events e LEFT JOIN disclosures d ON d.leaf_index = e.leaf_index AND d.slot = 'MESSAGE'";
    let of = |answer: Answer| answer.json()["rows"][0].clone();
    assert_eq!(of(node.sql("compliance", JSON, count).await), json!([0, 20, 0]));
    assert_eq!(of(node.sql("auditor", JSON, count).await), json!([34, 20, 34]));
    let like = "SELECT count(*) FROM events WHERE message LIKE '%message-1%'";
    assert_eq!(of(node.sql("compliance", JSON, like).await), json!([0]));
    let status =
        "SELECT DISTINCT status FROM disclosures WHERE slot IN ('MESSAGE', 'DECISION_INPUT')";
    assert_eq!(of(node.sql("compliance", JSON, status).await), json!(["withheld"]));
    assert_eq!(of(node.sql("auditor", JSON, status).await), json!(["disclosed"]));
}

#[tokio::test]
async fn attempts_that_were_counted_add_up() {
    let mut log = TestLog::of_exchanges(1);
    for count in [0, 0, 7] {
        let failed = v1::AuthenticationFailed { count, ..Default::default() };
        log.push(Kind::AuthenticationFailed(failed), b"", b"", &[]);
        let denied = v1::CallDenied { count, ..Default::default() };
        log.push(Kind::CallDenied(denied), b"", b"", &[]);
    }
    let node = Node::start(&log, &bounded());
    let sql = "SELECT kind, count(*), sum(attempts) FROM events WHERE attempts > 0 GROUP BY kind ORDER BY kind";
    let answer = node.sql("auditor", JSON, sql).await.json();
    assert_eq!(answer["rows"], json!([["AuthenticationFailed", 3, 9], ["CallDenied", 3, 9]]));
}

#[tokio::test]
async fn inclusion_proofs_verify() {
    let log = TestLog::of_exchanges(60);
    let node = Node::start(&log, &bounded());
    let sql =
        "SELECT leaf_index, inclusion_proof(leaf_index) FROM events WHERE leaf_index % 37 = 0";
    let answer = node.sql("compliance", JSON, sql).await.json();
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 9);
    for row in rows {
        let (index, proof) = (row[0].as_u64().unwrap(), row[1].as_str().unwrap());
        let proof = TlogProof::parse(proof).unwrap();
        assert_eq!(proof.index.0, index);
        let checkpoint = proof.verify(&log.hash(index), &log_key().verifying_key()).unwrap();
        assert_eq!(checkpoint.size.0, log.len());
    }
    let one =
        node.sql("auditor", JSON, "SELECT inclusion_proof(3), inclusion_proof(NULL)").await.json();
    assert!(one["rows"][0][0].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1\nindex 3\n"));
    assert_eq!(one["rows"][0][1], Value::Null);
    let beyond = node.sql("auditor", JSON, "SELECT inclusion_proof(100000)").await;
    assert!(
        beyond.text().contains("leaf 100000 is not in a tree of size 300"),
        "{}",
        beyond.text()
    );
}

#[tokio::test]
async fn all_forms_agree() {
    let node = node(&bounded());
    let sql = "SELECT leaf_index, kind, recorded_at, subject, evaluation_error, latency_ns FROM events ORDER BY leaf_index";
    let whole = node.sql("auditor", JSON, sql).await.json();
    let rows = whole["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 100);
    let columns: Vec<&str> =
        whole["columns"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();

    let lines = node.sql("auditor", NDJSON, sql).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_lines: Vec<Value> = lines
        .iter()
        .map(|line| columns.iter().map(|column| line[*column].clone()).collect())
        .collect();
    assert_eq!(&of_lines, rows);

    let as_text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let csv = node.sql("auditor", CSV, sql).await;
    assert!(csv.header("content-type").starts_with("text/csv"));
    let csv = csv.text();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), columns);
    for (record, row) in reader.records().zip(rows) {
        let row: Vec<String> = row.as_array().unwrap().iter().map(as_text).collect();
        assert_eq!(record.unwrap().iter().collect::<Vec<_>>(), row);
    }

    let arrow = node.sql("auditor", ARROW, sql).await.body.unwrap();
    let reader = StreamReader::try_new(arrow.as_ref(), None).unwrap();
    assert_eq!(
        reader.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        columns
    );
    let mut of_arrow = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let cells = crate::engine::text::Cells::of(&batch).unwrap();
        of_arrow.extend((0..batch.num_rows()).map(|row| cells.json_row(row).collect::<Value>()));
    }
    assert_eq!(&of_arrow, rows);

    let nothing = "SELECT kind FROM events WHERE false";
    assert_eq!(node.sql("auditor", CSV, nothing).await.text(), "kind\n");
    assert_eq!(node.sql("auditor", NDJSON, nothing).await.text(), "");
    let arrow = node.sql("auditor", ARROW, nothing).await.body.unwrap();
    assert_eq!(StreamReader::try_new(arrow.as_ref(), None).unwrap().count(), 0);
}

#[tokio::test]
async fn a_node_that_stopped_says_why() {
    let mut node = node(&bounded());
    let ready =
        Answer::of(node.send(Request::get("/readyz").body(Body::empty()).unwrap()).await).await;
    assert_eq!(ready.status, 200);
    node = stopped(node);
    let ready =
        Answer::of(node.send(Request::get("/readyz").body(Body::empty()).unwrap()).await).await;
    assert_eq!((ready.status, ready.code().as_str()), (503, "not_ready"));
    assert!(ready.text().contains("two different roots"));
    let answer = node.sql("auditor", JSON, "SELECT 1").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_serving"));
    assert_eq!(node.get("siem", "/v1/events/poll").await.code(), "not_serving");
    let alive =
        Answer::of(node.send(Request::get("/healthz").body(Body::empty()).unwrap()).await).await;
    assert_eq!(alive.status, 200);
}

/// The same doors, behind a follower that found a contradiction.
fn stopped(node: Node) -> Node {
    use std::sync::Arc;

    use crate::door::{Doors, Inner};
    use crate::engine::running::Engine;
    use crate::feed::deliveries::Deliveries;
    use crate::follower::stream::Following;

    let dir = tempfile::tempdir().unwrap();
    let doors = Doors::new(Inner {
        following: Following::stopped("the log signed two different roots of size 7".into()),
        engine: Engine::start(&Limits::default(), dir.path()).unwrap(),
        verifier: node.doors.verifier.clone(),
        journal: Arc::clone(&node.doors.journal),
        masking: node.doors.masking.clone(),
        public_url: URL.into(),
        deliveries: Deliveries::new(Duration::from_secs(300)),
        places: node.doors.places.clone(),
        knocks: identity::knocks::Knocks::default(),
    });
    Node { doors, ..node }
}
