//! A backup that is read back: what is wrong is told when it is copied, and pushes out nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::system::ORIGIN;
use tlog::{Checkpoint, Hash, TreeSize};

use super::house::{House, Load, restore};
use super::left;

#[test]
fn a_backup_that_is_read_back_is_good_or_pushes_out_nothing() -> Result<()> {
    tests::run(async {
        let mut house = House::build().await?;
        let load = Load::start(&house.system).await?;
        load.goes_on(300).await?;
        let made = house.backup().await?;
        ensure!(made["verified"] == false, "{made}");
        let made = house.backup_with(&["--verify"]).await?;
        ensure!(made["verified"] == true && made["backup"] == 2, "{made}");
        load.stop().await?;
        house.system.stop("ledger").await?;
        let made = house.backup_with(&["--verify"]).await?;
        ensure!(made["verified"] == true && made["backup"] == 3, "{made}");
        left::is_clean(&house.system)?;
        // The files of the backups are their own again: a second name would keep what is gone.
        for file in fs::read_dir(house.system.path("backups/files"))? {
            let file = file?;
            ensure!(file.metadata()?.nlink() == 1, "{} has two names", file.path().display());
        }

        // What is published is not what is stored: nothing that is copied is another byte, and no copy of it is good.
        let system = &house.system;
        let file = system.path("ledger/checkpoint");
        let published = fs::read_to_string(&file)?;
        let size: u64 = published.lines().nth(1).context("a size")?.parse()?;
        let (origin, root) = (ORIGIN.to_owned(), Hash([7; 32]));
        let other = Checkpoint { origin, size: TreeSize(size), root };
        fs::write(&file, other.sign(&system.key("log")?))?;
        let args = ["--json", "backup", "--config", "exhibit.toml", "--keep", "1"];
        let bad = [&args[..], &["--verify"]].concat();
        // Break it: let `finish` in `making.rs` purge before it reads back.
        let refused = system.exhibit("", &bad)?.run().await?.ended(1)?;
        ensure!(refused.error_code()? == "backup_not_good", "{}", refused.stdout);
        ensure!(refused.stderr.contains("exhibit fsck"), "{}", refused.stderr);
        let list = ["--json", "backup", "--list", "--to", "backups"];
        let list = system.exhibit("", &list)?.succeed().await?.json()?;
        let numbers: Vec<&Value> =
            list["backups"].as_array().context("a list")?.iter().map(|b| &b["backup"]).collect();
        ensure!(json!(numbers) == json!([1, 2, 3, 4]), "{list}");
        // Which of them are good is told where there is nothing but the folder.
        let backups = list["backups"].as_array().context("a list")?;
        let verdicts: Vec<&Value> = backups.iter().map(|made| &made["verdict"]).collect();
        ensure!(json!(verdicts) == json!([null, "good", "good", "bad"]), "{list}");
        let args = ["backup", "--list", "--to", "backups"];
        let plain = system.exhibit("", &args)?.succeed().await?.stdout;
        for told in ["not read back", "verified", "NOT GOOD"] {
            ensure!(plain.contains(told), "{plain}");
        }
        restore(system, "third", &["--backup", "3"]).await?.ended(0)?;
        Ok(())
    })
}
