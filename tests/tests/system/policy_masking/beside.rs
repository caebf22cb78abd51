//! What stands beside the masked bodies: headers, types, and the frames of a stream.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::binary::Tool;
use tests::issuer::Issuer;
use tests::mcp::{Answer, Mcp};
use tests::peers::Node;
use tests::system::{Plan, Shape, System};

use super::holding;
use super::hostile::{Hostile, NAMED, card, mail};

/// Everything that is not the body: each way around policy, masking and record is closed, and what got through is
/// evidence that verifies.
#[test]
fn no_value_passes_beside_the_masked_bodies() -> Result<()> {
    const POLICIES: &str = r#"
permit (principal, action, resource);
@id("no-drop-database")
forbid (principal, action == Action::"tools/call", resource)
when { context.facts.sql.contains("drop_database") };
"#;
    tests::run(async {
        let Some(node) = Node::find()? else { return Ok(()) };
        let (issuer, hostile) = tokio::try_join!(Issuer::start(&node), Hostile::start())?;
        let plan = Plan::new(&[("hostile", &hostile.url, true)], POLICIES);
        let mut system = System::start(Shape::Together, &plan, Some(&issuer)).await?;
        let url = system.mcp("hostile");
        let mut client = Mcp::new(&url, None)?;

        let listed = client.request("tools/list", &json!({})).await?;
        ensure!(!listed.to_string().contains(&mail()), "{listed}");
        hostile.heard();
        refused_requests(&url, &hostile).await?;
        forwarded_headers(&url, &hostile).await?;
        answers(&mut client).await?;

        // Everything that was admitted and recorded verifies, and none of it holds a value.
        let ada = issuer.token("ada", &system.query()).await?;
        client.request("tools/list", &json!({})).await?;
        let last = "SELECT count(*) FROM exchanges WHERE method = 'tools/list' AND NOT is_open";
        system.rows(&ada, last, |rows| rows == [json!([2])]).await?;
        let period =
            system.sql(&ada, "SELECT min(recorded_at), max(recorded_at) FROM events").await?;
        let time =
            |column: usize| period["rows"][0][column].as_str().unwrap_or_default().to_owned();
        let args = ["--json", "export", "--from", &time(0), "--to", &time(1), "--out", "package"];
        system.exhibit(&ada, &args)?.succeed().await?;
        let (package, trust) = (system.path("package"), system.path("trust"));
        let verify =
            ["--json".as_ref(), "verify".as_ref(), package.as_os_str(), "--trust".as_ref()];
        let verify = Tool::exhibit(verify.into_iter().chain([trust.as_os_str()]))?.run().await?;
        let report = verify.ended(0)?.json()?;
        for id in ["inputs", "residue", "decisions"] {
            let checks = report["checks"].as_array().context("checks")?;
            let passed = |check: &&Value| check["id"] == id && check["outcome"] == "pass";
            ensure!(checks.iter().any(|check| passed(&check)), "{id} did not pass: {report}");
        }
        let told = system.sql(&ada, "SELECT message, arguments FROM events").await?.to_string();
        system.stop("up").await?;
        for raw in [mail(), card(), NAMED.to_owned()] {
            ensure!(!told.contains(&raw), "SQL shows {raw}");
            let place = holding(system.dir(), raw.as_bytes())?;
            ensure!(place.is_none(), "{raw} stands in {place:?}");
        }
        Ok(())
    })
}

