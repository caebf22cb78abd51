//! A recorder against a real ledger: one that refuses for a while, and one that was put back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use ledger::store::RocksStore;
use ledger::{Ledger, LedgerConfig, Options};
use proto::kind::Kind;
use proto::v1::RecorderStopped;
use recorder::{Draft, LedgerAddress, Limits, RecordError, Recorder, RecorderConfig, StartError};
use tempfile::TempDir;
use tlog::SigningKey;
use tokio::task::JoinHandle;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(20);

fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, [seed; 32]).unwrap()
}

/// What the ledger answers to the next streams, before it serves them.
type Refusals = Arc<Mutex<Vec<(Code, &'static str)>>>;

/// A folder with a ledger's keys and data.
struct House {
    dir: TempDir,
    refusals: Refusals,
    /// Of the ledger.
    limits: ledger::Limits,
    /// Streams that were opened.
    streams: Arc<AtomicUsize>,
}

/// A ledger that runs and is served.
struct Running {
    address: SocketAddr,
    ledger: Ledger,
    serving: JoinHandle<()>,
}

impl House {
    fn build() -> Self {
        let (limits, streams) = (ledger::Limits::default(), Arc::default());
        Self { dir: tempfile::tempdir().unwrap(), refusals: Refusals::default(), limits, streams }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn ledger(&self) -> Running {
        let config = LedgerConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: "http://127.0.0.1:7601".into(),
            data_dir: self.path("ledger"),
            checkpoint_file: None,
            witness: None,
            backup: None,
            retention: Default::default(),
            log_key_file: self.key_file(&key("log.example", 1)),
            next_log_key_file: None,
            recorder_key_file: self.key_file(&key("ledger", 2)),
            recorders: vec![key("r", 3).verifying_key().to_string()],
            duties: Default::default(),
            limits: self.limits,
            tls: None,
            plaintext: false,
            identity: Default::default(),
        };
        let ledger = Ledger::start(config.clone(), Options::default()).await.unwrap();
        let (refusals, streams) = (Arc::clone(&self.refusals), Arc::clone(&self.streams));
        let router = ledger.router().layer(from_fn(move |request, next| {
            streams.fetch_add(1, Ordering::Relaxed);
            let refused = refusals.lock().unwrap().pop();
            refuse_or_serve(refused, request, next)
        }));
        let listener = tokio::net::TcpListener::bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Running { address, ledger, serving }
    }

    /// Stops it, and waits until it has let go of the store: RocksDB knows open stores by their path.
    async fn stop(&self, running: Running) {
        running.ledger.stop().await;
        running.serving.abort();
        let store = self.path("ledger/store");
        eventually("the store is closed", || RocksStore::open(&store).is_ok()).await;
    }

    fn key_file(&self, key: &SigningKey) -> PathBuf {
        let path = self.path(&format!("{}.key", key.name()));
        fs::write(&path, key.encode().as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    async fn recorder(
        &self,
        ledger: &Running,
        checkpoint_file: Option<PathBuf>,
    ) -> Result<Recorder, StartError> {
        self.recorder_with(ledger, checkpoint_file, Limits::default()).await
    }

    async fn recorder_with(
        &self,
        ledger: &Running,
        checkpoint_file: Option<PathBuf>,
        limits: Limits,
    ) -> Result<Recorder, StartError> {
        Recorder::start(RecorderConfig {
            ledger: LedgerAddress::new(&format!("http://{}", ledger.address), None, false).unwrap(),
            log: key("log.example", 1).verifying_key(),
            key: std::sync::Arc::new(key("r", 3)),
            checkpoint_file,
            limits,
        })
        .await
    }
}

async fn refuse_or_serve(
    refused: Option<(Code, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let Some((code, name)) = refused else { return next.run(request).await };
    let mut metadata = MetadataMap::new();
    metadata.insert("exhibit-code", MetadataValue::from_static(name));
    Status::with_metadata(code, "refused by the test", metadata).into_http()
}

fn draft() -> Draft {
    Draft::new(Kind::RecorderStopped(RecorderStopped { drained: false }))
}

/// Entries of the checkpoint that is kept.
fn kept_size(file: &Path) -> u64 {
    let note = fs::read_to_string(file).unwrap_or_default();
    note.lines().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0)
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_a_handshake_does_not_end_a_recorder() {
    let house = House::build();
    let ledger = house.ledger().await;
    *house.refusals.lock().unwrap() = vec![
        (Code::DeadlineExceeded, "handshake_timeout"),
        (Code::DeadlineExceeded, "protocol"),
        (Code::Internal, "randomness"),
    ];
    let recorder = house.recorder(&ledger, None).await.unwrap();
    assert!(house.refusals.lock().unwrap().is_empty());
    recorder.record(draft()).await.unwrap();
    recorder.stop(true).await;
    // What only a person can change is told at once.
    house.refusals.lock().unwrap().push((Code::Unauthenticated, "recorder_unknown"));
    let refused = house.recorder(&ledger, None).await.unwrap_err();
    assert!(refused.to_string().contains("recorder_unknown"), "{refused}");
    house.stop(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_is_slowed_down_loses_nothing() {
    const EVENTS: u64 = 150;
    let mut house = House::build();
    house.limits.events_per_second = Some(50);
    let ledger = house.ledger().await;
    let limits = Limits { record_timeout: Duration::from_secs(60), ..Limits::default() };
    let recorder = house.recorder_with(&ledger, None, limits).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..EVENTS {
        let recorder = recorder.clone();
        calls.spawn(async move { recorder.record(draft()).await.unwrap().sequence });
    }
    let mut sequences = calls.join_all().await;
    sequences.sort_unstable();
    sequences.dedup();
    // Each is durable, once; its seals stand in between.
    assert_eq!(sequences.len() as u64, EVENTS);
    let streams = house.streams.load(Ordering::Relaxed);
    assert!(streams > 1, "it was never asked to pause");
    recorder.readiness().unwrap();
    recorder.stop(true).await;
    house.stop(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_put_back_whole_gets_nothing_from_a_restarted_recorder() {
    let house = House::build();
    let file = house.path("verified");
    house.stop(house.ledger().await).await;
    copy(&house.path("ledger"), &house.path("older"));

    let ledger = house.ledger().await;
    let recorder = house.recorder(&ledger, Some(file.clone())).await.unwrap();
    for _ in 0..20 {
        recorder.record(draft()).await.unwrap();
    }
    let place = recorder.record(draft()).await.unwrap().place.unwrap();
    eventually("the newest checkpoint is kept", || kept_size(&file) > place.leaf_index.0).await;
    recorder.stop(true).await;
    house.stop(ledger).await;
    let kept = fs::read_to_string(&file).unwrap();

    // The newest ledger is the one it knows.
    let ledger = house.ledger().await;
    house.recorder(&ledger, Some(file.clone())).await.unwrap().stop(true).await;
    house.stop(ledger).await;

    fs::rename(house.path("ledger"), house.path("newest")).unwrap();
    fs::rename(house.path("older"), house.path("ledger")).unwrap();
    let ledger = house.ledger().await;
    let refused = house.recorder(&ledger, Some(file.clone())).await.unwrap_err();
    assert_eq!(code(&refused), "ledger_lost_events");

    // It grows beyond what was known, by a recorder that knows nothing.
    let other = house.recorder(&ledger, None).await.unwrap();
    let mut last = 0;
    while last <= kept_size(&file) {
        last = other.record(draft()).await.unwrap().place.unwrap().leaf_index.0;
    }
    other.stop(true).await;
    eventually("it is published", || {
        kept_size(&house.path("ledger/checkpoint")) > kept_size(&file)
    })
    .await;
    let refused = house.recorder(&ledger, Some(file.clone())).await.unwrap_err();
    assert_eq!(code(&refused), "checkpoint_contradicted");
    assert!(kept_size(&file) >= kept.lines().nth(1).unwrap().parse().unwrap(), "it was forgotten");
    house.stop(ledger).await;
}

fn code(error: &StartError) -> &str {
    match error {
        StartError::Record { source: RecordError::Refused { code, .. }, .. } => code,
        other => panic!("{other}"),
    }
}
