//! A bare MCP client (2025-11-25) that shows every status, header and byte, which real clients hide.

use anyhow::{Context, Result, ensure};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// The revision that it speaks.
const VERSION: &str = "2025-11-25";

/// A client with a session.
pub struct Mcp {
    http: reqwest::Client,
    url: String,
    headers: HeaderMap,
    next_id: u64,
}

/// What an HTTP request was answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: String,
}

impl Mcp {
    /// A client without a session yet.
    ///
    /// # Errors
    /// When the token is no header value.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let mut headers = HeaderMap::new();
        let fixed = [
            ("accept", "application/json, text/event-stream"),
            ("content-type", "application/json"),
            ("mcp-protocol-version", VERSION),
        ];
        for (name, value) in fixed {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let Some(token) = token {
            headers.insert("authorization", HeaderValue::from_str(&format!("Bearer {token}"))?);
        }
        Ok(Self { http: reqwest::Client::new(), url: url.to_owned(), headers, next_id: 1 })
    }

    /// A client that has gone through the handshake.
    ///
    /// # Errors
    /// When that fails.
    pub async fn connect(url: &str, token: Option<&str>) -> Result<Self> {
        let mut client = Self::new(url, token)?;
        let hello = json!({
            "protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "bare", "version": "1"}
        });
        let message = client.message("initialize", &hello);
        let answer = client.post(message.to_string()).await?;
        ensure!(answer.status == 200, "initialize: {answer:?}");
        if let Some(session) = answer.headers.get("mcp-session-id") {
            client.headers.insert("mcp-session-id", session.clone());
        }
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let accepted = client.post(initialized.to_string()).await?;
        ensure!(accepted.status == 202, "notifications/initialized: {accepted:?}");
        Ok(client)
    }

    /// Sends a request and returns its JSON-RPC response.
    ///
    /// # Errors
    /// When none comes.
    pub async fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        let message = self.message(method, params);
        self.post(message.to_string()).await?.message()
    }

    /// Calls a tool and returns the JSON-RPC response.
    ///
    /// # Errors
    /// When none comes.
    pub async fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value> {
        self.request("tools/call", &json!({"name": tool, "arguments": arguments})).await
    }

    /// The bytes of a tool call, for those who change them.
    pub fn call_text(&mut self, tool: &str, arguments: &Value) -> String {
        self.message("tools/call", &json!({"name": tool, "arguments": arguments})).to_string()
    }

    /// Posts any body.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Result<Answer> {
        let response =
            self.http.post(&self.url).headers(self.headers.clone()).body(body).send().await?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }

    fn message(&mut self, method: &str, params: &Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    }
}

impl Answer {
    /// The JSON-RPC response in it, be it the body or the last event of a stream.
    ///
    /// # Errors
    /// When there is none.
    pub fn message(&self) -> Result<Value> {
        let kind = self.headers.get("content-type").and_then(|value| value.to_str().ok());
        let text = if kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            let data = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
            data.map(str::trim).rfind(|data| !data.is_empty()).unwrap_or_default()
        } else {
            &self.body
        };
        serde_json::from_str(text).with_context(|| format!("no JSON-RPC message: {self:?}"))
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
