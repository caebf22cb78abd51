//! Real clients at work with a real server, through the gateway: they see what they would see without it, and every
//! exchange is on record with its verdict and its one end.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::binary::Tool;
use tests::issuer::Issuer;
use tests::peers::{Node, Python};
use tests::system::{Plan, Shape, System};
use tests::upstream::Upstream;

const POLICIES: &str = r#"
@id("engineers-use-everything")
permit (principal in Group::"engineers", action, resource);
"#;

#[test]
fn npm_sdk_1_works_as_without_the_gateway() -> Result<()> {
    tests::run(async {
        let Some(node) = Node::find()? else { return Ok(()) };
        let (issuer, upstream) =
            tokio::try_join!(Issuer::start(&node), Upstream::everything(&node))?;
        let (system, token) = start(&issuer, &upstream).await?;
        let client = |url: &str, token: &str| {
            let tool =
                Tool::new(node.program()).args([node.path("client.mjs").as_os_str(), url.as_ref()]);
            tool.env("TOKEN", token).succeed()
        };
        let direct = client(&upstream.url, "").await?.json()?;
        let through = client(&system.mcp("everything"), &token).await?.json()?;
        ensure!(comparable(&direct) == comparable(&through), "{direct}\n{through}");
        ensure!(through["progress"] == json!([1, 2, 3, 4, 5]), "{through}");

        let ada = issuer.token("ada", &system.query()).await?;
        every_exchange_is_told(&system, &ada, 20).await?;
        let calls =
            "SELECT count(*), count(DISTINCT tool) FROM exchanges WHERE method = 'tools/call'";
        let counted = system.sql(&ada, calls).await?;
        ensure!(counted["rows"] == json!([[8, 7]]), "{counted}");
        let outcomes = "SELECT outcome, error_code FROM exchanges \
                        WHERE outcome IN ('tool_error', 'protocol_error') ORDER BY request_index";
        let counted = system.sql(&ada, outcomes).await?;
        ensure!(
            counted["rows"] == json!([["tool_error", null], ["protocol_error", -32602]]),
            "{counted}"
        );
        // Progress, and the questions that the server asks the client, travel on the stream of their call.
        let streamed = "SELECT tool, count(*) FROM events WHERE kind = 'StreamMessage' AND method = 'tools/call' \
                        AND message IS NOT NULL GROUP BY tool ORDER BY tool";
        let counted = system.sql(&ada, streamed).await?;
        let expected = json!([
            ["trigger-elicitation-request", 1],
            ["trigger-long-running-operation", 5],
            ["trigger-sampling-request", 1],
        ]);
        ensure!(counted["rows"] == expected, "{counted}");
        let answers = "SELECT method FROM events WHERE answer ORDER BY leaf_index";
        let counted = system.sql(&ada, answers).await?;
        ensure!(
            counted["rows"] == json!([["sampling/createMessage"], ["elicitation/create"]]),
            "{counted}"
        );
        let session =
            "SELECT server, era, subject, calls, denied, closed_at IS NOT NULL FROM sessions";
        let expected = [json!(["everything", "legacy", "erin", 8, 0, true])];
        system.rows(&ada, session, |rows| rows == expected).await?;
        Ok(())
    })
}

#[test]
fn pypi_mcp_works_as_without_the_gateway() -> Result<()> {
    tests::run(async {
        let (Some(node), Some(python)) = (Node::find()?, Python::find()?) else { return Ok(()) };
        let (issuer, upstream) =
            tokio::try_join!(Issuer::start(&node), Upstream::everything(&node))?;
        let (system, token) = start(&issuer, &upstream).await?;
        let client = |url: &str, token: &str| {
            let program = Tool::new(python.program("python"));
            program
                .args([python.path("client.py").as_os_str(), url.as_ref()])
                .env("TOKEN", token)
                .succeed()
        };
        let direct = client(&upstream.url, "").await?.json()?;
        let through = client(&system.mcp("everything"), &token).await?.json()?;
        ensure!(comparable(&direct) == comparable(&through), "{direct}\n{through}");

        let ada = issuer.token("ada", &system.query()).await?;
        every_exchange_is_told(&system, &ada, 12).await?;
        // It asks as MCP 2026-07-28 has it first, and falls back to the handshake when the server does not know that.
        let eras = "SELECT DISTINCT era, method FROM exchanges WHERE method IN ('server/discover', 'initialize') \
                    ORDER BY era";
        let counted = system.sql(&ada, eras).await?;
        ensure!(
            counted["rows"] == json!([["legacy", "initialize"], ["modern", "server/discover"]]),
            "{counted}"
        );
        Ok(())
    })
}

#[test]
fn a_broken_stream_is_resumed_and_recorded_once() -> Result<()> {
    tests::run(async {
        let Some(node) = Node::find()? else { return Ok(()) };
        let (issuer, upstream) =
            tokio::try_join!(Issuer::start(&node), Upstream::conformance(&node))?;
        let (system, token) = start(&issuer, &upstream).await?;
        let url = system.mcp("everything");
        let client =
            Tool::new(node.program()).args([node.path("reconnect.mjs").as_os_str(), url.as_ref()]);
        let said = client.env("TOKEN", &token).succeed().await?.json()?;
        ensure!(said["text"] == "Reconnection test completed successfully", "{said}");
        let ada = issuer.token("ada", &system.query()).await?;
        every_exchange_is_told(&system, &ada, 5).await?;
        let answers =
            "SELECT count(*) FROM events WHERE message LIKE '%Reconnection test completed%'";
        let counted = system.sql(&ada, answers).await?;
        ensure!(counted["rows"] == json!([[1]]), "the answer is recorded {counted} times");
        Ok(())
    })
}

async fn start(issuer: &Issuer, upstream: &Upstream) -> Result<(System, String)> {
    let plan = Plan::new(&[("everything", &upstream.url, false)], POLICIES);
    let system = System::start(Shape::Together, &plan, Some(issuer)).await?;
    let token = issuer.token("erin", &system.mcp("everything")).await?;
    Ok((system, token))
}

/// At least so many exchanges, each allowed, each with exactly one end.
async fn every_exchange_is_told(system: &System, token: &str, least: u64) -> Result<()> {
    let open = "SELECT count(*) FROM exchanges WHERE is_open";
    system.rows(token, open, |rows| rows == [json!([0])]).await?;
    let told = "SELECT count(*), count(*) FILTER (WHERE closings = 1 AND verdict = 'allow' AND subject = 'erin' \
                AND policy_ids = 'engineers-use-everything' AND outcome IS NOT NULL) FROM exchanges";
    let counted = system.sql(token, told).await?;
    let (all, good) = (&counted["rows"][0][0], &counted["rows"][0][1]);
    ensure!(
        all.as_u64() >= Some(least) && all == good,
        "{good} of {all} exchanges are told in full"
    );
    Ok(())
}

/// What does not differ from one session to the next.
fn comparable(seen: &Value) -> Value {
    let mut seen = seen.clone();
    for name in ["session", "resource", "structured"] {
        let kind = seen[name].is_null();
        seen[name] = kind.into();
    }
    seen
}
