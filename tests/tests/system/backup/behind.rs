//! A copy that is older than what others have seen is never this log again: it is refused, shown, or continued by a new one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use proto::v1::AppendRequest;
use recorder::{Limits, Recorder, RecorderConfig};
use tests::binary::Tool;
use tests::wait::until;
use tlog::VerifyingKey;

use super::house::{House, Load, restore};
use crate::calls::draft;
use crate::log;
use crate::witness::Witness;

const NEW_ORIGIN: &str = "log.tests.example/second";
const ELSEWHERE: Option<&str> = Some("checkpoint_file = \"kept.checkpoint\"\n");

/// A house with a backup that is behind, the newest checkpoint in `kept.checkpoint`, and the copy in `copy`.
async fn left_behind() -> Result<(House, serde_json::Value)> {
    let mut house = House::build().await?;
    let load = Load::start(&house.system).await?;
    load.goes_on(400).await?;
    // A copy is shown as of its checkpoint.
    let newest = load.newest();
    until("the load is published", Duration::from_secs(20), || async {
        Ok((house.system.checkpoint().await?.size.0 > newest).then_some(()))
    })
    .await?;
    house.backup().await?;
    load.goes_on(50).await?;
    load.stop().await?;
    house.system.stop("ledger").await?;
    std::fs::copy(house.system.path("ledger/checkpoint"), house.system.path("kept.checkpoint"))?;
    let restored = restore(&house.system, "copy", &[]).await?.ended(0)?.json()?;
    Ok((house, restored))
}

#[test]
fn a_copy_that_is_behind_is_refused_and_shown() -> Result<()> {
    tests::run(async {
        let (mut house, restored) = left_behind().await?;
        // By itself it looks whole, so nobody's word is not enough.
        let code = house.refuses("copy", None, &[]).await?;
        ensure!(code == "restored_unvouched", "{code}");
        // Nor is what says nothing: the file that was restored too, by another name, or a quorum of nobody.
        let alias = "checkpoint_file = \"copy/../copy/checkpoint\"";
        let code = house.refuses("copy", Some(alias), &[]).await?;
        ensure!(code == "restored_unvouched", "{code}");
        let witness = Witness::start(house.system.dir(), "w1", house.system.vkey("log")).await?;
        let policy = |quorum: &str| {
            let text = format!("{}quorum {quorum}\n", witness.line());
            std::fs::write(house.system.path("policy"), text)
        };
        let witnessed = "witness = { policy_file = \"policy\" }";
        policy("none")?;
        let code = house.refuses("copy", Some(witnessed), &[]).await?;
        ensure!(code == "restored_unvouched", "{code}");
        // A witness that never saw the log cosigns what it is shown first. It is not shown the copy: at the second start it
        // knows as little.
        policy("w1")?;
        house.configure_folder("copy", Some(witnessed))?;
        let args = ["--json", "ledger", "--config", "exhibit.toml"];
        for _ in 0..2 {
            let refused = house.system.exhibit("", &args)?.run().await?.ended(1)?;
            ensure!(refused.error_code()? == "witness_memory", "{}", refused.stderr);
            ensure!(refused.stderr.contains("never seen this log"), "{}", refused.stderr);
            // Break it: answer NoQuorum for all in `ask_first`. What is advised there would be refused here.
            ensure!(refused.stderr.contains("--restored-is-newest SIZE"), "{}", refused.stderr);
        }
        let code = house.refuses("copy", ELSEWHERE, &[]).await?;
        ensure!(code == "store_behind", "{code}");
        let size = restored["size"].to_string();
        let code = house.refuses("copy", ELSEWHERE, &["--restored-is-newest", &size]).await?;
        ensure!(code == "store_behind", "{code}");
        // Who says so must know how large the newest is, and that is not the copy's size.
        let kept = std::fs::read_to_string(house.system.path("kept.checkpoint"))?;
        let newest = kept.lines().nth(1).context("a size")?;
        let code = house.refuses("copy", None, &["--restored-is-newest", newest]).await?;
        ensure!(code == "store_behind", "{code}");

        let before = files(&house.system.path("copy"))?;
        house.configure_folder("copy", ELSEWHERE)?;
        house.system.start_part_with("ledger", &["--read-only"]).await?;
        let get = |path: &str| {
            let url = format!("{}{path}", house.system.ledger());
            async move { anyhow::Ok(reqwest::get(url).await?.error_for_status()?.text().await?) }
        };
        let ready = get("/readyz").await?;
        let is_told = ready.starts_with("read-only: ") && ready.contains("nothing can be recorded");
        ensure!(is_told, "{ready}");
        ensure!(get("/checkpoint").await? == restored["checkpoint"], "another checkpoint");
        // Entries, tiles and checkpoint agree, as a follower finds them.
        let (entries, checkpoint) = log::read_until(&house.system, |_| true).await?;
        ensure!(entries.len() as u64 == restored["size"], "{} entries", entries.len());
        let tiles = log::tiles(&house.system, checkpoint.size).await?;
        ensure!(!tiles.is_empty(), "no tiles");
        ensure!(entries.iter().any(|entry| !entry.openings.is_empty()), "nothing is disclosed");

        // Nothing is taken in, and nothing is told that could not be recorded.
        let mut client = log::connect(&house.system).await?;
        let refused = client.append(tokio_stream::iter([AppendRequest::default()])).await;
        let refused = refused.err().context("the append was taken")?;
        let code = refused.metadata().get("exhibit-code").context("a code")?.to_str()?.to_owned();
        ensure!(code == "read_only" && refused.message().contains("first"), "{refused:?}");
        let asked = reqwest::Client::new().post(format!("{}/v1/backups", house.system.ledger()));
        let asked = asked.bearer_auth(house.token()?).send().await?;
        ensure!(asked.status().as_u16() == 409, "{asked:?}");
        let token = house.token()?;
        let bundle = format!("{}/tile/entries/000", house.system.ledger());
        let bundle = reqwest::Client::new().get(bundle).bearer_auth(token).send().await?;
        ensure!(!bundle.status().is_success(), "an access that is not recorded was allowed");
        house.system.stop("ledger").await?;
        ensure!(files(&house.system.path("copy"))? == before, "the copy was changed");
        Ok(())
    })
}

