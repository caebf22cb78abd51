//! The `[query]` table of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use identity::IdentityConfig;
use identity::tls::{ClientTls, TlsConfig};
use proto::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A query node: what it follows, where it keeps its copy, who may ask, and how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryConfig {
    /// Where the HTTP doors listen.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Certificates, so that the doors speak TLS. Left out: they speak plain HTTP, on loopback only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Plain HTTP on an address that is not loopback: something in front of it speaks TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plaintext: bool,
    /// The canonical URL of these doors: the audience that a token must name.
    pub public_url: String,
    /// URL of the ledger, such as `http://127.0.0.1:7601`.
    pub ledger: String,
    /// How the ledger's certificate is trusted, and which one is shown there, when its URL is `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_tls: Option<ClientTls>,
    /// The ledger is on another machine, and the way to it is protected otherwise than by TLS: its URL may be `http`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ledger_plaintext: bool,
    /// The audience that the ledger asks of a reader's token. Left out: the URL of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_audience: Option<String>,
    /// The log's verifier key, from a source other than the ledger itself.
    pub log_vkey: String,
    /// File with the signing key under which accesses are recorded: the key, the key under a passphrase, or the name of a
    /// key in an ssh-agent.
    pub recorder_key_file: PathBuf,
    /// File with the signing key under which the log is read, which cannot be in an ssh-agent. Left out: the recorder's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader_key_file: Option<PathBuf>,
    /// Folder of the verified copy: tree nodes, segments, state. Holds disclosures in the clear.
    pub data_dir: PathBuf,
    /// Whose tokens are accepted.
    #[serde(default)]
    pub identity: IdentityConfig,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// Bounds of a query node. What passes one gets a clear error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds that one SQL query may take, from its start to the last byte of its answer.
    #[schemars(range(min = 1, max = 3600))]
    pub sql_timeout_seconds: u64,
    /// Rows that one SQL answer may have.
    #[schemars(range(min = 1))]
    pub sql_max_rows: u64,
    /// Size that one SQL answer may have in memory, in MiB.
    #[schemars(range(min = 1, max = 4096))]
    pub sql_max_result_mib: u64,
    /// Memory that one SQL query may use for joins, sorts and aggregates, in MiB; functions may hold as much again.
    #[schemars(range(min = 1, max = 65536))]
    pub sql_memory_mib: u64,
    /// Disk that one SQL query may use when its memory is full, in MiB; 0 for none.
    pub sql_spill_mib: u64,
    /// SQL queries that run at the same time; a further one waits a moment, then gets 429.
    #[schemars(range(min = 1, max = 256))]
    pub sql_concurrency: usize,
    /// Rows after which recent rows are sealed into a segment.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub segment_rows: usize,
    /// Bytes (leaves and disclosures, in MiB) after which recent rows are sealed into a segment.
    #[schemars(range(min = 1, max = 1024))]
    pub segment_mib: usize,
    /// Feed requests that wait or stream at the same time, of one caller a quarter of them; a further one gets 429.
    #[schemars(range(min = 1, max = 65536))]
    pub feed_concurrency: usize,
    /// Seconds between the accesses recorded of one feed consumer.
    #[schemars(range(min = 1, max = 3600))]
    pub feed_access_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sql_timeout_seconds: 30,
            sql_max_rows: 100_000,
            sql_max_result_mib: 64,
            sql_memory_mib: 256,
            sql_spill_mib: 1024,
            sql_concurrency: 4,
            segment_rows: 65_536,
            segment_mib: 64,
            feed_concurrency: 64,
            feed_access_seconds: 300,
        }
    }
}

impl QueryConfig {
    /// What is wrong with limits and roles, one line each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let roles = self.identity.unknown_roles(&Role::ALL.map(Role::as_str));
        let roles = roles.into_iter().map(|line| format!("identity.{line}"));
        self.limits.problems().chain(roles).collect()
    }
}

impl Limits {
    /// What is wrong with them, one line each.
    fn problems(&self) -> impl Iterator<Item = String> {
        let ranges = [
            ("sql_timeout_seconds", self.sql_timeout_seconds, 1, 3600),
            ("sql_max_rows", self.sql_max_rows, 1, u64::MAX),
            ("sql_max_result_mib", self.sql_max_result_mib, 1, 4096),
            ("sql_memory_mib", self.sql_memory_mib, 1, 65_536),
            ("sql_concurrency", self.sql_concurrency as u64, 1, 256),
            ("segment_rows", self.segment_rows as u64, 1, 1 << 20),
            ("segment_mib", self.segment_mib as u64, 1, 1024),
            ("feed_concurrency", self.feed_concurrency as u64, 1, 65_536),
            ("feed_access_seconds", self.feed_access_seconds, 1, 3600),
        ];
        ranges.into_iter().filter_map(|(name, value, least, most)| {
            let fits = (least..=most).contains(&value);
            (!fits).then(|| format!("limits.{name} is {value}: it must be {least} to {most}"))
        })
    }

    pub(crate) fn sql_timeout(&self) -> Duration {
        Duration::from_secs(self.sql_timeout_seconds)
    }

    pub(crate) fn sql_max_result_bytes(&self) -> usize {
        mib(self.sql_max_result_mib)
    }

    pub(crate) fn sql_memory_bytes(&self) -> usize {
        mib(self.sql_memory_mib)
    }

    pub(crate) fn segment_bytes(&self) -> usize {
        mib(self.segment_mib as u64)
    }

    pub(crate) fn feed_access_interval(&self) -> Duration {
        Duration::from_secs(self.feed_access_seconds)
    }
}

fn mib(count: u64) -> usize {
    usize::try_from(count.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7602))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_of_machines_must_exist_and_limits_fit() {
        let machine = |roles: &[&str]| json!({"name": "m", "public_key": "", "roles": roles});
        let every = machine(&Role::ALL.map(Role::as_str));
        let config: QueryConfig = serde_json::from_value(json!({
            "public_url": "http://127.0.0.1:7602", "ledger": "http://127.0.0.1:7601", "log_vkey": "",
            "recorder_key_file": "query.key", "data_dir": "data",
            "identity": {"machines": [every, machine(&["audit"])]},
            "limits": {"sql_concurrency": 0},
        }))
        .unwrap();
        assert_eq!(
            config.mistakes()[..2],
            [
                "limits.sql_concurrency is 0: it must be 1 to 256",
                "identity.machines[1].roles: there is no role `audit`: use one of admin, auditor, compliance, siem, \
                 approver, follower",
            ]
        );
    }
}
