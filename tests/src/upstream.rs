//! The MCP servers behind the gateway.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::peers::Node;
use crate::process::Process;
use crate::system::free_port;

/// A running MCP server.
pub struct Upstream {
    _process: Process,
    /// Its Streamable HTTP endpoint.
    pub url: String,
}

/// What the server of [`Upstream::records`] knows, and nobody else may see.
///
/// Put together here, so that no source file holds such a value whole.
pub fn raw_values() -> Vec<(&'static str, String)> {
    let key_body = ["MC4CAQAwBQYDK2Vw", "BCIEIJ1hsZ3v", "EpHfqfV8mJ7Kxw"].concat();
    vec![
        ("email", ["grace.hopper", "@", "navy.example.com"].concat()),
        ("ssn", ["536", "22", "8145"].join("-")),
        ("card", ["4556", "7375", "8689", "9855"].concat()),
        ("api_key", ["AKIA", "J5T3QWZ7", "VN2KXL6M"].concat()),
        ("private_key_body", key_body),
    ]
}

impl Upstream {
    /// npm `@modelcontextprotocol/server-everything`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn everything(node: &Node) -> Result<Self> {
        let script = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        for _ in 0..5 {
            let port = free_port()?;
            let mut command = node.script(script);
            command.arg("streamableHttp").env("PORT", port.to_string());
            let mut process = Process::start("server-everything", command)?;
            let listens = |text: &str| text.contains("listening on port").then_some(());
            match process.says(listens).await {
                Ok(()) => {
                    let url = format!("http://127.0.0.1:{port}/mcp");
                    return Ok(Self { _process: process, url });
                }
                Err(error) if error.to_string().contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
        bail!("no port was free for server-everything")
    }

    /// A server with everything that the conformance suite asks for.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn conformance(node: &Node) -> Result<Self> {
        Self::serve(node, "everything-conformance.mjs", &[]).await
    }

    /// A server with personal data, secrets and a destructive command: see [`raw_values`].
    ///
    /// # Errors
    /// When it does not start.
    pub async fn records(node: &Node) -> Result<Self> {
        let values = raw_values();
        let value =
            |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let (begin, end) = (["-----BEGIN", "PRIVATE KEY-----"], ["-----END", "PRIVATE KEY-----"]);
        let body = value("private_key_body").context("private_key_body")?;
        let private_key = format!("{}\n{body}\n{}", begin.join(" "), end.join(" "));
        let customer = json!({
            "name": "Grace", "email": value("email"), "ssn": value("ssn"), "card": value("card"),
        });
        let secrets = json!({"apiKey": value("api_key"), "privateKey": private_key});
        let env =
            [("RECORDS_CUSTOMER", customer.to_string()), ("RECORDS_SECRETS", secrets.to_string())];
        Self::serve(node, "records.mjs", &env).await
    }

    /// How many MCP requests have reached it, by method and in all (`requests`); not for server-everything.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn count(&self) -> Result<Value> {
        let url = self.url.replace("/mcp", "/count");
        Ok(reqwest::get(url).await?.json().await?)
    }

    async fn serve(node: &Node, script: &str, env: &[(&str, String)]) -> Result<Self> {
        let mut command = node.script(script);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start(script, command)?;
        let url = process
            .says(|text| {
                let said: Value = serde_json::from_str(text.lines().next()?).ok()?;
                said["url"].as_str().map(str::to_owned)
            })
            .await?;
        Ok(Self { _process: process, url })
    }
}