#[test]
fn a_copy_that_is_the_newest_goes_on() -> Result<()> {
    tests::run(async {
        let mut house = House::build().await?;
        let load = Load::start(&house.system).await?;
        load.goes_on(100).await?;
        load.stop().await?;
        house.system.stop("ledger").await?;
        std::fs::copy(
            house.system.path("ledger/checkpoint"),
            house.system.path("kept.checkpoint"),
        )?;
        for (folder, lines) in [("one", ELSEWHERE), ("two", None)] {
            // Of the folder that the ledger ran on last.
            house.backup().await?;
            let restored = restore(&house.system, folder, &[]).await?.ended(0)?.json()?;
            let size = restored["size"].to_string();
            let said = ["--restored-is-newest", &*size];
            let args = if lines.is_none() { &said[..] } else { &[] };
            ensure!(house.system.path(folder).join("restored").exists(), "no mark of the restore");
            house.configure_folder(folder, lines)?;
            house.system.start_part_with("ledger", args).await?;
            let load = Load::start(&house.system).await?;
            load.goes_on(20).await?;
            load.stop().await?;
            house.system.stop("ledger").await?;
            // It is an ordinary ledger again.
            ensure!(!house.system.path(folder).join("restored").exists(), "the mark stays");
            house.system.start_part("ledger").await?;
            house.system.stop("ledger").await?;
        }
        Ok(())
    })
}

#[test]
fn a_new_log_continues_one_that_is_behind() -> Result<()> {
    tests::run(async {
        let (mut house, restored) = left_behind().await?;
        let continued = ["--as-new-log", "--newest-checkpoint", "kept.checkpoint", "--log-key"];
        let same = [&continued[..], &["keys/log.key"]].concat();
        let same = restore(&house.system, "continued", &same).await?.ended(2)?;
        ensure!(same.error_code()? == "same_origin", "{}", same.stdout);

        let key = house.system.path("keys/second.key");
        let made = Tool::exhibit(["keygen", NEW_ORIGIN, "--out"])?.args([&key]).succeed().await?;
        let vkey = made.stdout.trim().to_owned();
        let asked = [&continued[..], &["keys/second.key"]].concat();
        restore(&house.system, "continued", &asked).await?.ended(0)?;
        let lines = "log_key_file = \"keys/second.key\"";
        house.configure_folder("continued", Some(lines))?;
        house.system.start_part("ledger").await?;

        let recorder = Recorder::start(RecorderConfig {
            ledger: crate::calls::address(&house.system)?,
            log: VerifyingKey::parse(&vkey)?,
            key: std::sync::Arc::new(house.system.key("load-1")?),
            limits: Limits::default(),
            checkpoint_file: None,
        })
        .await?;
        for number in 0..20 {
            recorder.record(draft(number)).await?;
        }
        recorder.stop(true).await;
        house.system.stop("ledger").await?;
        house.system.start_part("ledger").await?;
        let token = log::machine(&house.system.key("query")?, "query")?;
        let token = token.token(&house.system.ledger())?;
        let entries = log::read_log(&house.system, &vkey, &token, |_| true).await?.0;
        let says = |kind: &Option<Kind>| matches!(kind, Some(Kind::LogContinued(_)));
        let Some(Kind::LogContinued(first)) = &entries[0].leaf.event.kind else {
            anyhow::bail!("entry 0 is {:?}", entries[0].leaf.event.kind);
        };
        let again = entries[1..].iter().filter(|entry| says(&entry.leaf.event.kind)).count();
        ensure!(again == 0, "it is said again");
        ensure!(first.restored_size == restored["fsck"]["entries"], "{first:?}");
        let old = VerifyingKey::parse(house.system.vkey("log"))?;
        let newest = tlog::open_checkpoint(&first.checkpoint, &old)?;
        ensure!(newest.size.0 > first.restored_size, "{newest:?} is not the newest");
        house.system.stop("ledger").await?;
        let mut args = vec!["--json", "fsck", "continued", "--log", &vkey];
        for name in ["ledger", "load-1"] {
            args.extend(["--recorder", house.system.vkey(name)]);
        }
        let report = house.system.exhibit("", &args)?.run().await?.ended(0)?.json()?;
        ensure!(report["findings"] == serde_json::json!([]), "{report}");

        // The old one is still there to be read.
        house.configure_folder("continued/previous", None)?;
        house.system.start_part_with("ledger", &["--read-only"]).await?;
        let (entries, _) = log::read_until(&house.system, |_| true).await?;
        ensure!(entries.len() as u64 == restored["size"], "{} entries", entries.len());
        house.system.stop("ledger").await
    })
}

/// Every file below a folder with its length and time.
pub(super) fn files(folder: &Path) -> Result<BTreeMap<PathBuf, (u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            let metadata = path.metadata()?;
            found.insert(path, (metadata.len(), metadata.modified()?));
        }
    }
    Ok(found)
}
