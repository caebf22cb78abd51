//! Exports wait for the quorum, and what they prove then holds against a trust file that asks for it.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::binary::Tool;
use tests::issuer::Issuer;
use tests::peers::Node;
use tests::system::{Plan, Shape, System};

use super::house::{Witness, configure};

#[test]
fn an_export_waits_for_the_quorum() -> Result<()> {
    tests::run(async {
        let Some(node) = Node::find()? else { return Ok(()) };
        let issuer = Issuer::start(&node).await?;
        let mut system = System::start(Shape::LedgerAlone, &Plan::default(), Some(&issuer)).await?;
        let mut witness = Witness::start(system.dir(), "w1", system.vkey("log")).await?;
        system.stop("ledger").await?;
        let quorum = format!("{}quorum w1\n", witness.line());
        configure(&system, &quorum)?;
        let config = std::fs::read_to_string(system.path("exhibit.toml"))?;
        let evidence = "[evidence]\nwitness_policy_file = \"policy\"\n";
        std::fs::write(system.path("exhibit.toml"), config.replace("[evidence]\n", evidence))?;
        system.start_part("ledger").await?;
        system.start_part("query").await?;
        let ada = issuer.token("ada", &system.query()).await?;

        // The newest checkpoint that the node shows is one that nobody cosigned.
        witness.kill()?;
        let asked = "SELECT count(*) FROM events WHERE kind = 'EvidenceAccessed' AND door = 'sql'";
        system.rows(&ada, asked, |rows| rows != [json!([0])]).await?;
        let period = "SELECT min(recorded_at), max(recorded_at) FROM events";
        let period = system.sql(&ada, period).await?["rows"][0].clone();
        let time = |column: usize| period[column].as_str().unwrap_or_default().to_owned();
        let (from, to) = (time(0), time(1));
        let args = ["--json", "export", "--from", &from, "--to", &to, "--out", "package"];
        let refused = system.exhibit(&ada, &args)?.run().await?.ended(3)?;
        ensure!(refused.error_code()? == "quorum_missing", "{refused:?}");
        let refusals = "SELECT count(*) FROM events WHERE kind = 'EvidenceAccessed' \
                        AND door = 'export' AND result = 'refused'";
        system.rows(&ada, refusals, |rows| rows == [json!([1])]).await?;

        witness.spawn(&[]).await?;
        system.exhibit(&ada, &args)?.succeed().await?;
        let trust = std::fs::read_to_string(system.path("trust"))?;
        ensure!(trust.contains("quorum none\n"), "{trust}");
        std::fs::write(system.path("trust"), trust.replace("quorum none\n", &quorum))?;
        let verify = ["--json", "verify", "package", "--trust", "trust"];
        let report = Tool::exhibit(verify)?.within(system.dir()).run().await?.ended(0)?.json()?;
        let remarks = report["remarks"].to_string();
        ensure!(!remarks.contains("UNWITNESSED"), "{report}");
        Ok(())
    })
}
