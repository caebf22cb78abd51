//! A ledger, a gateway, and a server that says what a test wants it to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response};
use gateway::{Gateway, GatewayConfig};
use identity::MachineKey;
use ledger::{Ledger, Options};
use proto::kind::Kind;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::subscribe_response::Item;
use proto::v1::{Slot, SubscribeRequest};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Longest wait for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a server answers to a method with a body.
pub(crate) type Script = Arc<dyn Fn(&Method, &str) -> Response<Body> + Send + Sync>;

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) http: reqwest::Client,
    pub(crate) address: SocketAddr,
    ledger_url: String,
    /// Closes the ledger when the world ends.
    _ledger: Ledger,
    _dir: TempDir,
}

/// An event with what it discloses.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) kind: Kind,
    pub(crate) disclosed: BTreeMap<i32, Vec<u8>>,
}

impl Recorded {
    /// What is disclosed in a slot, as text.
    pub(crate) fn text(&self, slot: Slot) -> Option<String> {
        let bytes = self.disclosed.get(&(slot as i32))?;
        Some(String::from_utf8(bytes.clone()).unwrap())
    }
}

fn write_key(dir: &Path, name: &str, seed: u8) -> (String, tlog::SigningKey) {
    use std::os::unix::fs::PermissionsExt;
    let key = tlog::SigningKey::from_seed(name, [seed; 32]).unwrap();
    let path = dir.join(format!("{seed}.key"));
    std::fs::write(&path, key.encode().as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (path.display().to_string(), key)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The machine that calls the routes that ask for a token.
pub(crate) fn machine() -> MachineKey {
    MachineKey::new("caller-1", &[41; 32])
}

fn follower() -> MachineKey {
    MachineKey::new("reader-1", &[42; 32])
}

impl World {
    /// With the routes `open`, without authentication, and `guarded`, both to a server that follows `script`;
    /// `limits` are lines of `[limits]`.
    pub(crate) async fn start(limits: &str, script: Script) -> World {
        let dir = tempfile::tempdir().unwrap();
        let (log_file, log) = write_key(dir.path(), "log.example/test", 1);
        let (ledger_file, _) = write_key(dir.path(), "ledger-1", 2);
        let (gateway_file, key) = write_key(dir.path(), "gateway-1", 3);
        let (ledger_listener, ledger_address) = listener().await;
        let ledger_url = format!("http://{ledger_address}");
        let config = format!(
            "listen = '{ledger_address}'\npublic_url = '{ledger_url}'\ndata_dir = '{}'\nlog_key_file = '{log_file}'\n\
             recorder_key_file = '{ledger_file}'\nrecorders = ['{}']\n[[identity.machines]]\nname = 'reader-1'\n\
             public_key = '{}'\nroles = ['follower']\n",
            dir.path().join("ledger").display(),
            key.verifying_key(),
            follower().vkey(),
        );
        let config = toml::from_str(&config).unwrap();
        let ledger = Ledger::start(config, Options::default()).await.unwrap();
        tokio::spawn(axum::serve(ledger_listener, ledger.router()).into_future());
        let (server_listener, server_address) = listener().await;
        let server = Router::new().fallback(move |request: Request| {
            let script = Arc::clone(&script);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                script(&parts.method, std::str::from_utf8(&body).unwrap())
            }
        });
        tokio::spawn(axum::serve(server_listener, server).into_future());
        let permit = "permit(principal, action, resource);";
        std::fs::create_dir(dir.path().join("policies")).unwrap();
        std::fs::write(dir.path().join("policies/all.cedar"), permit).unwrap();
        let (gateway_listener, address) = listener().await;
        let config = format!(
            "listen = '{address}'\npublic_url = 'http://{address}'\nledger = '{ledger_url}'\nlog_vkey = '{}'\n\
             recorder_key_file = '{gateway_file}'\npolicy_dir = '{}'\n[limits]\n{limits}\n\
             [servers.open]\nurl = 'http://{server_address}/mcp'\nauth = 'none'\n\
             [servers.guarded]\nurl = 'http://{server_address}/mcp'\n\
             [[identity.machines]]\nname = 'caller-1'\npublic_key = '{}'\nroles = []\n",
            log.verifying_key(),
            dir.path().join("policies").display(),
            machine().vkey(),
        );
        let config: GatewayConfig = toml::from_str(&config).unwrap();
        let gateway = Gateway::start(config).await.unwrap();
        let router = gateway.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(gateway_listener, router).into_future());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        World { gateway, http, address, ledger_url, _ledger: ledger, _dir: dir }
    }

    pub(crate) fn url(&self, route: &str) -> String {
        format!("http://{}/mcp/{route}", self.address)
    }

    /// A POST of a message to a route.
    pub(crate) fn post(&self, route: &str, message: impl Into<String>) -> reqwest::RequestBuilder {
        let request = self.http.post(self.url(route)).header("content-type", "application/json");
        request.header("accept", "application/json, text/event-stream").body(message.into())
    }

    /// A token for the guarded route.
    pub(crate) fn token(&self) -> String {
        machine().token(&self.url("guarded")).unwrap()
    }

    /// Everything that the gateway recorded and the log has published, in order.
    pub(crate) async fn recorded(&self) -> Vec<Recorded> {
        let client = LedgerClient::connect(self.ledger_url.clone()).await.unwrap();
        let mut client = client.max_decoding_message_size(64 << 20);
        let mut request = tonic::Request::new(SubscribeRequest { from_index: 0 });
        let token = follower().token(&self.ledger_url).unwrap();
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut messages = client.subscribe(request).await.unwrap().into_inner();
        let mut events = Vec::new();
        while let Some(Item::Entries(run)) = messages.message().await.unwrap().unwrap().item {
            for subscribed in run.entries {
                let event = proto::decode_entry(&subscribed.entry).unwrap().event;
                if event.recorder.unwrap().recorder_id != "gateway-1" {
                    continue;
                }
                let disclosed = subscribed.openings.into_iter();
                let disclosed = disclosed.map(|opening| (opening.slot, opening.content.to_vec()));
                events.push(Recorded { kind: event.kind.unwrap(), disclosed: disclosed.collect() });
            }
        }
        events
    }

    /// What is recorded, once it is so.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_so: impl Fn(&[Recorded]) -> bool,
    ) -> Vec<Recorded> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let recorded = self.recorded().await;
            if is_so(&recorded) {
                return recorded;
            }
            assert!(Instant::now() < deadline, "not in time: {what}: {recorded:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A call of a tool with this id.
pub(crate) fn call(id: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t","arguments":{{}}}}}}"#
    )
}

/// The id of a request.
pub(crate) fn id_of(message: &str) -> Value {
    serde_json::from_str::<Value>(message).unwrap()["id"].clone()
}

/// An answer of HTTP.
pub(crate) fn answer(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(body.into()).unwrap()
}
