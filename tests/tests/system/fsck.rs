//! `exhibit fsck` as an operator meets it: exit codes, the report, and a store that somebody changed.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::system::{Plan, Shape, System};

use crate::calls::{draft, start_recorder};

#[test]
fn fsck_tells_good_from_changed_from_unusable() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["caller".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let recorder = start_recorder(&system, "caller").await?;
        let drafts = (0..300).map(draft).collect();
        recorder.record_all(drafts).await?;
        recorder.stop(true).await;

        // 2: the ledger runs, the folder is none, a vkey is none.
        let vkeys = [system.vkey("log").to_owned(), system.vkey("ledger").to_owned()];
        let [log, own] = &vkeys;
        let args = ["--json", "fsck", "ledger", "--log", log, "--recorder", own];
        let running = system.exhibit("", &args)?.run().await?.ended(2)?;
        ensure!(running.error_code()? == "ledger_running", "{}", running.stdout);
        system.stop("ledger").await?;
        for (wrong, code) in [
            (["--json", "fsck", "nowhere", "--log", log], "no_ledger"),
            (["--json", "fsck", "ledger", "--log", "log"], "vkey"),
            // Of another log: said at once, and not as a hundred findings.
            (["--json", "fsck", "ledger", "--log", own], "not_checked"),
        ] {
            let ended = system.exhibit("", &wrong)?.run().await?.ended(2)?;
            ensure!(ended.error_code()? == code, "{}", ended.stdout);
        }

        // 0: everything holds, and what could not be verified is told.
        let good = system.exhibit("", &args)?.run().await?.ended(0)?;
        ensure!(good.stderr.is_empty(), "no terminal, no bar: {}", good.stderr);
        let report = good.json()?;
        let count = |name: &str| report[name].as_u64().with_context(|| name.to_owned());
        ensure!(count("entries")? > 300 && count("disclosures")? == 300, "{report}");
        ensure!(count("keys")? == 300 && count("tiles")? == 1 && count("seals")? > 0, "{report}");
        ensure!(count("chains")? == 2 && count("bytes")? > 300 * 500, "{report}");
        ensure!(report["entries_per_second"].as_f64() > Some(0.0), "{report}");
        let without_key = report["seals_without_key"].as_object().context("an object")?;
        let is_callers = |key: &String| key.starts_with("caller+");
        ensure!(without_key.len() == 1 && without_key.keys().all(is_callers), "{report}");
        let plain = system.exhibit("", &args[1..])?.run().await?.ended(0)?;
        ensure!(plain.stdout.contains("NOT CHECKED") && plain.stdout.contains("MB/s"), "{plain:?}");
        // The last line is what is looked at. Break it: print `good` in `print_counts_and_findings` for all that is good.
        let last = plain.stdout.trim_end().lines().last().unwrap_or_default();
        ensure!(last.starts_with("good, but for ") && last.ends_with("not checked"), "{last}");
        ensure!(plain.stdout.contains("checkpoint   of "), "against which checkpoint? {plain:?}");
        ensure!(report["checkpoint"]["size"] == report["entries"], "{report}");

        // Its configuration knows the folder, the keys, and where the checkpoint file is.
        let config = std::fs::read_to_string(system.path("exhibit.toml"))?;
        let elsewhere = "[ledger]\ncheckpoint_file = \"kept.checkpoint\"\n";
        std::fs::write(system.path("elsewhere.toml"), config.replacen("[ledger]\n", elsewhere, 1))?;
        std::fs::rename(system.path("ledger/checkpoint"), system.path("kept.checkpoint"))?;
        let missing = system.exhibit("", &args)?.run().await?.ended(1)?;
        ensure!(missing.stdout.contains("--checkpoint-file"), "{}", missing.stdout);
        let by_config = ["--json", "fsck", "--config", "elsewhere.toml"];
        let by_config = system.exhibit("", &by_config)?.run().await?.ended(0)?.json()?;
        ensure!(by_config["seals_without_key"] == serde_json::json!({}), "{by_config}");
        std::fs::rename(system.path("kept.checkpoint"), system.path("ledger/checkpoint"))?;

        // 1: one byte of a table is another, then the store is gone but for a name.
        let table = largest(&system, "sst")?;
        let mut bytes = std::fs::read(&table)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&table, bytes)?;
        let changed = system.exhibit("", &args)?.run().await?.ended(1)?.json()?;
        let findings = changed["findings"].as_array().context("findings")?;
        ensure!(!findings.is_empty(), "{changed}");
        ensure!(findings.iter().all(|f| f["place"].as_str().is_some_and(|p| !p.is_empty())));
        ensure!(changed["found"] != Value::Null, "{changed}");
        let plain = system.exhibit("", &args[1..])?.run().await?.ended(1)?;
        ensure!(plain.stdout.contains("FAIL") && plain.stdout.contains("NOT GOOD"), "{plain:?}");
        ensure!(plain.stdout.contains("docs/ledger.md"), "no next step: {plain:?}");
        Ok(())
    })
}

/// The largest file of the store with this extension.
fn largest(system: &System, extension: &str) -> Result<std::path::PathBuf> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(system.path("ledger/store"))? {
        let file = file?;
        if file.path().extension().is_some_and(|found| found == extension) {
            files.push((file.metadata()?.len(), file.path()));
        }
    }
    Ok(files.into_iter().max().context("no such file")?.1)
}
