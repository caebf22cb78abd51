//! One port: HTTP/1.1, HTTP/2 and gRPC together, and a stop that lets what runs finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::failure::Failure;
use crate::tls::Tls;

/// A connection that does not answer pings for this long is closed: a peer that vanished frees its stream.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A request's head must have come by then, the first one of a connection as well.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one listener that may be open at once; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 16_384;
/// What still runs after a stop is cut off then.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest head of a request; a longer one is answered 431. Of HTTP/1.1 it is the size of the buffer as well.
const MAX_HEAD_BYTES: u32 = 32 << 10;
const MAX_HTTP2_STREAMS: u32 = 1_024;
const HTTP2_WINDOW_BYTES: u32 = 4 << 20;

/// Binds the address of a component; port 0 lets the system choose.
pub(crate) async fn bind(
    component: &str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let about = |error: std::io::Error| {
        let message =
            format!("the {component} cannot listen on {address} ({component}.listen): {error}");
        Failure::unusable("listen", message)
    };
    let listener = TcpListener::bind(address).await.map_err(about)?;
    let bound = listener.local_addr().map_err(about)?;
    Ok((listener, bound))
}

/// Counters of the process.
pub(crate) fn install_metrics() -> Option<PrometheusHandle> {
    metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().ok()
}

/// Adds `/metrics`, in Prometheus' text format.
pub(crate) fn with_metrics(router: Router, metrics: Option<PrometheusHandle>) -> Router {
    match metrics {
        Some(metrics) => router.route("/metrics", get(move || async move { metrics.render() })),
        None => router,
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// Serves in the clear until `stop`, then waits for what runs, within a bound.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve_with(listener, router, None, stop).await;
}

/// The same, over TLS when there are certificates.
pub(crate) async fn serve_with(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: CancellationToken,
) {
    let reloading = tls.clone().map(|tls| tokio::spawn(async move { tls.watch().await }));
    let server = Arc::new(server());
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, peer, place)) = accepted else {
            // Out of file descriptors, or a connection that ended before it was taken: go on.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let (server, router, watcher) = (Arc::clone(&server), router.clone(), graceful.watcher());
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            match tls {
                None => serve_one(&server, stream, peer, router, watcher).await,
                Some(tls) => {
                    let stream = stop.run_until_cancelled(tls.accept(stream)).await.flatten();
                    if let Some(stream) = stream {
                        serve_one(&server, stream, peer, router, watcher).await;
                    }
                }
            }
            drop(place);
        });
    }
    drop(listener);
    if let Some(reloading) = reloading {
        reloading.abort();
    }
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the stop, and were cut off");
    }
}

fn server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES);
    server
}

/// Serves one connection until it ends, or until it has asked nothing for too long.
async fn serve_one(
    server: &Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    watcher: Watcher,
) {
    let has_asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&has_asked);
    let service = service_fn(move |mut request: Request<Incoming>| {
        asks.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(watcher.watch(connection.into_owned()));
    let silent = async {
        tokio::time::sleep(HEADER_TIMEOUT).await;
        if has_asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = &mut connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        }
        () = silent => tracing::debug!(%peer, "a connection that asked nothing was closed"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Time passes by itself when nothing else is to be done.
    async fn connected(router: Router) -> TcpStream {
        let (listener, address) =
            bind("test", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        TcpStream::connect(address).await.unwrap()
    }

    async fn answer(connection: &mut TcpStream) -> String {
        let mut text = String::new();
        let read = connection.read_to_string(&mut text);
        tokio::time::timeout(HEADER_TIMEOUT * 3, read).await.unwrap().unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_closed() {
        let mut silent = connected(Router::new()).await;
        assert_eq!(answer(&mut silent).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asked_may_wait_for_its_answer() {
        let slow = || async {
            tokio::time::sleep(HEADER_TIMEOUT * 2).await;
            "at last"
        };
        let mut asking = connected(Router::new().route("/", get(slow))).await;
        asking.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        assert!(answer(&mut asking).await.ends_with("at last"));
    }

    #[tokio::test]
    async fn the_head_of_a_request_has_a_bound() {
        for (size, passes) in [(31 << 10, true), (40 << 10, false)] {
            let router = Router::new().route("/", get(|| async { "here" }));
            let mut connection = connected(router).await;
            let agent = "x".repeat(size);
            let head = format!(
                "GET / HTTP/1.1\r\nhost: h\r\nuser-agent: {agent}\r\nconnection: close\r\n\r\n"
            );
            connection.write_all(head.as_bytes()).await.unwrap();
            let mut told = String::new();
            // What is left unread may reset the connection before the 431 is there.
            connection.read_to_string(&mut told).await.unwrap_or_default();
            assert_eq!(told.starts_with("HTTP/1.1 200"), passes, "{size}: {told}");
        }
    }

    #[tokio::test]
    async fn the_head_of_a_request_has_a_bound_in_http2() {
        let stream = connected(Router::new().route("/", get(|| async { "here" }))).await;
        let http2 = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = http2.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for (size, expected) in [(31 << 10, 200), (40 << 10, 431)] {
            let request = Request::get("http://h/").header("user-agent", "x".repeat(size));
            let request = request.body(axum::body::Body::empty()).unwrap();
            sender.ready().await.unwrap();
            let told = sender.send_request(request).await.unwrap();
            assert_eq!(told.status().as_u16(), expected);
        }
    }
}
