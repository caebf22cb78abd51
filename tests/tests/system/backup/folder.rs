//! A folder of backups is one log's, whatever is put into it, and whatever becomes of its disk.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::system::ORIGIN;
use tests::wait::until;
use tlog::{Checkpoint, Hash, TreeSize};

use super::house::{House, Load, restore};

/// A house whose ledger made two backups, with entries between their checkpoints, and was stopped; the second backup.
async fn with_two() -> Result<(House, Value)> {
    let mut house = House::build().await?;
    let mut made = Value::Null;
    for _ in 0..2 {
        let load = Load::start(&house.system).await?;
        load.goes_on(300).await?;
        let newest = load.newest();
        load.stop().await?;
        until("the load is published", Duration::from_secs(20), || async {
            Ok((house.system.checkpoint().await?.size.0 > newest).then_some(()))
        })
        .await?;
        made = house.backup().await?;
    }
    house.system.stop("ledger").await?;
    Ok((house, made))
}

#[test]
fn no_other_log_and_no_older_copy_takes_a_place_there() -> Result<()> {
    tests::run(async {
        let (mut house, _) = with_two().await?;
        let listed = |house: &House| {
            let names = fs::read_dir(house.system.path("backups/backups"))?;
            anyhow::Ok(names.collect::<Result<Vec<_>, _>>()?.len())
        };
        // A copy that came back, of which nobody knows yet whether it is the newest.
        let copy = restore(&house.system, "copy", &["--backup", "1"]).await?.ended(0)?.json()?;
        house.configure_folder("copy", None)?;
        let before = super::behind::files(&house.system.path("copy"))?;
        ensure!(house.refuses_backup().await? == "restored_copy", "a copy was backed up");
        ensure!(super::behind::files(&house.system.path("copy"))? == before, "it was changed");
        // The same, started by somebody who was wrong. Break it: let `knows_no_newer` say nothing.
        let size = copy["size"].to_string();
        let code = house.refuses("copy", None, &["--restored-is-newest", &size]).await?;
        ensure!(code == "store_behind", "{code}");
        // Of a folder whose list of backups is lost, too.
        fs::remove_file(house.system.path("copy/backups"))?;
        house.system.start_part_with("ledger", &["--restored-is-newest", &size]).await?;
        ensure!(house.refuses_backup().await? == "backups_of_other_history", "while it runs");
        let load = Load::start(&house.system).await?;
        load.goes_on(900).await?;
        load.stop().await?;
        house.system.stop("ledger").await?;
        // Longer by now, and another history.
        ensure!(house.refuses_backup().await? == "backups_of_other_history", "when it is longer");

        // A new log, even one that continues this one.
        let key = house.system.path("keys/second.key");
        let name = "log.tests.example/second";
        let made = tests::binary::Tool::exhibit(["keygen", name, "--out"])?.args([&key]);
        made.succeed().await?;
        let asked = ["--as-new-log", "--log-key", "keys/second.key"];
        restore(&house.system, "second", &asked).await?.ended(0)?;
        house.configure_folder("second", Some("log_key_file = \"keys/second.key\""))?;
        house.system.start_part("ledger").await?;
        ensure!(house.refuses_backup().await? == "backups_of_other_log", "a new log");
        house.system.stop("ledger").await?;
        ensure!(listed(&house)? == 2, "a backup was made");

        // The log itself goes on.
        house.configure("")?;
        ensure!(house.backup().await?["backup"] == 3, "the log itself");
        let list = ["--json", "backup", "--list", "--to", "backups"];
        let list = house.system.exhibit("", &list)?.succeed().await?.json()?;
        let backups = list["backups"].as_array().context("a list")?;
        ensure!(
            backups.len() == 3
                && backups[0]["made_at"].as_str().is_some_and(|at| at.ends_with('Z'))
        );
        Ok(())
    })
}

#[test]
fn the_newest_checkpoint_must_be_consistent_with_the_backup() -> Result<()> {
    tests::run(async {
        let (house, backup) = with_two().await?;
        let size = backup["size"].as_u64().context("a size")?;
        let signed = |size: u64| {
            let (origin, root) = (ORIGIN.to_owned(), Hash([7; 32]));
            let note =
                Checkpoint { origin, size: TreeSize(size), root }.sign(&house.system.key("log")?);
            anyhow::Ok(fs::write(house.system.path("newest"), note)?)
        };
        let key = house.system.path("keys/second.key");
        let made = tests::binary::Tool::exhibit(["keygen", "second", "--out"])?.args([&key]);
        made.succeed().await?;
        let new = ["--as-new-log", "--log-key", "keys/second.key", "--newest-checkpoint", "newest"];

        let of_backup = [(1, "checkpoint_older", 2), (size, "checkpoint_contradicted", 1)];
        for (size, code, exit) in of_backup {
            signed(size)?;
            for (to, args) in [("new", &new[..]), ("same", &new[3..])] {
                let to = format!("{to}-{code}");
                let refused = restore(&house.system, &to, args).await?.ended(exit)?;
                ensure!(refused.error_code()? == code, "{}", refused.stdout);
            }
        }
        // What contradicts is never started on.
        let code = house.refuses("same-checkpoint_contradicted", None, &[]).await?;
        ensure!(code == "restore_unfinished", "{code}");

        let newest = size + 1_000_000;
        signed(newest)?;
        let restored = restore(&house.system, "behind", &new).await?.ended(0)?.json()?;
        let entries = restored["fsck"]["entries"].as_u64().context("entries")?;
        ensure!(restored["lost"] == newest - entries, "{restored}");
        Ok(())
    })
}
