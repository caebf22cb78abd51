//! Backups: made while recorders record, cut off, changed by somebody, and what a copy that came back may become.

mod behind;
mod folder;
mod house;
mod left;
mod read_back;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tests::disk::{Disk, Fault};
use tests::folder::copy;
use tests::process::Process;
use tests::system::System;
use tests::wait::until;

use self::house::{House, Load, restore};

#[test]
fn three_backups_under_load_hold_what_was_acknowledged() -> Result<()> {
    tests::run(async {
        let mut house = House::build().await?;
        let load = Load::start(&house.system).await?;
        let mut made = Vec::new();
        for more in [3_000, 200, 200] {
            load.goes_on(more).await?;
            // Every place up to this one was acknowledged before the backup is asked for.
            let acknowledged = load.newest();
            let backup = house.backup().await?;
            println!("{backup}");
            made.push((backup, acknowledged));
        }
        load.goes_on(1).await?;
        load.stop().await?;

        let number = |backup: &Value, field: &str| backup[field].as_u64().unwrap_or_default();
        let (first, third) = (&made[0].0, &made[2].0);
        ensure!(number(first, "bytes_copied") == number(first, "bytes"), "{first}");
        for (backup, _) in &made[1..] {
            let (copied, all) = (number(backup, "bytes_copied"), number(backup, "bytes"));
            ensure!(copied > 0 && copied < all, "{backup}");
        }
        ensure!(number(third, "bytes") > number(first, "bytes_copied"), "{third}");
        for (backup, acknowledged) in &made {
            let (n, to) = (backup["backup"].to_string(), format!("restored-{}", backup["backup"]));
            let restored = restore(&house.system, &to, &["--backup", &n]).await?;
            let restored = restored.ended(0)?.json()?;
            ensure!(restored["size"] == backup["size"] && restored["root"] == backup["root"]);
            ensure!(restored["fsck"]["findings"] == serde_json::json!([]), "{restored}");
            ensure!(restored["fsck"]["seals_without_key"] == serde_json::json!({}), "{restored}");
            let entries = number(&restored["fsck"], "entries");
            ensure!(entries > *acknowledged, "{entries} entries, {acknowledged} acknowledged");
        }
        house.no_signing_key_is_in_it()?;

        // Each is in the log itself, before it was made.
        house.system.stop("ledger").await?;
        house.system.start_part("ledger").await?;
        let is_last = |_: &[crate::log::Entry]| true;
        let (entries, _) = crate::log::read_until(&house.system, is_last).await?;
        let accesses = entries.iter().filter(|entry| house::is_backup(&entry.leaf)).count();
        ensure!(accesses == 3, "{accesses} backups are recorded");

        // Without the ledger; and of all, two are kept.
        house.system.stop("ledger").await?;
        let backup = house.backup_with(&["--keep", "2"]).await?;
        ensure!(backup["backup"] == 4 && backup["purged"] == serde_json::json!([1, 2]), "{backup}");
        let gone = restore(&house.system, "gone", &["--backup", "1"]).await?.ended(2)?;
        ensure!(gone.error_code()? == "no_such_backup", "{}", gone.stdout);
        for n in ["3", "4"] {
            restore(&house.system, &format!("kept-{n}"), &["--backup", n]).await?.ended(0)?;
        }
        let list = std::fs::read_to_string(house.system.path("ledger/backups"))?;
        ensure!(list.lines().count() == 2 && list.contains("\"backup\":4"), "{list}");
        let taken = restore(&house.system, "kept-3", &[]).await?.ended(2)?;
        ensure!(taken.error_code()? == "place_taken", "{}", taken.stdout);
        Ok(())
    })
}

