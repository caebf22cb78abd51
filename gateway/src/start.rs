//! Starting and stopping.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use bytes::Bytes;
use controls::Snapshot;
use identity::Verifier;
use proto::kind::Kind;
use proto::v1::{MediaType, PolicyActivated, Slot};
use recorder::{Draft, RecordError, Recorder, RecorderConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, GatewayConfig, Settings};
use crate::http::{self, Hosts};
use crate::inventory::Inventory;
use crate::knocks::{self, Count, Knocks};
use crate::record::{self, Log};
use crate::room::bytes::Budget;
use crate::room::compute::Computers;
use crate::room::places::Places;
use crate::route::Route;
use crate::session::Sessions;

/// Longest wait for the ledger to acknowledge the active policy.
const ACTIVATION_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for the record to be closed.
const CLOSING_WAIT: Duration = Duration::from_secs(10);
/// How long exchanges that are cut off at a stop may take to record their end.
const CUT_OFF_WAIT: Duration = Duration::from_secs(5);

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Mistakes in the configuration or in the files it names, all of them.
    #[error("the gateway's configuration has mistakes:{}", lines(.problems))]
    Config {
        /// One line each: where, what, what to do.
        problems: Vec<String>,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
    /// The ledger does not take this gateway's record.
    #[error("the record cannot be opened: {0}")]
    Recorder(#[from] recorder::StartError),
    /// The active policy could not be recorded.
    #[error("the active policy could not be recorded: {0}")]
    Policy(#[from] RecordError),
    /// The ledger did not acknowledge the active policy in time.
    #[error("the ledger did not acknowledge the active policy within {} s", ACTIVATION_WAIT.as_secs())]
    Late,
}

impl StartError {
    /// May the same start succeed later, with the ledger back?
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Recorder(recorder::StartError::Record { source, .. }) | Self::Policy(source) => {
                source.is_retryable()
            }
            Self::Late => true,
            _ => false,
        }
    }
}

/// A gateway that is ready to serve.
pub struct Gateway {
    shared: Arc<Shared>,
    drain_wait: Duration,
}

/// What all exchanges share.
pub(crate) struct Shared {
    pub(crate) routes: BTreeMap<String, Arc<Route>>,
    pub(crate) hosts: Hosts,
    pub(crate) verifier: Verifier,
    pub(crate) snapshot: Snapshot,
    pub(crate) log: Log,
    pub(crate) sessions: Sessions,
    pub(crate) inventory: Inventory,
    pub(crate) waits: Waits,
    pub(crate) knocks: Knocks,
    /// For exchanges that may be open.
    pub(crate) places: Places,
    /// For the bytes of messages.
    pub(crate) budget: Budget,
    pub(crate) computers: Computers,
    /// Every exchange's task, and those that finish its record.
    pub(crate) exchanges: TaskTracker,
    /// No new exchanges; listening streams end.
    pub(crate) stopping: CancellationToken,
    /// Every exchange ends now.
    pub(crate) cut_off: CancellationToken,
}

/// Bounds on waits; see [`crate::Limits`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) answer: Duration,
    pub(crate) body: Duration,
    pub(crate) abandoned: Duration,
    pub(crate) stall: Duration,
}

