//! npm `@modelcontextprotocol/conformance`: a server scores through the gateway exactly what it scores without it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::binary::Tool;
use tests::peers::Node;
use tests::system::{Plan, Shape, System};
use tests::upstream::Upstream;

/// The suite sends no token, so its route is open; policies still decide.
const POLICIES: &str = r#"
@id("open-suite")
permit (principal, action, resource)
when { context.auth == "none" };
"#;

/// Checks that the server passes without the gateway; fewer would compare little.
const FLOOR: usize = 42;

#[test]
fn every_check_ends_as_it_does_without_the_gateway() -> Result<()> {
    tests::run(async {
        let Some(node) = Node::find()? else { return Ok(()) };
        let upstream = Upstream::conformance(&node).await?;
        let plan = Plan::new(&[("suite", &upstream.url, true)], POLICIES);
        let system = System::start(Shape::Together, &plan, None).await?;

        let direct = score(&node, &upstream.url, &system.path("direct")).await?;
        let before = upstream.count().await?["requests"].clone();
        let through = score(&node, &system.mcp("suite"), &system.path("through")).await?;
        let after = upstream.count().await?["requests"].clone();
        ensure!(
            after.as_u64() > before.as_u64().map(|before| before + 100),
            "{before} and {after} requests"
        );

        let passed = direct.iter().filter(|line| line.ends_with(" SUCCESS")).count();
        ensure!(
            passed >= FLOOR,
            "only {passed} checks pass without the gateway:\n{}",
            direct.join("\n")
        );
        let differences: Vec<String> =
            difference(&direct, &through, "-").chain(difference(&through, &direct, "+")).collect();
        ensure!(
            differences.is_empty(),
            "direct (-) and through the gateway (+):\n{}",
            differences.join("\n")
        );
        println!("{passed} checks pass, with and without the gateway");
        Ok(())
    })
}

/// One sorted line for each check of each scenario: scenario, check, result.
async fn score(node: &Node, url: &str, out: &Path) -> Result<Vec<String>> {
    std::fs::create_dir(out)?;
    let suite = node.path("node_modules/.bin/conformance");
    let arguments = ["server", "--url", url, "--suite", "all", "--output-dir"];
    let tool = Tool::new(node.program()).args([suite]).args(arguments).args([out]);
    // It ends with 1 when a check fails: what failed stands in its files.
    let ran = tool.within(out).run().await?;
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(out)? {
        let folder = entry?;
        let name = folder.file_name().to_string_lossy().into_owned();
        // server-<scenario>-<year>-<month>-<day>T<hour>-<minute>-<second>-<ms>Z
        let scenario = name.strip_prefix("server-").and_then(|rest| rest.rsplitn(7, '-').nth(6));
        let scenario = scenario.with_context(|| format!("{name} is no scenario's folder"))?;
        let checks: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("checks.json"))?)?;
        for check in checks.as_array().context("checks")? {
            let (id, status) = (&check["id"], &check["status"]);
            // INFO notes what was sent and when, and judges nothing.
            if status != "INFO" {
                let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
                lines.push(format!("{scenario} {} {}", text(id), text(status)));
            }
        }
    }
    ensure!(!lines.is_empty(), "the suite told nothing: {}{}", ran.stdout, ran.stderr);
    lines.sort();
    Ok(lines)
}

/// Lines of one that the other has not, as often.
fn difference(one: &[String], other: &[String], sign: &str) -> impl Iterator<Item = String> {
    let mut left = other.to_vec();
    let mut missing = Vec::new();
    for line in one {
        match left.iter().position(|known| known == line) {
            Some(at) => drop(left.swap_remove(at)),
            None => missing.push(format!("{sign} {line}")),
        }
    }
    missing.into_iter()
}
