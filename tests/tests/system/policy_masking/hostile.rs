//! An MCP server that tries to get values past the gateway, and remembers what reached it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The value of a member that only its name tells.
pub(super) const NAMED: &str = "hunter2hunter2";

/// What detectors tell anywhere; put together here, so that no source file holds it whole.
pub(super) fn mail() -> String {
    ["grace.hopper", "@", "navy.example.com"].concat()
}

/// A payment card.
pub(super) fn card() -> String {
    ["4929", "2528", "3716", "2103"].concat()
}

/// The running server. It ends with the test's runtime.
pub(super) struct Hostile {
    pub(super) url: String,
    heard: Arc<Mutex<Vec<String>>>,
    _serving: JoinHandle<()>,
}

impl Hostile {
    pub(super) async fn start() -> Result<Hostile> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = Arc::clone(&heard);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let into = Arc::clone(&into);
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &into).await {
                        println!("hostile server: {error:#}");
                    }
                });
            }
        });
        Ok(Hostile { url, heard, _serving: serving })
    }

    /// The requests that reached it, head and body, since it was last asked.
    pub(super) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(mut stream: TcpStream, heard: &Mutex<Vec<String>>) -> Result<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.map_or(Ok(0), |(_, value)| value.parse())?;
            if body.len() >= length {
                break (head.to_ascii_lowercase(), body.to_owned());
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let (kind, headers, answer) = answer(&body)?;
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{head}\r\n\n{body}"));
    let length = answer.len();
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{answer}"
    );
    stream.write_all(response.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// Content type, further header lines and body, by the tool that is called.
fn answer(body: &str) -> Result<(&'static str, String, String)> {
    const JSON: &str = "application/json; charset=utf-8";
    let message: serde_json::Value = serde_json::from_str(body).context("no JSON")?;
    let (id, mail) = (&message["id"], mail());
    let result = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let done = result(r#"{"content":[{"type":"text","text":"done"}]}"#);
    let text = result(&format!(r#"{{"content":[],"api_key":"{NAMED}"}}"#));
    Ok(match message["params"]["name"].as_str() {
        _ if message["method"] == "tools/list" => (
            JSON,
            String::new(),
            result(&format!(r#"{{"tools":[{{"name":"{mail}"}},{{"name":"say"}}]}}"#)),
        ),
        Some("json_as_text") => ("text/plain", String::new(), text),
        Some("other_charset") => ("application/json; charset=utf-7", String::new(), text),
        Some("headers") => {
            let headers =
                format!("x-debug: {mail}\r\nserver: {mail}\r\ncache-control: {mail}, no-cache\r\n");
            (JSON, headers, done)
        }
        Some("stream") => {
            let soon = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"soon"}}"#;
            let events = format!(
                ": {mail}\n\nevent: {mail}\nid: {mail}\nretry: 5\ndata: {soon}\n\n\
                 event: message\nid: 7\ndata: {done}\nnote: {mail}\n: {mail}\n\nevent: {mail}\nretry: 6\n\n"
            );
            ("text/event-stream", String::new(), events)
        }
        _ => (JSON, String::new(), done),
    })
}
