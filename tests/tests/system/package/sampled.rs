//! A ZIP, and the sample that an auditor draws from it.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result, ensure};
use tests::binary::Tool;

use super::{export, files, flip, verify, worked};

#[test]
fn a_zip_verifies_and_a_sample_is_drawn_from_it() -> Result<()> {
    tests::run(async {
        let Some(guarded) = worked().await? else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package.zip").await?;
        verify(system, &package).await?.ended(0)?;
        let draw = |nonce: &str, out: &str| {
            let args = [
                "--json",
                "sample",
                "package.zip",
                "--criterion",
                "CC6.1",
                "--nonce",
                nonce,
                "--size",
                "3",
            ];
            let args: Vec<String> =
                args.iter().chain(&["--out", out]).map(ToString::to_string).collect();
            Ok::<_, anyhow::Error>(Tool::exhibit(args)?.within(system.dir()))
        };
        let drawn = draw("auditor's own words", "sample")?.succeed().await?.json()?;
        let leaves = drawn["leaves"].as_array().context("leaves")?;
        ensure!(leaves.len() == 3 && drawn["population"].as_u64() > Some(3), "{drawn}");
        let again = draw("auditor's own words", "again")?.succeed().await?.json()?;
        ensure!(again["leaves"] == drawn["leaves"], "the same nonce draws {again}, not {drawn}");
        let manifest = system.path("sample/manifest-sha256.txt");
        ensure!(manifest.exists(), "a sample is a bag");
        // Break it: create the folder without a mode in `Bag::write`.
        let mode = std::fs::metadata(system.path("sample"))?.permissions().mode();
        ensure!(mode & 0o077 == 0, "others may read the sample: {mode:o}");
        let args = ["verify", "sample", "--trust", "trust"];
        let alone = Tool::exhibit(args)?.within(system.dir()).run().await?.ended(2)?;
        ensure!(alone.stderr.contains("no package but a sample"), "{}", alone.stderr);
        let of = ["--json", "verify", "sample", "--of", "package.zip", "--trust", "trust"];
        let compared = || Ok::<_, anyhow::Error>(Tool::exhibit(of)?.within(system.dir()));
        let same = compared()?.succeed().await?.json()?;
        ensure!(same["ok"] == true && same["sample"]["size"] == 3, "{same}");
        let leaf = leaves[0].as_u64().context("a leaf index")?;
        let item = system.path(&format!("sample/data/items/{leaf}/call.json"));
        let kept = std::fs::read(&item)?;
        flip(&item)?;
        let other = compared()?.run().await?.ended(1)?.json()?;
        ensure!(other["ok"] == false && other["sample"]["wrong"][0].is_string(), "{other}");
        std::fs::write(&item, kept)?;
        let proofs = files(&system.path("sample"))?.into_iter();
        let proofs =
            proofs.filter(|path| path.extension().is_some_and(|end| end == "tlog-proof")).count();
        ensure!(proofs >= 3, "{proofs} proofs in a sample of 3");
        let args = [
            "--json",
            "sample",
            "package.zip",
            "--criterion",
            "CC99",
            "--nonce",
            "n",
            "--out",
            "none",
        ];
        Tool::exhibit(args)?.within(system.dir()).run().await?.ended(2)?;
        Ok(())
    })
}
