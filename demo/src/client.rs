//! A person's MCP client: the official SDK, over Streamable HTTP, with a bearer token.

use std::collections::BTreeMap;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
    ProtocolVersion,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService, ServiceError,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::error::DemoError;

/// The gateway's JSON-RPC error codes for what a policy forbids, and for what none permits.
const BLOCKED: i32 = -31451;
const DENIED: i32 = -31403;

/// An open MCP session.
pub struct Mcp {
    who: String,
    session: RunningService<RoleClient, ClientConfig>,
}

/// How a call ended, as its caller saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, with what stands in it instead of masked values, by rule.
    Answered {
        /// What it says, shortened.
        text: String,
        /// `[masked:<rule>]` in it.
        masks: BTreeMap<String, usize>,
    },
    /// A policy forbids it.
    Blocked {
        /// What the caller was told.
        message: String,
    },
    /// No policy permits it.
    Denied {
        /// What the caller was told.
        message: String,
    },
    /// Not let in.
    Refused {
        /// HTTP status.
        status: u16,
        /// What the caller was told.
        message: String,
    },
    /// Anything else.
    Failed {
        /// What the caller was told.
        message: String,
    },
}

impl Mcp {
    /// Opens a session: with MCP 2026-07-28 (`server/discover`) when `modern`, else by `initialize`. Lists the tools.
    ///
    /// # Errors
    /// When the session cannot be opened.
    pub async fn connect(
        who: &str,
        url: &str,
        token: &str,
        modern: bool,
    ) -> Result<(Self, Vec<String>), DemoError> {
        let mode = if modern {
            ClientLifecycleMode::Discover {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            }
        } else {
            ClientLifecycleMode::Initialize
        };
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
        let transport = StreamableHttpClientTransport::with_client(http()?, config);
        let client = ClientConfig::new(
            ClientCapabilities::default(),
            Implementation::new("demo-client", env!("CARGO_PKG_VERSION")),
        );
        let what = || format!("the MCP session of {who} at {url}");
        let session = client
            .serve_with_lifecycle(transport, mode)
            .await
            .map_err(|error| DemoError::service(what(), chain(&error)))?;
        let tools = session.list_all_tools().await;
        let tools = tools.map_err(|error| DemoError::service(what(), chain(&error)))?;
        let tools = tools.into_iter().map(|tool| tool.name.into_owned()).collect();
        Ok((Self { who: who.to_owned(), session }, tools))
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When the session broke; a call that is refused is an [`Outcome`].
    pub async fn call(&self, tool: &str, arguments: &Value) -> Result<Outcome, DemoError> {
        let mut call = CallToolRequestParams::new(tool.to_owned());
        if let Value::Object(arguments) = arguments {
            call = call.with_arguments(arguments.clone());
        }
        match self.session.call_tool(call).await {
            Ok(result) => Ok(answered(&result)),
            Err(ServiceError::McpError(error)) => {
                let message = error.message.into_owned();
                Ok(match error.code.0 {
                    BLOCKED => Outcome::Blocked { message },
                    DENIED => Outcome::Denied { message },
                    _ => Outcome::Failed { message },
                })
            }
            Err(error) => {
                let what = format!("the MCP session of {} at a call of {tool}", self.who);
                Err(DemoError::service(what, chain(&error)))
            }
        }
    }

    /// Ends the session as the protocol says.
    ///
    /// # Errors
    /// When its task was aborted.
    pub async fn close(self) -> Result<(), DemoError> {
        let ended = self.session.cancel().await;
        ended.map(drop).map_err(|error| {
            DemoError::service(format!("ending the session of {}", self.who), error)
        })
    }
}

/// Knocks at the gateway's door with this token or none, as a client that opens a session does.
///
/// # Errors
/// When the gateway cannot be reached.
pub(crate) async fn knock(url: &str, token: Option<&str>) -> Result<Outcome, DemoError> {
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "demo-client", "version": env!("CARGO_PKG_VERSION")},
    }});
    let mut request =
        http()?.post(url).header("accept", "application/json, text/event-stream").json(&hello);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let failed =
        |error: reqwest::Error| DemoError::service(format!("the gateway at {url}"), chain(&error));
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body = response.text().await.map_err(failed)?;
    if status.is_success() {
        return Ok(Outcome::Answered { text: body, masks: BTreeMap::new() });
    }
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    let message = told["error"]["message"].as_str().unwrap_or(&body).to_owned();
    Ok(Outcome::Refused { status: status.as_u16(), message })
}

/// An HTTP client for loopback: a proxy of the environment must not be asked.
pub(crate) fn http() -> Result<reqwest::Client, DemoError> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(std::time::Duration::from_secs(5))
        .pool_max_idle_per_host(0)
        .build();
    client.map_err(|error| DemoError::service("an HTTP client", error))
}

fn answered(result: &CallToolResult) -> Outcome {
    let texts = result.content.iter().filter_map(|content| content.as_text());
    let text = texts.map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n");
    if result.is_error == Some(true) {
        return Outcome::Failed { message: text };
    }
    let masks = masks(&text);
    let rows = result.structured_content.as_ref().and_then(|rows| rows["rows"].as_array());
    Outcome::Answered { text: rows.map_or(text, |rows| table_in_words(rows)), masks }
}

/// `first row; …`, each value as the client got it.
fn table_in_words(rows: &[Value]) -> String {
    let row = |row: &Value| {
        let cells = row.as_object().into_iter().flat_map(|row| row.values());
        cells
            .map(|cell| cell.as_str().map_or(cell.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" ")
    };
    match rows {
        [] => "no rows".to_owned(),
        [only] => row(only),
        [first, ..] => format!("{} rows: {}; ...", rows.len(), row(first)),
    }
}

/// How often each rule's placeholder stands in a text.
pub(crate) fn masks(text: &str) -> BTreeMap<String, usize> {
    let mut masks = BTreeMap::new();
    for piece in text.split("[masked:").skip(1) {
        if let Some((rule, _)) = piece.split_once(']') {
            *masks.entry(rule.to_owned()).or_default() += 1;
        }
    }
    masks
}

/// An error with its causes, which name what went wrong.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::Shop;

    #[test]
    fn placeholders_are_counted_by_rule() {
        let found = masks("a [masked:email] b [masked:us_ssn], [masked:email] [masked:");
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("email".to_owned(), 2), ("us_ssn".to_owned(), 1)]
        );
    }

    #[tokio::test]
    async fn both_eras_reach_the_shop() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Shop::new().unwrap().router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        for modern in [false, true] {
            let (mcp, mut tools) = Mcp::connect("alice", &url, "none", modern).await.unwrap();
            tools.sort();
            assert_eq!(
                tools,
                ["deploy", "query_customers", "rotate_key", "run_sql", "search_docs"]
            );
            let sql = json!({"sql": "SELECT name, tier FROM customers LIMIT 2"});
            let answer = mcp.call("query_customers", &sql).await.unwrap();
            let text = "2 rows: Maria Lopez gold; ...".to_owned();
            assert_eq!(answer, Outcome::Answered { text, masks: BTreeMap::new() });
            let wrong = mcp.call("run_sql", &json!({"sql": "SELEC"})).await.unwrap();
            assert!(matches!(wrong, Outcome::Failed { .. }));
            mcp.close().await.unwrap();
        }
    }
}
