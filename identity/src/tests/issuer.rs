//! An OIDC issuer on loopback: discovery and JWKS over real HTTP, in a runtime of its own so that
//! it can go away.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use super::signer::Signer;

type Headers = Vec<(HeaderName, String)>;
type Answer = (u16, Headers, Vec<u8>);

/// What the issuer answers at each path, and how often it was asked.
#[derive(Default)]
struct Pages {
    answers: HashMap<String, Answer>,
    asked: HashMap<String, usize>,
}

pub(super) struct TestIssuer {
    /// Never listens: keeps the port from other tests.
    port: TcpSocket,
    path: &'static str,
    pages: Arc<Mutex<Pages>>,
    runtime: Option<Runtime>,
}

impl TestIssuer {
    /// An issuer without a path, with discovery document and keys.
    pub(super) fn start(signers: &[&Signer]) -> TestIssuer {
        Self::start_at("", "/.well-known/openid-configuration", signers)
    }

    /// An issuer with a path, whose metadata stands at `place`.
    pub(super) fn start_at(path: &'static str, place: &str, signers: &[&Signer]) -> TestIssuer {
        let port = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut issuer = TestIssuer { port, path, pages: Arc::default(), runtime: None };
        issuer.resume();
        issuer.publish(
            place,
            &json!({"issuer": issuer.url(), "jwks_uri": format!("{}/keys", issuer.origin())}),
        );
        issuer.publish_keys(signers);
        issuer
    }

    pub(super) fn url(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address())
    }

    fn address(&self) -> SocketAddr {
        self.port.local_addr().unwrap()
    }

    pub(super) fn publish_keys(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.publish("/keys", &json!({ "keys": keys }));
    }

    pub(super) fn publish(&self, path: &str, document: &Value) {
        self.answer(path, 200, vec![], document.to_string().into_bytes());
    }

    pub(super) fn answer(&self, path: &str, status: u16, headers: Headers, body: Vec<u8>) {
        self.pages.lock().unwrap().answers.insert(path.to_owned(), (status, headers, body));
    }

    /// How often `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.pages.lock().unwrap().asked.get(path).copied().unwrap_or(0)
    }

    /// Takes the issuer off the network, open connections included.
    pub(super) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
            let deadline = Instant::now() + Duration::from_secs(10);
            while TcpStream::connect(self.address()).is_ok() {
                assert!(Instant::now() < deadline, "the issuer does not go away");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Puts it (back) on the network, at the same address.
    pub(super) fn resume(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let app = Router::new().fallback(page).with_state(Arc::clone(&self.pages));
        let socket = bind(self.address());
        let listener = {
            let _within = runtime.enter();
            socket.listen(64).unwrap()
        };
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        self.runtime = Some(runtime);
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A socket bound to `address`. Bound twice: once to keep the port while the issuer is off, once to
/// listen.
fn bind(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn page(State(pages): State<Arc<Mutex<Pages>>>, uri: Uri) -> Response {
    let mut pages = pages.lock().unwrap();
    *pages.asked.entry(uri.path().to_owned()).or_default() += 1;
    match pages.answers.get(uri.path()) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some((status, headers, body)) => {
            let mut response =
                (StatusCode::from_u16(*status).unwrap(), body.clone()).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}
