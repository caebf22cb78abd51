//! Components in one process, over loopback, by the same doors as apart.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use controls::{Snapshot, SnapshotSource};
use evidence::Exporter;
use gateway::Gateway;
use ledger::Ledger;
use query::Query;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, read_key};
use crate::failure::Failure;
use crate::serve;
use crate::tls::Tls;

/// Sockets that were bound before the configuration was written, for ports that the system chose.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) ledger: Option<TcpListener>,
    pub(crate) gateway: Option<TcpListener>,
    pub(crate) query: Option<TcpListener>,
}

/// Running components, each on its port; none before the start.
#[derive(Default)]
pub(crate) struct Stack {
    ledger: Option<Served<Ledger>>,
    query: Option<Served<Query>>,
    gateway: Option<Served<Gateway>>,
}

struct Served<T> {
    component: T,
    /// `http` or `https`.
    scheme: &'static str,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl<T> Served<T> {
    fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Stack {
    /// Starts the components whose tables `config` has: ledger, query, gateway, in this order, since each needs
    /// the ones before. What had started when it fails, or is dropped, is there to be stopped.
    pub(crate) async fn start(
        &mut self,
        config: Config,
        options: ledger::Options,
        listeners: Listeners,
    ) -> Result<(), Failure> {
        let metrics = serve::install_metrics();
        // Before anything runs that could record a start in vain.
        let evidence = match config.evidence {
            Some(evidence) if config.query.is_some() => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&evidence.work_dir)
                    .and_then(|()| evidence::remove_leftovers(&evidence.work_dir))
                    .map_err(|error| crate::failure::file(&evidence.work_dir, &error))?;
                let signer = read_key(&evidence.package_key_file)?;
                Some((signer, evidence.witness_policy()?, evidence.work_dir))
            }
            _ => None,
        };
        if let Some(config) = config.ledger {
            let listener = listen("ledger", listeners.ledger, config.listen).await?;
            let tls = certificates("ledger", config.tls.as_ref())?;
            let ledger = Ledger::start_masking(config, options, masker()?).await;
            let ledger = ledger.map_err(ledger_failure)?;
            let router = serve::with_metrics(ledger.router(), metrics.clone());
            self.ledger = Some(serve_on(listener, tls, router, ledger));
        }
        if let Some(config) = config.query {
            let listener = listen("query", listeners.query, config.listen).await?;
            let tls = certificates("query", config.tls.as_ref())?;
            let query = Query::start(config)
                .await
                .map_err(|error| start_failure("query_start", error.is_retryable(), error))?;
            let mut router = query.router();
            if let Some((signer, quorum, work_dir)) = evidence {
                let exporter = Exporter::new(query.clone(), signer, quorum, work_dir);
                router = router.merge(exporter.router());
            }
            let router = serve::with_metrics(router, metrics.clone());
            self.query = Some(serve_on(listener, tls, router, query));
        }
        if let Some(config) = config.gateway {
            let listener = listen("gateway", listeners.gateway, config.listen).await?;
            let tls = certificates("gateway", config.tls.as_ref())?;
            let gateway = Gateway::start(config).await.map_err(gateway_failure)?;
            let router = serve::with_metrics(gateway.router(), metrics);
            self.gateway = Some(serve_on(listener, tls, router, gateway));
        }
        Ok(())
    }

    /// Where each component listens: its name and URL.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, String)> {
        let ledger = self.ledger.as_ref().map(|served| ("ledger", served.url()));
        let query = self.query.as_ref().map(|served| ("query", served.url()));
        let gateway = self.gateway.as_ref().map(|served| ("gateway", served.url()));
        [ledger, query, gateway].into_iter().flatten().collect()
    }

    /// Returns when the ledger cannot go on, with the reason.
    pub(crate) async fn failed(&self) -> Failure {
        match &self.ledger {
            Some(ledger) => Failure::failed("ledger_failed", ledger.component.failed().await),
            None => std::future::pending().await,
        }
    }

    /// Stops in the reverse order of the start, so that each can still record its end.
    pub(crate) async fn stop(self) {
        if let Some(Served { component, stop, serving, .. }) = self.gateway {
            component.stop().await;
            end(stop, serving).await;
        }
        if let Some(Served { component, stop, serving, .. }) = self.query {
            component.stop().await;
            end(stop, serving).await;
        }
        if let Some(Served { component, stop, serving, .. }) = self.ledger {
            component.stop().await;
            end(stop, serving).await;
        }
    }
}