impl Gateway {
    /// Checks the configuration, opens the record, and records which policy is active.
    ///
    /// # Errors
    /// [`StartError`]; nothing was served, and nothing stays open.
    pub async fn start(config: GatewayConfig) -> Result<Gateway, StartError> {
        let Settings { ledger, log, key, verifier, snapshot, hosts, routes } =
            config::check(&config).map_err(|problems| StartError::Config { problems })?;
        let mut session_key = [0; 32];
        getrandom::fill(&mut session_key).map_err(|error| StartError::Random(error.to_string()))?;
        let limits = config.limits;
        // An issuer may be slow, and nothing is to be waited for once the start is recorded.
        verifier.warm().await;
        let recorder = Recorder::start(RecorderConfig {
            ledger,
            log,
            key,
            checkpoint_file: config.checkpoint_file,
            limits: recorder::Limits {
                record_timeout: record::PERSISTENCE,
                ..recorder::Limits::default()
            },
        })
        .await?;
        let activated = recorder.record(activation(&snapshot));
        let activated = tokio::time::timeout(ACTIVATION_WAIT, activated).await;
        if let Some(error) =
            activated.map_or(Some(StartError::Late), |recorded| recorded.err().map(Into::into))
        {
            stop(&recorder, true).await;
            return Err(error);
        }
        let exchanges = TaskTracker::new();
        let record_wait = Duration::from_millis(limits.record_wait_ms);
        let shared = Shared {
            routes,
            hosts,
            verifier,
            snapshot,
            log: Log::new(recorder, record_wait, exchanges.clone()),
            sessions: Sessions::new(session_key, limits.sessions as usize, limits.session_share()),
            inventory: Inventory::default(),
            waits: Waits {
                answer: Duration::from_millis(limits.answer_wait_ms),
                body: Duration::from_millis(limits.body_wait_ms),
                abandoned: Duration::from_millis(limits.abandoned_wait_ms),
                stall: Duration::from_millis(limits.stall_wait_ms),
            },
            knocks: Knocks::default(),
            places: Places::new(limits.places()),
            budget: Budget::new(usize::try_from(limits.message_bytes).unwrap_or(usize::MAX)),
            computers: Computers::new(),
            exchanges,
            stopping: CancellationToken::new(),
            cut_off: CancellationToken::new(),
        };
        let drain_wait = Duration::from_millis(limits.drain_wait_ms);
        let shared = Arc::new(shared);
        shared.exchanges.spawn(record_counted(Arc::clone(&shared)));
        Ok(Gateway { shared, drain_wait })
    }

    /// The routes to serve: `/mcp/{server}`, `/.well-known/oauth-protected-resource…`, `/healthz`, `/readyz`.
    ///
    /// Whoever serves them may put `ConnectInfo<SocketAddr>` into the requests' extensions; without it the
    /// record names no client address.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.shared))
    }

    /// Whether a request would be served now.
    ///
    /// # Errors
    /// Why not.
    pub fn readiness(&self) -> Result<(), String> {
        self.shared.readiness()
    }

    /// Stops: no new exchanges, listening streams end, the others may finish within the configured wait and are
    /// cut off after it; then the record is closed.
    pub async fn stop(&self) {
        let Shared { exchanges, stopping, cut_off, knocks, log, .. } = &*self.shared;
        stopping.cancel();
        exchanges.close();
        let mut drained = tokio::time::timeout(self.drain_wait, exchanges.wait()).await.is_ok();
        if !drained {
            cut_off.cancel();
            drained = tokio::time::timeout(CUT_OFF_WAIT, exchanges.wait()).await.is_ok();
        }
        write_down(log, knocks, knocks.end()).await;
        stop(log.recorder(), drained).await;
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers: Vec<&String> = self.shared.routes.keys().collect();
        f.debug_struct("Gateway").field("servers", &servers).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn readiness(&self) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("the gateway is stopping".to_owned());
        }
        self.log.recorder().readiness().map_err(|error| error.to_string())
    }
}

/// Records what was counted of unknown callers whenever its window has ended, until the gateway stops.
async fn record_counted(shared: Arc<Shared>) {
    while shared.stopping.run_until_cancelled(tokio::time::sleep(knocks::PAUSE)).await.is_some() {
        let ended = shared.knocks.ended(Instant::now());
        write_down(&shared.log, &shared.knocks, ended).await;
    }
}

/// Records counts. What is certainly not recorded is counted on; what may become durable yet is not, lest it be
/// recorded twice.
async fn write_down(log: &Log, knocks: &Knocks, counts: Vec<Count>) {
    if counts.is_empty() {
        return;
    }
    if let Err(unrecorded) = log.record_counts(counts.iter().map(knocks::draft).collect()).await {
        tracing::warn!(error = %unrecorded, "counted refusals are not recorded yet");
        if !unrecorded.may_come() {
            let now = Instant::now();
            counts.into_iter().for_each(|count| knocks.keep(count, now));
        }
    }
}

async fn stop(recorder: &Recorder, drained: bool) {
    if tokio::time::timeout(CLOSING_WAIT, recorder.stop(drained)).await.is_err() {
        tracing::warn!("the ledger is away: the end of the gateway's record is not recorded");
    }
}

fn activation(snapshot: &Snapshot) -> Draft {
    let kind = Kind::PolicyActivated(PolicyActivated {
        snapshot_digest: Bytes::copy_from_slice(&snapshot.digest()),
        previous_digest: Bytes::new(),
    });
    Draft::new(kind).disclose(Slot::Snapshot, MediaType::Json, snapshot.bytes().clone())
}

fn lines(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
