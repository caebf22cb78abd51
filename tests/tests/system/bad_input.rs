//! What no client should send: each gets its own clear answer, is recorded, and never reaches the server.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::mcp::Mcp;
use tests::system::Shape;

use crate::guarded::Guarded;

/// As docs state: one MCP message.
const LIMIT_BYTES: usize = 16 * 1024 * 1024;

#[test]
fn malformed_messages_are_refused_recorded_and_not_forwarded() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let mut client = guarded.client("erin").await?;
        let before = guarded.upstream.count().await?;

        let call = client.call_text("deploy", &json!({"service": "billing"}));
        let oversized = format!("{call}{}", " ".repeat(LIMIT_BYTES));
        let edited = |from: &str, to: &str| call.replacen(from, to, 1).into_bytes();
        let mut not_utf8 = edited("billing", "?");
        not_utf8.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
        // What is wrong, the body, HTTP status, JSON-RPC code, what is recorded.
        let cases: Vec<(&str, Vec<u8>, u16, i64, &str)> = vec![
            ("no JSON", call[..call.len() - 3].into(), 400, -32700, "malformed"),
            ("no body", Vec::new(), 400, -32700, "malformed"),
            ("no UTF-8", not_utf8, 400, -32700, "malformed"),
            ("a lone surrogate", edited("billing", "\\ud800"), 400, -32700, "malformed"),
            ("a key twice", edited("{", r#"{"method":"ping","#), 400, -32700, "malformed"),
            (
                "a key twice, deep inside and once escaped",
                edited(r#""service":"#, r#""servic\u0065":"x","service":"#),
                400,
                -32700,
                "malformed",
            ),
            ("a key in other case", edited("{", r#"{"Method":"ping","#), 400, -32600, "malformed"),
            ("a batch", format!("[{call}]").into(), 400, -32600, "malformed"),
            ("no JSON-RPC", b"{}".into(), 400, -32600, "malformed"),
            ("too many bytes", oversized.into(), 413, -31413, "too_large"),
        ];
        let mut expected = Vec::new();
        for (what, body, status, code, refusal) in cases {
            let answer = client.post(body).await?;
            let told = answer.message().map_err(|error| error.context(what))?;
            let text = told["error"]["message"].as_str().unwrap_or_default();
            ensure!(
                answer.status == status && told["error"]["code"] == code && !text.is_empty(),
                "{what}: {} {told}",
                answer.status
            );
            expected.push(json!([refusal, status]));
        }
        let after = guarded.upstream.count().await?;
        ensure!(before == after, "a malformed message reached the server: {before} {after}");

        // The client goes on in the same session.
        let answered = client.call("deploy", &json!({"service": "billing"})).await?;
        ensure!(answered["result"]["content"][0]["text"] == "billing is rolling out", "{answered}");
        let ada = guarded.reader("ada").await?;
        let recorded =
            "SELECT refusal, http_status FROM events WHERE kind = 'CallDenied' ORDER BY leaf_index";
        guarded.system.rows(&ada, recorded, |rows| rows == expected).await?;
        Ok(())
    })
}

#[test]
fn an_unknown_server_is_told_and_recorded_without_its_name() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let url = guarded.system.mcp("payroll-of-mallory");
        let client = Mcp::new(&url, Some(&guarded.token("erin").await?))?;
        let answer = client.post(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#).await?;
        let told = answer.message()?;
        ensure!(answer.status == 404 && told["error"]["code"] == -31404, "{answer:?}");
        let ada = guarded.reader("ada").await?;
        let recorded = "SELECT refusal, server, leaf FROM events WHERE kind = 'CallDenied'";
        let rows = guarded.system.rows(&ada, recorded, |rows| rows.len() == 1).await?;
        ensure!(rows[0][0] == "unknown_server" && rows[0][1] == Value::Null, "{rows:?}");
        let foreign = hex::encode("mallory");
        let leaf = rows[0][2].as_str().unwrap_or_default();
        ensure!(
            !leaf.is_empty() && !leaf.contains(&foreign),
            "a name of the caller's stands in a leaf"
        );
        Ok(())
    })
}

#[test]
fn strangers_pages_and_smuggled_headers_are_refused() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let token = guarded.token("erin").await?;
        let post = |header: (&str, &str)| {
            let request = reqwest::Client::new().post(guarded.url()).bearer_auth(&token);
            let request = request.header("content-type", "application/json");
            request
                .header(header.0, header.1)
                .body(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)
                .send()
        };
        let origin = post(("origin", "https://evil.example")).await?;
        ensure!(origin.status() == 403, "Origin: {}", origin.status());
        let host = post(("host", "evil.example")).await?;
        ensure!(host.status() == 403, "Host: {}", host.status());
        let smuggled = post(("mcp-method", "tools/list")).await?;
        let (status, body): (_, Value) = (smuggled.status(), smuggled.json().await?);
        ensure!(status == 400 && body["error"]["code"] == -32020, "{status} {body}");
        let reached = guarded.upstream.count().await?;
        ensure!(reached["requests"] == 0, "{reached}");
        Ok(())
    })
}