#[test]
fn a_backup_killed_at_any_moment_harms_no_other() -> Result<()> {
    tests::run(async {
        let mut house = House::build().await?;
        let load = Load::start(&house.system).await?;
        load.goes_on(300).await?;
        house.backup().await?;
        load.goes_on(50).await?;
        load.stop().await?;

        // A ledger that is killed while it makes one, somewhere in it.
        for millis in [1, 10, 25, 60] {
            let mut command = std::process::Command::new(tests::binary::exhibit()?);
            command.args(["backup", "--config"]).arg(house.system.path("exhibit.toml"));
            command.env("EXHIBIT_TOKEN", house.token()?);
            let asking = Process::start("backup", command)?;
            tokio::time::sleep(Duration::from_millis(millis)).await;
            house.system.kill("ledger")?;
            drop(asking);
            house.system.start_part("ledger").await?;
            ensure!(!house.system.path("ledger/snapshot").exists(), "a moment is left over");
            left::is_named(&house.system).with_context(|| format!("after {millis} ms"))?;
        }
        house.system.stop("ledger").await?;
        restore(&house.system, "first", &["--backup", "1"]).await?.ended(0)?;

        // The command alone, killed at one call after the other of those that change the disk.
        let system = &house.system;
        set_base(system)?;
        // Each begins where another was cut off.
        let calls = killed_at(&house, 0).await?.len();
        killed_at(&house, calls / 2).await?;
        set_base(system)?;
        let calls = killed_at(&house, 0).await?;
        let is_named =
            |call: &String| call.contains(" rename ") && call.contains("/backups/backups/");
        let named = calls.iter().position(is_named).context("no backup got its name")?;
        let calls = calls.len();
        println!("{calls} calls of a backup, which has its name from {named} on");
        ensure!(calls > 30, "only {calls} calls were counted: is the layer loaded?");
        let points = 12;
        // Not the very last ones: another run may need a call less.
        let over_all = (0..points).map(|point| 1 + point * (calls * 9 / 10 - 1) / (points - 1));
        // With its name it is there, and what another one left before must be gone. Break it: purge nothing in `making.rs`
        // before files are copied.
        let behind_its_name = named + 1..named + 6;
        for at in over_all.chain(behind_its_name) {
            killed_at(&house, at).await?;
            // Break it: write a backup down in `making.rs` only when it has its name.
            left::is_named(system).with_context(|| format!("after call {at}"))?;
            let first = format!("first-{at}");
            restore(system, &first, &["--backup", "1"]).await?.ended(0)?;
            let again = house.backup_with(&[]).await.with_context(|| format!("after call {at}"))?;
            let n = again["backup"].to_string();
            let newest = format!("newest-{at}");
            restore(system, &newest, &["--backup", &n]).await?.ended(0)?;
            ensure!(!system.path("ledger/snapshot").exists(), "a moment is left over");
            left::is_clean(system).with_context(|| format!("after call {at}"))?;
            for done in [first, newest] {
                std::fs::remove_dir_all(system.path(&done))?;
            }
        }
        Ok(())
    })
}

/// Keeps ledger and backups as they are, for [`killed_at`].
fn set_base(system: &System) -> Result<()> {
    for part in ["ledger", "backups"] {
        let base = system.path(&format!("base/{part}"));
        if base.exists() {
            std::fs::remove_dir_all(&base)?;
        }
        copy(&system.path(part), &base)?;
    }
    Ok(())
}

/// Puts ledger and backups back as they were, and kills `exhibit backup` at this call; the calls until then.
async fn killed_at(house: &House, at: usize) -> Result<Vec<String>> {
    let system = &house.system;
    for part in ["ledger", "backups"] {
        std::fs::remove_dir_all(system.path(part))?;
        copy(&system.path(&format!("base/{part}")), &system.path(part))?;
    }
    let disk = Disk::below(system.dir())?;
    disk.arm()?;
    let mut tool = system.exhibit("", &["--json", "backup", "--config", "exhibit.toml"])?;
    for (name, value) in disk.environment(at, Fault::Kill)? {
        tool = tool.env(&name, value);
    }
    let ended = tool.run().await?;
    ensure!(ended.code == if at == 0 { 0 } else { -1 }, "call {at}: {ended:?}");
    disk.calls()
}

