//! A query node against a real ledger: it follows, answers, records every access, and comes back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use identity::{IdentityConfig, MachineConfig, MachineKey};
use ledger::{Ledger, LedgerConfig, Options};
use query::{Limits, Query, QueryConfig};
use serde_json::Value;
use tempfile::TempDir;
use tlog::{SigningKey, TlogProof};
use tower::ServiceExt;

const QUERY_URL: &str = "http://127.0.0.1:7602";

struct House {
    dir: TempDir,
    log: SigningKey,
    ledger_url: String,
    ledger: Option<Ledger>,
}

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, [seed; 32]).unwrap()
}

fn write_key(dir: &Path, key: &SigningKey) -> PathBuf {
    let path = dir.join(format!("{}.key", key.name().replace('/', "-")));
    fs::write(&path, key.encode().as_bytes()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn machine(name: &str, public_key: String, role: &str) -> MachineConfig {
    MachineConfig { name: name.into(), public_key, roles: vec![role.into()] }
}

fn auditor() -> MachineKey {
    MachineKey::new("auditor-1", &[44; 32])
}

impl House {
    async fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = key("log.example/test", 1);
        let node = key("query-1", 3);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ledger_url = format!("http://{}", listener.local_addr().unwrap());
        let config = LedgerConfig {
            listen: listener.local_addr().unwrap(),
            public_url: ledger_url.clone(),
            data_dir: dir.path().join("ledger"),
            checkpoint_file: None,
            witness: None,
            backup: None,
            retention: Default::default(),
            log_key_file: write_key(dir.path(), &log),
            next_log_key_file: None,
            recorder_key_file: write_key(dir.path(), &key("ledger-1", 2)),
            recorders: vec![node.verifying_key().to_string()],
            duties: Default::default(),
            limits: Default::default(),
            tls: None,
            plaintext: false,
            identity: IdentityConfig {
                machines: vec![machine("query-1", node.verifying_key().to_string(), "follower")],
                ..IdentityConfig::default()
            },
        };
        let ledger = Ledger::start(config, Options::default()).await.unwrap();
        let router = ledger.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { dir, log, ledger_url, ledger: Some(ledger) }
    }

    fn config(&self) -> QueryConfig {
        QueryConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: QUERY_URL.into(),
            tls: None,
            plaintext: false,
            ledger: self.ledger_url.clone(),
            ledger_tls: None,
            ledger_plaintext: false,
            ledger_audience: None,
            log_vkey: self.log.verifying_key().to_string(),
            recorder_key_file: write_key(self.dir.path(), &key("query-1", 3)),
            reader_key_file: None,
            data_dir: self.dir.path().join("query"),
            identity: IdentityConfig {
                machines: vec![machine("auditor-1", auditor().vkey(), "auditor")],
                ..IdentityConfig::default()
            },
            limits: Limits { segment_rows: 8, ..Limits::default() },
        }
    }

    async fn query(&self) -> Query {
        let query = Query::start(self.config()).await.unwrap();
        eventually("the node is ready", || query.readiness().is_ok()).await;
        query
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::task::yield_now().await;
    }
}

async fn sql(query: &Query, sql: &str) -> Value {
    let token = auditor().token(QUERY_URL).unwrap();
    let request = Request::post("/v1/sql")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(sql.to_owned()))
        .unwrap();
    let response = query.router().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Asks until the answer has a row.
async fn first_row(query: &Query, text: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = sql(query, text).await;
        if let Some(row) = answer["rows"].get(0) {
            return row.clone();
        }
        assert!(Instant::now() < deadline, "no row for {text}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_follows_answers_and_is_recorded() {
    let house = House::build().await;
    let query = house.query().await;
    let asked = "SELECT leaf_index, subject, query_text, inclusion_proof(leaf_index) FROM events
        WHERE kind = 'EvidenceAccessed' AND door = 'sql' AND query_text LIKE 'SELECT 4711%'";
    assert_eq!(sql(&query, "SELECT 4711 AS n").await["rows"][0][0], 4711);
    // The question itself is in the log, and can be proved.
    let row = first_row(&query, asked).await;
    assert_eq!((&row[1], &row[2]), (&"auditor-1".into(), &"SELECT 4711 AS n".into()));
    let index = row[0].as_u64().unwrap();
    let leaf = query.archive().unwrap().leaves(index..index + 1).await.unwrap().remove(0);
    let proof = TlogProof::parse(row[3].as_str().unwrap()).unwrap();
    proof.verify(&tlog::leaf_hash(&leaf), &house.log.verifying_key()).unwrap();

    // Enough accesses for segments, then a restart: nothing is lost, nothing doubled.
    for _ in 0..10 {
        sql(&query, "SELECT 1").await;
    }
    query.stop().await;
    let segments = fs::read_dir(house.dir.path().join("query/segments")).unwrap().count();
    assert!(segments >= 2, "{segments} files");
    let query = house.query().await;
    let counts =
        sql(&query, "SELECT count(*), count(DISTINCT event_id), max(leaf_index) FROM events").await;
    let row = &counts["rows"][0];
    assert_eq!(row[0], row[1], "{counts}");
    assert_eq!(row[0], counts["tree_size"]);
    assert_eq!(row[2].as_u64().map(|last| last + 1), row[0].as_u64());
    let missing = sql(&query, "SELECT sum(missing) FROM recorders").await;
    assert_eq!(missing["rows"][0][0], 0);
    query.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contradiction_outlives_a_restart() {
    let house = House::build().await;
    let query = house.query().await;
    query.stop().await;
    fs::write(
        house.dir.path().join("query/contradiction.json"),
        r#"{"reason":"the log signed two different roots of size 7","found_at":"","size":7,"root":"",
            "known_checkpoint":null,"offered_checkpoint":null}"#,
    )
    .unwrap();
    let query = Query::start(house.config()).await.unwrap();
    assert!(query.readiness().unwrap_err().contains("two different roots"));
    assert!(query.archive().is_err());
    assert_eq!(sql(&query, "SELECT 1").await["code"], "not_serving");
    query.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_ledger_nothing_is_answered() {
    let mut house = House::build().await;
    let query = house.query().await;
    if let Some(ledger) = house.ledger.take() {
        ledger.stop().await;
    }
    let answer = sql(&query, "SELECT 1").await;
    assert_eq!(answer["code"], "access_not_recorded", "{answer}");
}

#[tokio::test]
async fn every_mistake_in_the_configuration_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let config = QueryConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: "query".into(),
        tls: None,
        plaintext: false,
        ledger: "not a url".into(),
        ledger_tls: None,
        ledger_plaintext: false,
        ledger_audience: None,
        log_vkey: "nonsense".into(),
        recorder_key_file: dir.path().join("absent"),
        reader_key_file: None,
        data_dir: dir.path().join("query"),
        identity: IdentityConfig::default(),
        limits: Limits::default(),
    };
    let Err(error) = Query::start(config).await else { panic!("it started") };
    let text = error.to_string();
    for field in ["public_url", "ledger", "log_vkey", "recorder_key_file"] {
        assert!(text.contains(field), "{field} in {text}");
    }
}
