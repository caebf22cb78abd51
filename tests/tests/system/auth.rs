//! Who may come in: every bad token gets its own clear refusal, and every refusal is recorded with its reason.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tests::mcp::{Answer, Mcp};
use tests::system::Shape;

use crate::guarded::Guarded;

#[test]
fn every_bad_token_is_refused_and_recorded_with_its_reason() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let (issuer, audience) = (&guarded.issuer, guarded.url());
        let good = guarded.token("erin").await?;
        // The token, and what must be recorded of its refusal.
        let cases = [
            ("missing", None),
            ("malformed", Some("not.a.token".to_owned())),
            ("expired", Some(guarded.token("late").await?)),
            ("not_yet_valid", Some(guarded.token("early").await?)),
            ("wrong_audience", Some(issuer.token("erin", "https://elsewhere.example/mcp").await?)),
            ("wrong_issuer", Some(issuer.foreign("erin", &audience).await?)),
            ("algorithm", Some(unsigned(&good)?)),
            ("algorithm", Some(guarded.token("rsa").await?)),
            ("unknown_key", Some(issuer.forged("erin", &audience).await?)),
            ("bad_signature", Some(with_other_subject(&good)?)),
        ];
        let hello = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        });
        for (reason, token) in &cases {
            let client = Mcp::new(&audience, token.as_deref())?;
            let answer = client.post(hello.to_string()).await?;
            refused(&answer, &audience).with_context(|| (*reason).to_owned())?;
        }
        let reached = guarded.upstream.count().await?;
        ensure!(reached["requests"] == 0, "a refused request reached the server: {reached}");

        let expected: Vec<Value> =
            cases.iter().map(|(reason, _)| json!([reason, 401, "records"])).collect();
        let ada = guarded.reader("ada").await?;
        let recorded = "SELECT reason_code, http_status, server FROM events \
                        WHERE kind = 'AuthenticationFailed' ORDER BY leaf_index";
        guarded.system.rows(&ada, recorded, |rows| rows == expected).await?;

        // The same doors, the same issuer, a good token: it was none of the above that kept them out.
        Mcp::connect(&audience, Some(&good)).await?;
        Ok(())
    })
}

#[test]
fn clients_learn_where_to_get_a_token() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let told = Mcp::new(&guarded.url(), None)?.post("{}").await?;
        let challenge = told.header("www-authenticate");
        let metadata =
            challenge.split("resource_metadata=\"").nth(1).and_then(|rest| rest.split('"').next());
        let metadata =
            metadata.with_context(|| format!("no resource_metadata in {challenge:?}"))?;
        ensure!(
            metadata
                == format!(
                    "{}/.well-known/oauth-protected-resource/mcp/records",
                    guarded.system.gateway()
                ),
            "RFC 9728 puts the path of the resource behind the well-known part: {metadata}"
        );
        let document: Value = reqwest::get(metadata).await?.error_for_status()?.json().await?;
        ensure!(document["resource"] == guarded.url(), "{document}");
        ensure!(document["authorization_servers"] == json!([guarded.issuer.url()]), "{document}");
        Ok(())
    })
}

#[test]
fn the_doors_of_the_evidence_know_their_callers_too() -> Result<()> {
    tests::run(async {
        let Some(guarded) = Guarded::start(Shape::Together).await? else { return Ok(()) };
        let system = &guarded.system;
        let of_gateway = guarded.token("ada").await?;
        let bad = [
            ("wrong_audience", of_gateway),
            ("token_expired", guarded.reader("late").await?),
            ("wrong_issuer", guarded.issuer.foreign("ada", &system.query()).await?),
        ];
        for (code, token) in &bad {
            let answer = system.ask_sql(token, "SELECT 1", "application/json").await?;
            let status = answer.status();
            let challenged = answer.headers().contains_key("www-authenticate");
            let body: Value = answer.json().await?;
            ensure!(
                status == 401 && challenged && body["code"] == *code,
                "{status} {body}, not {code}"
            );
        }
        // A caller without a role is known, and may ask nothing.
        let nora = guarded.reader("nora").await?;
        for path in ["/v1/events/poll?wait=0", "/v1/events"] {
            let answer = system.get(&nora, path).send().await?;
            ensure!(answer.status() == 403, "{path}: {}", answer.status());
        }
        let ada = guarded.reader("ada").await?;
        let recorded = "SELECT kind, coalesce(reason_code, result) FROM events \
                        WHERE server = 'query' OR result = 'denied' ORDER BY leaf_index";
        let expected = [
            json!(["AuthenticationFailed", "wrong_audience"]),
            json!(["AuthenticationFailed", "expired"]),
            json!(["AuthenticationFailed", "wrong_issuer"]),
            json!(["EvidenceAccessed", "denied"]),
            json!(["EvidenceAccessed", "denied"]),
        ];
        system.rows(&ada, recorded, |rows| rows == expected).await?;
        Ok(())
    })
}

fn refused(answer: &Answer, audience: &str) -> Result<()> {
    ensure!(answer.status == 401, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    ensure!(
        challenge.starts_with("Bearer ") && challenge.contains("resource_metadata=\""),
        "{challenge}"
    );
    let error = answer.message()?["error"].clone();
    let (code, text) = (error["code"].as_i64(), error["message"].as_str().unwrap_or_default());
    ensure!(code == Some(-31401) && !text.is_empty(), "{error} from {audience}");
    Ok(())
}

/// The same claims under `alg: none`, without a signature.
fn unsigned(token: &str) -> Result<String> {
    let claims = token.split('.').nth(1).context("a token has three parts")?;
    Ok(format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#)))
}

/// The same header and signature around other claims.
fn with_other_subject(token: &str) -> Result<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { anyhow::bail!("a token has three parts") };
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    claims["sub"] = "root".into();
    Ok(format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string())))
}