/// The detectors that Exhibit ships, for what people write into orders.
fn masker() -> Result<ledger::Masker, Failure> {
    let detectors = Snapshot::build(SnapshotSource::default())
        .map_err(|error| Failure::unusable("detectors", error))?;
    Ok(Arc::new(move |text: &str| detectors.mask_text(text).text))
}

async fn listen(
    component: &str,
    bound: Option<TcpListener>,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), Failure> {
    match bound {
        Some(listener) => {
            let address = listener.local_addr().map_err(|error| {
                Failure::unusable(
                    "listen",
                    format!("the {component} cannot listen on {address}: {error}"),
                )
            })?;
            Ok((listener, address))
        }
        None => serve::bind(component, address).await,
    }
}

fn certificates(
    component: &'static str,
    files: Option<&identity::tls::TlsConfig>,
) -> Result<Option<Arc<Tls>>, Failure> {
    files.map(|files| Tls::open(component, files.clone())).transpose()
}

fn serve_on<T>(
    (listener, address): (TcpListener, SocketAddr),
    tls: Option<Arc<Tls>>,
    router: axum::Router,
    component: T,
) -> Served<T> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve::serve_with(listener, router, tls, stop.clone()));
    Served { component, scheme, address, stop, serving }
}

async fn end(stop: CancellationToken, serving: JoinHandle<()>) {
    stop.cancel();
    if let Err(error) = serving.await {
        tracing::warn!(%error, "a listener ended badly");
    }
}

fn ledger_failure(error: ledger::StartError) -> Failure {
    match error {
        ledger::StartError::Config(_) => Failure::unusable("config", error),
        ledger::StartError::Store(ledger::store::StoreError::InUse { .. }) => {
            Failure::unusable("ledger_running", error)
        }
        ledger::StartError::Behind { .. } | ledger::StartError::RestoredIsOlder { .. } => {
            Failure::failed("store_behind", error)
        }
        ledger::StartError::Contradicts { .. } => Failure::failed("store_contradicts", error),
        ledger::StartError::RestoreUnfinished(_) => Failure::failed("restore_unfinished", error),
        ledger::StartError::RestoredUnvouched(_) => Failure::failed("restored_unvouched", error),
        ledger::StartError::RestoredDamaged(_) => Failure::failed("restored_damaged", error),
        ledger::StartError::NoCheckpoint { .. } => Failure::failed("checkpoint_missing", error),
        ledger::StartError::Fatal(ledger::Fatal::Clock(_) | ledger::Fatal::ClockBehind(_)) => {
            Failure::failed("clock_stepped", error)
        }
        ledger::StartError::Witness(ledger::WitnessRefusal::Contradiction { .. }) => {
            Failure::failed("witness_contradicts", error)
        }
        ledger::StartError::Witness(ledger::WitnessRefusal::NoQuorum { .. }) => {
            Failure::unreachable("witness_quorum", error)
        }
        ledger::StartError::Witness(ledger::WitnessRefusal::NoMemory { .. }) => {
            Failure::failed("witness_memory", error)
        }
        _ => Failure::failed("ledger_start", error),
    }
}

/// A log that is not what this gateway verified is evidence that failed, not a mistake in how it is run. (A query
/// node starts then, and says so at its doors.)
fn gateway_failure(error: gateway::StartError) -> Failure {
    let source = match &error {
        gateway::StartError::Recorder(recorder::StartError::Record { source, .. })
        | gateway::StartError::Policy(source) => Some(source),
        _ => None,
    };
    match source {
        Some(source) if source.is_contradiction() => Failure::failed(source.code(), &error),
        _ => start_failure("gateway_start", error.is_retryable(), error),
    }
}

fn start_failure(code: &str, is_retryable: bool, error: impl std::fmt::Display) -> Failure {
    if is_retryable {
        Failure::unreachable("ledger_unreachable", error)
    } else {
        Failure::unusable(code, error)
    }
}
