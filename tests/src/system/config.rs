//! What a system is made of, as its configuration and its trust file say it.

use super::System;
use crate::issuer::Issuer;

/// How a system is put together.
#[derive(Debug, Default)]
pub struct Plan {
    /// Servers behind the gateway: name, URL, open to everybody.
    pub servers: Vec<(String, String, bool)>,
    /// Text of the Cedar policies.
    pub policies: String,
    /// Names of recorders besides the gateway and the query node.
    pub recorders: Vec<String>,
    /// Machines that read the ledger besides the query node: name and role.
    pub readers: Vec<(String, String)>,
    /// Lines of `[query.limits]`.
    pub query_limits: String,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) ledger: u16,
    pub(super) gateway: u16,
    pub(super) query: u16,
}

impl Plan {
    /// Servers with these policies.
    pub fn new(servers: &[(&str, &str, bool)], policies: &str) -> Self {
        let owned =
            |&(name, url, open): &(&str, &str, bool)| (name.to_owned(), url.to_owned(), open);
        let servers = servers.iter().map(owned).collect();
        Self { servers, policies: policies.to_owned(), ..Self::default() }
    }
}

impl System {
    pub(super) fn config(&self, plan: &Plan, issuer: Option<&Issuer>) -> String {
        let (ledger, gateway, query) = (self.ledger(), self.gateway(), self.query());
        let Ports { ledger: ledger_port, gateway: gateway_port, query: query_port } = self.ports;
        let vkey = |name: &str| self.vkey(name);
        let recorders: Vec<String> = ["gateway", "query"]
            .into_iter()
            .chain(plan.recorders.iter().map(String::as_str))
            .map(|name| format!("  \"{}\",\n", vkey(name)))
            .collect();
        let recorders = recorders.concat();
        let identity = |table: &str| match issuer {
            None => String::new(),
            Some(issuer) => format!(
                "[[{table}.identity.issuers]]\nissuer = \"{}\"\nalgorithms = [\"ES256\"]\nkind_claim = \"kind\"\n",
                issuer.url()
            ),
        };
        let (gateway_identity, query_identity) = (identity("gateway"), identity("query"));
        let servers: Vec<String> = plan
            .servers
            .iter()
            .map(|(name, url, open)| {
                let auth = if *open { "none" } else { "bearer" };
                format!("[gateway.servers.{name}]\nurl = \"{url}\"\nauth = \"{auth}\"\n")
            })
            .collect();
        let servers = servers.concat();
        let log = vkey("log");
        let follower = ("query".to_owned(), "follower".to_owned());
        let machines: Vec<String> = std::iter::once(&follower)
            .chain(&plan.readers)
            .map(|(name, role)| {
                format!(
                    "[[ledger.identity.machines]]\nname = \"{name}\"\npublic_key = \"{}\"\nroles = [\"{role}\"]\n",
                    vkey(name)
                )
            })
            .collect();
        let machines = machines.concat();
        let limits = &plan.query_limits;
        // A gateway that guards nothing has no table.
        let gateway = match servers.as_str() {
            "" => String::new(),
            servers => format!(
                r#"
[gateway]
listen = "127.0.0.1:{gateway_port}"
public_url = "{gateway}"
ledger = "{ledger}"
log_vkey = "{log}"
recorder_key_file = "keys/gateway.key"
checkpoint_file = "gateway.checkpoint"
policy_dir = "policies"
{gateway_identity}[gateway.limits]
record_wait_ms = 2000
{servers}"#
            ),
        };
        format!(
            r#"[ledger]
listen = "127.0.0.1:{ledger_port}"
public_url = "{ledger}"
data_dir = "ledger"
log_key_file = "keys/log.key"
recorder_key_file = "keys/ledger.key"
recorders = [
{recorders}]
duties = {{ gateway = "gateway", query = "query" }}
{machines}
[query]
listen = "127.0.0.1:{query_port}"
public_url = "{query}"
ledger = "{ledger}"
log_vkey = "{log}"
recorder_key_file = "keys/query.key"
data_dir = "query"
{query_identity}[query.limits]
{limits}

[evidence]
package_key_file = "keys/packages.key"
work_dir = "exports"
{gateway}"#
        )
    }

    /// The trust file that an auditor would get from the operator, apart from any package.
    pub(super) fn trust(&self) -> String {
        let mut text =
            format!("log {}\nquorum none\nsigner {}\n", self.vkey("log"), self.vkey("packages"));
        for (name, vkey) in &self.vkeys {
            if !matches!(name.as_str(), "log" | "packages") {
                text.push_str(&format!("recorder {vkey}\n"));
            }
        }
        text
    }
}
