//! The `[gateway]` table of the configuration.

mod check;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use identity::IdentityConfig;
use identity::tls::{ClientTls, TlsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::room::places::Most;
pub(crate) use check::{Settings, check};

/// The gateway: where it listens, where it records, whom it believes, what it guards.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Address on which the gateway serves. Routes without authentication need a loopback address.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Certificates, so that the doors speak TLS. Left out: they speak plain HTTP, on loopback only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Plain HTTP on an address that is not loopback: something in front of it speaks TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plaintext: bool,
    /// The URL under which clients reach the gateway, without a path: the base of the audiences of its tokens
    /// and of its RFC 9728 metadata, such as `https://mcp.example.com`.
    pub public_url: String,
    /// URL of the ledger that keeps the record, such as `http://127.0.0.1:7601`.
    #[serde(default = "default_ledger")]
    pub ledger: String,
    /// How the ledger's certificate is trusted, and which one is shown there, when its URL is `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_tls: Option<ClientTls>,
    /// The ledger is on another machine, and the way to it is protected otherwise than by TLS: its URL may be `http`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ledger_plaintext: bool,
    /// Verifier key of the ledger's log, `name+id+base64`: its checkpoints are believed, no others.
    pub log_vkey: String,
    /// File with the signing key by which the ledger knows this gateway, as `exhibit keygen` writes it: the key, the key
    /// under a passphrase, or the name of a key in an ssh-agent.
    pub recorder_key_file: PathBuf,
    /// File in which the gateway keeps the newest checkpoint that it verified, so that after a restart, too, it refuses a
    /// ledger that lost what this gateway saw. Each gateway has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_file: Option<PathBuf>,
    /// Whose tokens are accepted.
    #[serde(default)]
    pub identity: IdentityConfig,
    /// Folder whose `*.cedar` files are the policies. What no policy permits is denied.
    pub policy_dir: PathBuf,
    /// File with detectors in place of those that are built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectors_file: Option<PathBuf>,
    /// Ids of detectors that shall find nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled_detectors: Vec<String>,
    /// Values of `Origin` that are accepted besides the gateway's own hosts, such as `https://app.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// Values of `Host` that are accepted, with port (that port only) or without (any port). Left out: the host
    /// of `public_url`, the address of `listen`, and this machine's loopback names when `listen` is loopback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// The MCP servers behind the gateway, by the name under which they are reached: `/mcp/<name>`.
    pub servers: BTreeMap<String, ServerConfig>,
    /// Bounds on waits and on what is kept in memory.
    #[serde(default)]
    pub limits: Limits,
}

/// One MCP server behind the gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Its Streamable HTTP endpoint. Never the caller's credentials are sent there.
    pub url: String,
    /// How callers of this route prove who they are.
    #[serde(default)]
    pub auth: RouteAuth,
    /// Audience that a caller's token must name. Left out: `<public_url>/mcp/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Scopes that a caller's token must grant, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Headers with the gateway's own credentials for this server, by header name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderSource>,
}

/// How callers of a route prove who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteAuth {
    /// By an OAuth access token.
    #[default]
    Bearer,
    /// Not at all: for servers on this machine, while the gateway listens on loopback.
    None,
}

/// Where the value of a header comes from: exactly one of `file` and `env`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSource {
    /// File that holds the value; white space around it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Environment variable that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Text before the value, such as `Bearer ` (with its space).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

/// Bounds on waits and on what is kept in memory.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest wait for the ledger to acknowledge an event, in milliseconds; then the caller gets 503.
    #[schemars(range(min = 1, max = 600_000))]
    pub record_wait_ms: u64,
    /// Longest wait for a connection to a server, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub connect_wait_ms: u64,
    /// Longest silence of a server that owes an answer, in milliseconds. Listening streams may be silent for ever.
    #[schemars(range(min = 1))]
    pub answer_wait_ms: u64,
    /// Longest time until a caller's request body is there whole, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub body_wait_ms: u64,
    /// How long an answer is awaited and recorded after its caller went away, in milliseconds. (Where going away
    /// is a cancellation, from MCP 2026-07-28 on, it is not awaited at all.)
    #[schemars(range(max = 3_600_000))]
    pub abandoned_wait_ms: u64,
    /// How long a caller may leave a message of a stream unread, in milliseconds; then it counts as gone away.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub stall_wait_ms: u64,
    /// How long open exchanges may still run when the gateway stops, in milliseconds.
    #[schemars(range(max = 3_600_000))]
    pub drain_wait_ms: u64,
    /// Exchanges open at once, listening streams included; more are refused with 503.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub open_exchanges: u32,
    /// Of them, those of one caller; more are refused with 429. All callers of a route without authentication count
    /// as one. Left out: a quarter of `open_exchanges`.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_exchanges_per_caller: Option<u32>,
    /// Of all, those that may be listening streams (GET, `subscriptions/listen`), so that they leave room for calls;
    /// more are refused with 503. Left out: half of `open_exchanges`.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listening_streams: Option<u32>,
    /// Listening streams of one caller; more are refused with 429. Left out: half of `open_exchanges_per_caller`.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listening_streams_per_caller: Option<u32>,
    /// Bytes of callers' messages held at once, from reading them until their server has them; who gets no room for
    /// some seconds is refused with 503. One caller may hold a quarter, or one message of 16 MiB; more is refused with
    /// 429.
    #[schemars(range(min = 16_777_216, max = 1_099_511_627_776_u64))]
    pub message_bytes: u64,
    /// Protocol sessions remembered; beyond it the one idle longest is forgotten and its client starts anew.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub sessions: u32,
    /// Of them, those of one caller; beyond it its own that is idle longest is forgotten. Left out: a quarter of
    /// `sessions`.
    #[schemars(range(min = 1, max = 10_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_caller: Option<u32>,
}

