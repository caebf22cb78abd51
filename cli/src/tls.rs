//! TLS of a listener: handshakes, and certificates that are taken up again when their files change or on SIGHUP.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use identity::tls::TlsConfig;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::failure::Failure;

/// A handshake must be over by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A failed handshake of the same cause is told again only after this long: strangers must not fill the process's log.
const REPEAT: Duration = Duration::from_secs(60);
/// After a failed handshake so much is still read, so long, that the peer gets to read why.
const LAST_BYTES: usize = 64 << 10;
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The certificates of one listener.
pub(crate) struct Tls {
    component: &'static str,
    files: TlsConfig,
    current: RwLock<Arc<ServerConfig>>,
    told: Mutex<Option<(String, Instant)>>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn open(component: &'static str, files: TlsConfig) -> Result<Arc<Self>, Failure> {
        let read = files.read().map_err(|mistakes| {
            Failure::unusable("tls", format!("[{component}] {}", mistakes.join("\n  ")))
        })?;
        let (current, told) = (RwLock::new(read), Mutex::default());
        Ok(Arc::new(Self { component, files, current, told }))
    }

    /// The handshake; `None` when there will be no connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let peer = stream.peer_addr().ok();
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        let accept = TlsAcceptor::from(config).accept(stream).into_fallible();
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, accept).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err((error, stream))) => {
                let peer = peer.map(|peer| peer.ip().to_string());
                self.tell(peer.as_deref(), &error);
                linger(stream).await;
                None
            }
            Err(_) => {
                tracing::debug!(?peer, "a TLS handshake took too long");
                None
            }
        }
    }

    /// Reads the files again whenever they change, and on SIGHUP; what cannot be used is told, and the certificates of
    /// before stay. Never returns.
    pub(crate) async fn watch(&self) {
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => Some(hangups),
            Err(error) => {
                tracing::warn!(%error, "SIGHUP is not heard; certificates are read again when their files change");
                None
            }
        };
        let mut look = tokio::time::interval(LOOK);
        let mut seen = self.stamps();
        loop {
            let is_asked = tokio::select! {
                _ = look.tick() => false,
                () = next(&mut hangups) => true,
            };
            let now = self.stamps();
            if is_asked || now != seen {
                seen = now;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        let component = self.component;
        match self.files.read() {
            Ok(read) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
                tracing::info!(component, "the certificates were read again");
            }
            Err(mistakes) => {
                let mistakes = mistakes.join("; ");
                tracing::error!(component, %mistakes, "the new certificates cannot be used; those of before are shown");
            }
        }
    }

    /// What changes when a file is written, replaced, or reached by another link.
    fn stamps(&self) -> Vec<Option<(u64, u64, i64, i64)>> {
        let stamp = |file| {
            let file = std::fs::metadata(file).ok()?;
            Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
        };
        self.files.files().map(stamp).collect()
    }

    fn tell(&self, peer: Option<&str>, error: &io::Error) {
        let reason = error.to_string();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_told = |(before, at): &(String, Instant)| *before == reason && now - *at < REPEAT;
        if told.as_ref().is_some_and(is_told) {
            return;
        }
        let (component, hint) = (self.component, identity::tls::hint(&reason).unwrap_or_default());
        tracing::warn!(component, ?peer, %reason, hint, "a TLS handshake failed");
        *told = Some((reason, now));
    }
}

async fn next(hangups: &mut Option<tokio::signal::unix::Signal>) {
    if let Some(hangups) = hangups
        && hangups.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// A socket that is closed over bytes that nobody read resets the connection, and the alert that says why is lost.
async fn linger(mut stream: TcpStream) {
    let mut left = LAST_BYTES;
    let read = async {
        let mut buffer = [0; 4096];
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Whether the peer closed in time changes nothing.
    tokio::time::timeout(LAST_WAIT, read).await.unwrap_or_default();
}