#[test]
fn a_changed_byte_is_refused_by_name() -> Result<()> {
    tests::run(async {
        let mut house = House::build().await?;
        let load = Load::start(&house.system).await?;
        load.goes_on(300).await?;
        load.stop().await?;
        house.backup().await?;
        let system = &house.system;
        for (part, inside) in [("files", "sst"), ("backups", "SHA-256")] {
            let file = largest(&system.path(&format!("backups/{part}")))?;
            let good = std::fs::read(&file)?;
            let mut bad = good.clone();
            bad[good.len() / 2] ^= 1;
            std::fs::write(&file, bad)?;
            let to = format!("from-changed-{part}");
            let refused = restore(system, &to, &[]).await?.ended(1)?;
            ensure!(refused.error_code()? == "backup_damaged", "{}", refused.stdout);
            let name = file.file_name().context("a name")?.to_string_lossy().into_owned();
            let names_it = refused.stderr.contains(&name) && refused.stderr.contains(inside);
            ensure!(names_it, "{name} is not named: {}", refused.stderr);
            std::fs::write(&file, good)?;
        }
        // What came back in part starts as nothing.
        house.system.stop("ledger").await?;
        for read_only in [&[][..], &["--read-only"]] {
            let code = house.refuses("from-changed-files", None, read_only).await?;
            ensure!(code == "restore_unfinished", "{code}");
        }
        restore(&house.system, "good", &[]).await?.ended(0)?;

        // Another key than the log's.
        let mut args = vec!["--json", "restore", "--from", "backups", "--to", "other"];
        args.extend(["--log", house.system.vkey("load-1")]);
        let other = house.system.exhibit("", &args)?.run().await?.ended(1)?;
        ensure!(other.error_code()? == "checkpoint_invalid", "{}", other.stdout);
        Ok(())
    })
}

#[test]
fn backups_on_time_and_who_may_ask_for_one() -> Result<()> {
    tests::run(async {
        let mut house = House::build().await?;
        let ask = |token: Option<String>| {
            let request =
                reqwest::Client::new().post(format!("{}/v1/backups", house.system.ledger()));
            let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            async move {
                let answer = request.send().await?;
                let status = answer.status().as_u16();
                let said: Value = answer.json().await?;
                anyhow::Ok((status, said["code"].as_str().unwrap_or_default().to_owned()))
            }
        };
        let (status, _) = ask(None).await?;
        ensure!(status == 401, "{status}");
        let follower = crate::log::machine(&house.system.key("query")?, "query")?;
        let refused = ask(Some(follower.token(&house.system.ledger())?)).await?;
        ensure!(refused == (403, "role_missing".to_owned()), "{refused:?}");
        ensure!(!house.system.path("backups").exists(), "a backup was made");

        // The first one on time is due at once.
        house.system.stop("ledger").await?;
        house.configure("every_minutes = 60\n")?;
        house.system.start_part("ledger").await?;
        let counted = "exhibit_ledger_backups_total{outcome=\"made\"} 1";
        until("a backup is made on time", Duration::from_secs(30), || async {
            let metrics = reqwest::get(format!("{}/metrics", house.system.ledger())).await?;
            Ok(metrics.text().await?.contains(counted).then_some(()))
        })
        .await?;
        house.system.stop("ledger").await?;
        restore(&house.system, "restored", &[]).await?.ended(0)?;

        // The disk of the backups is away: nothing goes to the one below it, and the ledger records on, and tells it.
        std::fs::remove_dir_all(house.system.path("backups"))?;
        house.system.start_part("ledger").await?;
        until("the missing folder is told", Duration::from_secs(30), || async {
            let ready = reqwest::get(format!("{}/readyz", house.system.ledger())).await?;
            let ready = ready.error_for_status()?.text().await?;
            Ok(ready.contains("warning: backups on time: ").then_some(()))
        })
        .await?;
        ensure!(!house.system.path("backups").exists(), "it was made anew");
        Ok(())
    })
}

/// The largest file of a folder.
fn largest(folder: &Path) -> Result<PathBuf> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        files.push((file.metadata()?.len(), file.path()));
    }
    Ok(files.into_iter().max().context("no file")?.1)
}

impl House {
    /// Neither the text of a signing key nor its seed is in any file of the backups.
    fn no_signing_key_is_in_it(&self) -> Result<()> {
        let mut secrets = Vec::new();
        for name in ["log", "ledger", "load-1"] {
            let text = std::fs::read_to_string(self.system.path(&format!("keys/{name}.key")))?;
            let secret = text.trim_end().splitn(5, '+').nth(4).context("the form of a key")?;
            secrets.push(secret.as_bytes().to_vec());
            secrets.push(STANDARD.decode(secret)?[1..].to_vec());
        }
        for folder in ["backups/files", "backups/backups"] {
            for file in std::fs::read_dir(self.system.path(folder))? {
                let bytes = std::fs::read(file?.path())?;
                for secret in &secrets {
                    let is_in = bytes.windows(secret.len()).any(|window| window == &secret[..]);
                    ensure!(!is_in, "a signing key is in {folder}");
                }
            }
        }
        Ok(())
    }
}
