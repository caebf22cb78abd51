//! Which period an export is of, and what of it its reader knew before.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::binary::Tool;
use tests::system::System;

use super::{export_with, recorded, worked};

#[test]
fn a_period_without_evidence_is_no_package() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let ada = guarded.reader("ada").await?;
        // Reversed, empty, not over, no time at all.
        let cases = [
            ("2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("2001-01-01T00:00:00Z", "2001-02-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
            ("yesterday", "2099-01-01T00:00:00Z"),
        ];
        let mut codes = Vec::new();
        for (from, to) in cases {
            let args = ["--json", "export", "--from", from, "--to", to, "--out", "nothing"];
            let refused = system.exhibit(&ada, &args)?.run().await?.ended(2)?;
            ensure!(!system.path("nothing").exists(), "a package of {from} to {to}");
            ensure!(refused.stderr.len() > 40, "it says little: {}", refused.stderr);
            codes.push(refused.error_code()?);
        }
        let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
        ensure!(distinct.len() == cases.len(), "each has its own code: {codes:?}");
        // Whoever may not export is told so.
        let sam = guarded.reader("sam").await?;
        let args =
            ["--json", "export", "--from", cases[0].1, "--to", cases[0].0, "--out", "nothing"];
        let denied = system.exhibit(&sam, &args)?.run().await?.ended(2)?;
        ensure!(denied.error_code()? == "role_required", "{}", denied.stdout);
        Ok(())
    })
}

#[test]
fn what_an_auditor_kept_is_compared_with_the_next_package() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        recorded(&guarded, 5).await?;
        let kept = reqwest::get(format!("{}/checkpoint", system.ledger())).await?.text().await?;
        std::fs::write(system.path("kept"), &kept)?;
        guarded.client("erin").await?.call("deploy", &json!({"service": "billing"})).await?;
        recorded(&guarded, 6).await?;

        // Of the last call alone: its leaves do not lead back to what was kept, a proof does.
        let last = "max(recorded_at) FILTER (WHERE kind = 'RequestReceived')";
        export_with(&guarded, "first", last, &[]).await?;
        let unshown = consistency(system, "first", "kept", 1).await?;
        ensure!(unshown["outcome"] == "not_checked", "{unshown}");
        export_with(&guarded, "second", last, &["kept"]).await?;
        let compared = consistency(system, "second", "kept", 0).await?;
        ensure!(compared["outcome"] == "pass", "{compared}");

        // The log's key signed another history of that size, too.
        let key = system.key("log")?;
        let mut forked = tlog::open_checkpoint(&kept, &key.verifying_key())?;
        forked.root = tlog::leaf_hash(b"another history");
        std::fs::write(system.path("forked"), forked.sign(&key))?;
        let contradicted = consistency(system, "second", "forked", 1).await?;
        ensure!(contradicted["code"] == "consistency.forked", "{contradicted}");
        Ok(())
    })
}

/// What `exhibit verify --since` says of the package and a checkpoint that was kept, ending with this code.
async fn consistency(system: &System, package: &str, kept: &str, code: i32) -> Result<Value> {
    let args = ["--json", "verify", package, "--trust", "trust", "--since", kept];
    let report = Tool::exhibit(args)?.within(system.dir()).run().await?.ended(code)?.json()?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let check = checks.into_iter().find(|check| check["id"] == "consistency");
    check.with_context(|| format!("no check of that name in {report}"))
}