impl Limits {
    /// The shares of callers and of listening streams, those that are left out among them.
    pub(crate) fn places(&self) -> Most {
        let part = |share: Option<u32>, of: usize, parts: usize| {
            share.map_or(of / parts, |share| share as usize).clamp(1, of.max(1))
        };
        let open = self.open_exchanges as usize;
        let open_of_caller = part(self.open_exchanges_per_caller, open, 4);
        Most {
            open,
            open_of_caller,
            listening: part(self.listening_streams, open, 2),
            listening_of_caller: part(self.listening_streams_per_caller, open_of_caller, 2),
        }
    }

    /// Sessions of one caller.
    pub(crate) fn session_share(&self) -> usize {
        let share = self.sessions_per_caller.unwrap_or(self.sessions / 4);
        share.clamp(1, self.sessions.max(1)) as usize
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            record_wait_ms: 5_000,
            connect_wait_ms: 5_000,
            answer_wait_ms: 3_600_000,
            body_wait_ms: 30_000,
            abandoned_wait_ms: 60_000,
            stall_wait_ms: 30_000,
            drain_wait_ms: 10_000,
            open_exchanges: 4_096,
            open_exchanges_per_caller: None,
            listening_streams: None,
            listening_streams_per_caller: None,
            message_bytes: 64 << 20,
            sessions: 10_000,
            sessions_per_caller: None,
        }
    }
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 7600).into()
}

fn default_ledger() -> String {
    "http://127.0.0.1:7601".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        public_url = "http://127.0.0.1:7600"
        log_vkey = "log+00000000+AA"
        recorder_key_file = "gateway.key"
        policy_dir = "policies"
        [servers.db]
        url = "http://127.0.0.1:9000/mcp"
        headers.authorization = { env = "DB_TOKEN", prefix = "Bearer " }
    "#;

    #[test]
    fn reads_toml_with_defaults_and_refuses_unknown_fields() {
        let config: GatewayConfig = toml::from_str(MINIMAL).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:7600");
        assert_eq!(config.servers["db"].auth, RouteAuth::Bearer);
        assert_eq!(config.servers["db"].headers["authorization"].env.as_deref(), Some("DB_TOKEN"));
        for place in ["listne = 1\n", "limits.sesions = 3\n"] {
            assert!(toml::from_str::<GatewayConfig>(&format!("{place}{MINIMAL}")).is_err());
        }
        assert!(
            toml::from_str::<GatewayConfig>(&format!("{MINIMAL}\nheaders.x = 'secret'")).is_err()
        );
    }

    #[test]
    fn shares_follow_from_the_whole() {
        let limits = Limits { open_exchanges: 20, sessions: 3, ..Limits::default() };
        let most = Most { open: 20, open_of_caller: 5, listening: 10, listening_of_caller: 2 };
        assert_eq!((limits.places(), limits.session_share()), (most, 1));
        let limits = Limits {
            open_exchanges_per_caller: Some(99),
            listening_streams: Some(1),
            sessions_per_caller: Some(2),
            ..limits
        };
        let most = Most { open: 20, open_of_caller: 20, listening: 1, listening_of_caller: 10 };
        assert_eq!((limits.places(), limits.session_share()), (most, 2));
        let one = Limits { open_exchanges: 1, ..Limits::default() };
        assert_eq!(one.places().listening_of_caller, 1);
    }

    #[test]
    fn has_a_json_schema_with_a_description_of_every_field() {
        let schema = serde_json::to_value(schemars::schema_for!(GatewayConfig)).unwrap();
        let tables = ["ServerConfig", "HeaderSource", "Limits"].map(|name| &schema["$defs"][name]);
        for table in tables.into_iter().chain([&schema]) {
            assert_eq!(table["additionalProperties"], false);
            for (name, field) in table["properties"].as_object().unwrap() {
                assert!(field["description"].is_string(), "{name}");
            }
        }
    }
}
