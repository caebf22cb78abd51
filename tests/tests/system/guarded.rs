//! What most tests start from: the server with personal data behind the gateway, its policies, its people.

use anyhow::Result;
use tests::issuer::Issuer;
use tests::mcp::Mcp;
use tests::peers::Node;
use tests::system::{Plan, Shape, System};
use tests::upstream::Upstream;

/// Engineers use the server within limits, contractors look customers up, everybody else is denied by default.
pub(crate) const POLICIES: &str = r#"
@id("known-callers-look")
permit (principal, action in [Action::"session", Action::"list"], resource in Server::"records")
unless { principal.kind == "unauthenticated" };

@id("engineers-use-records")
permit (principal in Group::"engineers", action in Action::"use", resource in Server::"records");

@id("contractors-look-up")
permit (principal in Group::"contractors", action == Action::"tools/call", resource == Tool::"records/find_customer");

@id("no-drop-database")
@reason("Databases are not dropped through a tool.")
forbid (principal, action == Action::"tools/call", resource in Server::"records")
when { context.facts.sql.contains("drop_database") };

@id("no-cards-to-deploy")
@reason("A deployment needs no card number.")
forbid (principal, action == Action::"tools/call", resource == Tool::"records/deploy")
when { context.facts.detectors.contains("payment_card") };
"#;

/// Limits that keep runaway queries short.
pub(crate) const QUERY_LIMITS: &str =
    "sql_timeout_seconds = 3\nsql_max_rows = 5000\nsegment_rows = 8\n";

/// The issuer, the server and the system in front of it. Dropped in this order, the system first.
pub(crate) struct Guarded {
    pub(crate) system: System,
    pub(crate) upstream: Upstream,
    pub(crate) issuer: Issuer,
}

impl Guarded {
    /// Starts everything; nothing, said loudly, without network to install the peers over.
    pub(crate) async fn start(shape: Shape) -> Result<Option<Self>> {
        let Some(node) = Node::find()? else { return Ok(None) };
        let (issuer, upstream) = tokio::try_join!(Issuer::start(&node), Upstream::records(&node))?;
        let mut plan = Plan::new(&[("records", &upstream.url, false)], POLICIES);
        plan.query_limits = QUERY_LIMITS.to_owned();
        let system = System::start(shape, &plan, Some(&issuer)).await?;
        Ok(Some(Self { system, upstream, issuer }))
    }

    /// URL of the guarded server, as clients know it.
    pub(crate) fn url(&self) -> String {
        self.system.mcp("records")
    }

    /// A token of `person` for the guarded server.
    pub(crate) async fn token(&self, person: &str) -> Result<String> {
        self.issuer.token(person, &self.url()).await
    }

    /// A token of `person` for the query node.
    pub(crate) async fn reader(&self, person: &str) -> Result<String> {
        self.issuer.token(person, &self.system.query()).await
    }

    /// A session of `person`, whose client knows the tools.
    pub(crate) async fn client(&self, person: &str) -> Result<Mcp> {
        let mut client = Mcp::connect(&self.url(), Some(&self.token(person).await?)).await?;
        client.request("tools/list", &serde_json::json!({})).await?;
        Ok(client)
    }
}