async fn refused_requests(url: &str, hostile: &Hostile) -> Result<()> {
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"say","arguments":{arguments}}}}}"#
        )
    };
    let json = ("content-type", "application/json");
    let region = ("mcp-param-region", "eu");
    for (what, headers, arguments, status, code) in [
        // UTF-7 of "DROP DATABASE x", which is harmless ASCII to those who read UTF-8.
        (
            "another charset",
            vec![("content-type", "application/json; charset=utf-7")],
            r#"{"sql":"+AEQ-ROP DATABASE x"}"#,
            415,
            -32600,
        ),
        ("another type", vec![("content-type", "text/plain")], "{}", 415, -32600),
        ("a reserved name", vec![json], r#"{"mcp-param-x":"1"}"#, 400, -32600),
        ("arguments in an array", vec![json, region], "[1,2]", 400, -32600),
        ("arguments in a string", vec![json, region], r#""s""#, 400, -32600),
        (
            "a policy's word in a header",
            vec![json, ("mcp-param-sql", "DROP DATABASE x")],
            "{}",
            200,
            -31451,
        ),
    ] {
        let (answered, body) = post(url, &headers, call(arguments)).await?;
        let told: Value = serde_json::from_str(&body).with_context(|| format!("{what}: {body}"))?;
        ensure!(answered == status && told["error"]["code"] == code, "{what}: {answered} {told}");
    }
    let heard = hostile.heard();
    ensure!(heard.is_empty(), "a refused request was forwarded: {heard:?}");
    Ok(())
}

async fn forwarded_headers(url: &str, hostile: &Hostile) -> Result<()> {
    let (mail, card) = (mail(), card());
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("accept", &format!("application/json, text/event-stream, x/{mail}")),
        ("user-agent", mail.as_str()),
        ("baggage", mail.as_str()),
        ("tracestate", mail.as_str()),
        ("mcp-unheard-of", mail.as_str()),
        ("mcp-param-secret", NAMED),
        ("mcp-param-note", mail.as_str()),
        ("last-event-id", mail.as_str()),
    ];
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":{card},"method":"tools/call","params":{{"name":"say","arguments":{{}}}}}}"#
    );
    let (status, body) = post(url, &headers, call.clone()).await?;
    ensure!(status == 200 && body.contains(&card), "the id is the caller's: {status} {body}");
    let heard = hostile.heard();
    let (head, body) = heard.first().and_then(|one| one.split_once("\n\n")).context("not heard")?;
    ensure!(body == call, "the body is forwarded as it came: {body}");
    ensure!(head.contains("content-type: application/json\r"), "{head}");
    ensure!(head.contains("accept: application/json, text/event-stream\r"), "{head}");
    // What is recorded is also forwarded; nothing else is.
    ensure!(head.contains(&format!("mcp-param-secret: {NAMED}")), "{head}");
    for dropped in ["user-agent", "baggage", "tracestate", "mcp-unheard-of"] {
        ensure!(!head.contains(dropped), "{dropped} was forwarded: {head}");
    }
    Ok(())
}

async fn answers(client: &mut Mcp) -> Result<()> {
    let mut call = async |tool: &str| -> Result<Answer> {
        let message = client.call_text(tool, &json!({}));
        client.post(message).await
    };
    let text = call("json_as_text").await?;
    ensure!(text.body.contains("[masked:api_key]"), "{text:?}");
    let other = call("other_charset").await?;
    ensure!(other.status == 502 && other.message()?["error"]["code"] == -31502, "{other:?}");
    let headers = call("headers").await?;
    ensure!(headers.status == 200 && headers.header("cache-control") == "no-cache", "{headers:?}");
    ensure!(headers.header("content-type") == "application/json", "{headers:?}");
    let stream = call("stream").await?;
    ensure!(stream.body.contains("id: 7\n") && stream.body.contains("retry: 5\n"), "{stream:?}");
    ensure!(stream.body.contains("\"done\"") && stream.body.contains("withheld"), "{stream:?}");
    ensure!(!stream.body.contains("retry: 6"), "what has no data is not recorded: {stream:?}");
    for answer in [text, other, headers, stream] {
        let told = format!("{answer:?}");
        ensure!(!told.contains(&mail()) && !told.contains(NAMED), "{told}");
    }
    Ok(())
}

/// Posts with just these headers; the status and the body.
async fn post(url: &str, headers: &[(&str, &str)], body: String) -> Result<(u16, String)> {
    let mut request = reqwest::Client::new().post(url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
