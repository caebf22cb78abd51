//! `exhibit demo`: the whole way once, without anything from outside, and what a program can do with what it leaves.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::binary::{Tool, exhibit};
use tests::process::Process;

#[test]
fn the_demo_leaves_a_package_that_verifies() -> Result<()> {
    tests::run(async {
        let dir = tempfile::tempdir()?;
        let home = dir.path().join("demo");
        let args = ["demo".as_ref(), "--json".as_ref(), "--dir".as_ref(), home.as_os_str()];
        let ran = Tool::exhibit(args)?.succeed().await?;
        let told = ran.json()?;
        let text = |name: &str| told[name].as_str().with_context(|| format!("{name} in {told}"));
        for role in ["gateway", "ledger", "query"] {
            let url = told["addresses"][role].as_str().unwrap_or_default();
            ensure!(url.starts_with("http://127.0.0.1:"), "{told}");
        }
        ensure!(told["tree_size"].as_u64() > Some(30), "{told}");
        ensure!(told["tokens"].as_object().is_some_and(|tokens| tokens.len() >= 3), "{told}");
        let (package, trust) = (text("package")?, text("trust")?);
        ensure!(!trust.starts_with(package), "the trust file stands inside the package");
        ensure!(tlog::VerifyingKey::parse(text("vkey")?).is_ok(), "{told}");
        Tool::exhibit(["verify", package, "--trust", trust])?.succeed().await?;
        // What is told to people is there, too.
        ensure!(ran.stdout.lines().count() > 40, "{}", ran.stdout);
        // A folder that is not empty is not touched.
        let again = Tool::exhibit(args)?.run().await?;
        ensure!(again.code == 2, "exit code {} for a folder in use", again.code);
        Ok(())
    })
}

#[test]
fn a_demo_that_keeps_running_can_be_asked() -> Result<()> {
    tests::run(async {
        let dir = tempfile::tempdir()?;
        let home = dir.path().join("demo");
        let mut command = Command::new(exhibit()?);
        command.args(["demo", "--json", "--keep-running", "--dir"]).arg(&home);
        let mut demo = Process::start("demo", command)?;
        let told: Value = tokio::time::timeout(
            Duration::from_secs(60),
            demo.says(|text| text.lines().rev().find_map(last_line)),
        )
        .await
        .context("the demo takes longer than a minute")??;
        let token = told["tokens"]["carol"].as_str().context("carol's token")?;
        let query = told["addresses"]["query"].as_str().context("the query node")?;
        let ask = |statement: &str| {
            let tool = Tool::exhibit(["--json", "sql", statement, "--query", query])?;
            anyhow::Ok(tool.env("EXHIBIT_TOKEN", token))
        };
        let asked = "SELECT verdict, count(*) FROM exchanges WHERE method = 'tools/call' GROUP BY verdict ORDER BY 1";
        let answer = ask(asked)?.succeed().await?.json()?;
        let rows = answer["rows"].as_array().context("rows")?;
        let verdicts: Vec<&Value> = rows.iter().map(|row| &row[0]).collect();
        ensure!(verdicts.contains(&&Value::from("allow")), "{answer}");
        ensure!(verdicts.contains(&&Value::from("block")), "{answer}");
        demo.stop().await
    })
}

/// What `--json` ends with; other lines may be JSON by chance, such as a number.
fn last_line(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(|told: &Value| told.get("package").is_some())
}
