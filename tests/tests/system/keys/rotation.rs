//! Keys that change while everything goes on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use proto::v1::KeyRole;
use recorder::{Receipt, RecordError, Recorder};
use serde_json::json;
use tests::binary::Tool;
use tests::issuer::Issuer;
use tests::peers::Node;
use tests::system::{ORIGIN, Plan, Shape, System};
use tests::wait::until;
use tlog::{SigningKey, VerifyingKey, open_checkpoint};

use super::{edit, keygen, refused};
use crate::calls::{draft, start_recorder, start_recorder_as};
use crate::log;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_log_changes_its_key_over_three_starts() -> Result<()> {
    tests::run(async {
        let Some(node) = Node::find()? else { return Ok(()) };
        let issuer = Issuer::start(&node).await?;
        // So few rows that the follower's state on disk comes from before the change.
        let query_limits = "segment_rows = 8".to_owned();
        let recorders = vec!["caller".to_owned()];
        let plan = Plan { recorders, query_limits, ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, Some(&issuer)).await?;
        system.start_part("query").await?;
        let old = system.vkey("log").to_owned();
        let new = keygen(&system, &[ORIGIN, "--out", "keys/log2.key"]).await?;
        let ada = issuer.token("ada", &system.query()).await?;
        let [trust_old, trust_new, trust_both] = trust_files(&system, &old, &new)?;
        let by_old = start_recorder(&system, "caller").await?;
        let newest = by_old.record(draft(0)).await?;
        let first = export(&system, &ada, &newest, "first", &[]).await?;
        verifies(&system, &first, [(&trust_old, 0), (&trust_new, 1), (&trust_both, 0)]).await?;

        // A key that nobody was told of in advance signs nothing.
        system.stop("ledger").await?;
        edit(&system, |text| text.replace("keys/log.key", "keys/log2.key"))?;
        let said = refused(&system, &[], 1).await?;
        ensure!(said.contains("next_log_key_file"), "{said}");

        // Both: recorder and follower go on with the key that they know, new ones with the new one.
        let both = "log_key_file = \"keys/log.key\"\nnext_log_key_file = \"keys/log2.key\"";
        edit(&system, |text| text.replace("log_key_file = \"keys/log2.key\"", both))?;
        system.start_part("ledger").await?;
        until("the recorder is back", PATIENCE, || async {
            Ok(Some(by_old.record(draft(1)).await?))
        })
        .await?;
        let key = system.key("caller")?;
        let by_new = start_recorder_as(&system, &new, key.clone()).await?;
        by_new.record(draft(2)).await?;
        let newest = by_old.record(draft(3)).await?;
        let note = signed_by(&system, &[&old, &new]).await?;
        ensure!(note.matches("\n\u{2014} ").count() == 2, "{note}");
        let second = export(&system, &ada, &newest, "second", &[]).await?;
        verifies(&system, &second, [(&trust_old, 0), (&trust_new, 0), (&trust_both, 0)]).await?;

        // The follower is told of the new key when it suits its operator; its copy is the same one.
        system.stop("query").await?;
        let of_query = format!("log_vkey = \"{old}\"");
        edit(&system, |text| text.replace(&of_query, &format!("log_vkey = \"{new}\"")))?;
        system.start_part("query").await?;
        let counted = system.sql(&ada, "SELECT count(*) FROM events").await?;
        ensure!(counted["rows"][0] != json!([0]), "{counted}");

        // The new one alone.
        system.stop("ledger").await?;
        edit(&system, |text| text.replace(both, "log_key_file = \"keys/log2.key\""))?;
        system.start_part("ledger").await?;
        let newest = until("the recorder with the new key is back", PATIENCE, || async {
            Ok(Some(by_new.record(draft(4)).await?))
        });
        let newest = newest.await?;
        let code = until("the recorder with the old key gives up", PATIENCE, || async {
            match by_old.record(draft(5)).await {
                Err(RecordError::Refused { code, .. }) => Ok(Some(code)),
                other => anyhow::bail!("{other:?}"),
            }
        });
        ensure!(code.await? == "checkpoint_invalid", "another reason");
        let note = signed_by(&system, &[&new]).await?;
        ensure!(open_checkpoint(&note, &VerifyingKey::parse(&old)?).is_err(), "{note}");

        // What was kept under the old key still ties the log of today to that of then.
        let kept = format!("{first}/data/proofs/checkpoint");
        let third = export(&system, &ada, &newest, "third", &["--since", &kept]).await?;
        verifies(&system, &third, [(&trust_old, 1), (&trust_new, 0), (&trust_both, 0)]).await?;
        verifies(&system, &first, [(&trust_old, 0), (&trust_new, 1), (&trust_both, 0)]).await?;
        let verify = ["--json", "verify", &third, "--trust", &trust_both, "--since", &kept];
        let report = Tool::exhibit(verify)?.within(system.dir()).run().await?.ended(0)?.json()?;
        let checks = report["checks"].as_array().context("checks")?;
        let consistency = checks.iter().find(|check| check["id"] == "consistency");
        ensure!(consistency.is_some_and(|check| check["outcome"] == "pass"), "{report}");

        told(&system, &old, &new).await?;
        by_new.stop(true).await;
        system.stop("query").await?;
        system.stop("ledger").await?;
        let fsck = Tool::exhibit(["--json", "fsck", "ledger", "--log", &new])?.within(system.dir());
        let report = fsck.run().await?.ended(0)?.json()?;
        ensure!(report["findings"] == json!([]), "{report}");
        Ok(())
    })
}

#[test]
fn a_recorder_changes_its_key_while_both_are_registered() -> Result<()> {
    tests::run(async {
        let plan = Plan { recorders: vec!["caller".to_owned()], ..Plan::default() };
        let mut system = System::start(Shape::LedgerAlone, &plan, None).await?;
        let old = system.vkey("caller").to_owned();
        let new = keygen(&system, &["caller", "--out", "keys/caller2.key"]).await?;
        let key = |name: &str| -> Result<SigningKey> {
            let text = std::fs::read_to_string(system.path(&format!("keys/{name}.key")))?;
            Ok(SigningKey::parse(text.trim_end())?)
        };
        let (old_key, new_key) = (key("caller")?, key("caller2")?);
        let log = system.vkey("log").to_owned();
        let too_early = start_recorder_as(&system, &log, new_key.clone()).await;
        ensure!(too_early.is_err(), "a key that is not registered was accepted");

        system.stop("ledger").await?;
        let line = format!("  \"{old}\",\n");
        let both = format!("{line}  \"{new}\",\n");
        edit(&system, |text| text.replace(&line, &both))?;
        system.start_part("ledger").await?;
        // Two processes of one recorder, while one takes over from the other.
        let before = start_recorder_as(&system, &log, old_key.clone()).await?;
        let after = start_recorder_as(&system, &log, new_key.clone()).await?;
        before.record(draft(0)).await?;
        after.record(draft(1)).await?;
        before.record(draft(2)).await?;
        sealed_last(&system, &before).await?;
        before.stop(true).await;

        system.stop("ledger").await?;
        edit(&system, |text| text.replace(&line, ""))?;
        system.start_part("ledger").await?;
        until("the recorder with the new key is back", PATIENCE, || async {
            Ok(Some(after.record(draft(3)).await?))
        })
        .await?;
        ensure!(start_recorder_as(&system, &log, old_key).await.is_err(), "the old key opens");
        after.stop(true).await;

        let (entries, _) = log::read_until(&system, |entries| {
            entries.iter().any(|entry| matches!(entry.leaf.event.kind, Some(Kind::KeyRetired(_))))
        })
        .await?;
        let changes: Vec<_> =
            entries.iter().filter_map(|entry| change(entry, &[&old, &new])).collect();
        ensure!(
            changes
                == [
                    ("introduced", old.clone()),
                    ("introduced", new.clone()),
                    ("retired", old.clone())
                ],
            "{changes:?}"
        );
        system.stop("ledger").await?;
        let (log, ledger) = (system.vkey("log"), system.vkey("ledger"));
        let mut args = vec!["--json", "fsck", "ledger", "--log", log];
        for recorder in [ledger, &old, &new] {
            args.extend(["--recorder", recorder]);
        }
        let report = Tool::exhibit(args)?.within(system.dir()).run().await?.ended(0)?.json()?;
        ensure!(report["findings"] == json!([]), "{report}");
        Ok(())
    })
}

/// Trust files with the old key, the new one, and both.
fn trust_files(system: &System, old: &str, new: &str) -> Result<[String; 3]> {
    let trust = std::fs::read_to_string(system.path("trust"))?;
    let line = format!("log {old}\n");
    ensure!(trust.contains(&line), "{trust}");
    let both = format!("{line}log {new}\n");
    for (name, lines) in [("trust-new", format!("log {new}\n")), ("trust-both", both)] {
        std::fs::write(system.path(name), trust.replace(&line, &lines))?;
    }
    Ok(["trust", "trust-new", "trust-both"].map(str::to_owned))
}

/// A package of everything, once the query node has read this `newest` event; its folder.
async fn export(
    system: &System,
    token: &str,
    newest: &Receipt,
    out: &str,
    more: &[&str],
) -> Result<String> {
    let newest = newest.place.as_ref().context("a place")?.leaf_index;
    let read = format!("SELECT count(*) FROM events WHERE leaf_index = {newest}");
    until("the query node has read it", PATIENCE, || async {
        Ok((system.sql(token, &read).await?["rows"][0][0] == 1).then_some(()))
    })
    .await?;
    let period = "SELECT min(recorded_at), max(recorded_at) FROM events";
    let period = system.sql(token, period).await?["rows"][0].clone();
    let time = |column: usize| period[column].as_str().unwrap_or_default().to_owned();
    let (from, to) = (time(0), time(1));
    let args = ["--json", "export", "--from", &from, "--to", &to, "--out", out];
    system.exhibit(token, &[&args[..], more].concat())?.succeed().await?;
    Ok(out.to_owned())
}

/// With each of these trust files, `exhibit verify` ends with that code.
async fn verifies(system: &System, package: &str, with: [(&String, i32); 3]) -> Result<()> {
    for (trust, code) in with {
        let verify = Tool::exhibit(["verify", package, "--trust", trust])?.within(system.dir());
        let ran = verify.run().await?;
        ensure!(ran.code == code, "{package} with {trust}: {} {}", ran.stdout, ran.stderr);
        if code != 0 {
            ensure!(ran.stdout.contains("checkpoint.untrusted"), "{}", ran.stdout);
        }
    }
    Ok(())
}

/// The published note once all of these keys have signed it.
async fn signed_by(system: &System, keys: &[&str]) -> Result<String> {
    let keys: Vec<_> =
        keys.iter().map(|vkey| VerifyingKey::parse(vkey)).collect::<Result<_, _>>()?;
    let url = format!("{}/checkpoint", system.ledger());
    until("the checkpoint is signed", PATIENCE, || async {
        let note = reqwest::get(&url).await?.error_for_status()?.text().await?;
        for key in &keys {
            open_checkpoint(&note, key)?;
        }
        Ok(Some(note))
    })
    .await
}

/// The log says of its own key what happened to it.
async fn told(system: &System, old: &str, new: &str) -> Result<()> {
    let token = log::machine(&system.key("query")?, "query")?.token(&system.ledger())?;
    let is_retired = |entries: &[log::Entry]| {
        entries.iter().any(|entry| matches!(entry.leaf.event.kind, Some(Kind::KeyRetired(_))))
    };
    let (entries, _) = log::read_log(system, new, &token, is_retired).await?;
    let changes: Vec<_> = entries.iter().filter_map(|entry| change(entry, &[old, new])).collect();
    let expected = [("introduced", old), ("introduced", new), ("retired", old)];
    ensure!(changes == expected.map(|(what, vkey)| (what, vkey.to_owned())), "{changes:?}");
    let marks: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.leaf.event.kind {
            Some(Kind::LogMark(mark)) => Some(mark.vkeys.len()),
            _ => None,
        })
        .collect();
    ensure!(marks == [1, 2, 1], "{marks:?}");
    Ok(())
}

/// What an entry says of one of these keys.
fn change(entry: &log::Entry, keys: &[&str]) -> Option<(&'static str, String)> {
    let (what, role, vkey) = match entry.leaf.event.kind.as_ref()? {
        Kind::KeyIntroduced(key) => ("introduced", key.role, &key.vkey),
        Kind::KeyRetired(key) => ("retired", key.role, &key.vkey),
        _ => return None,
    };
    let is_known = [KeyRole::Log, KeyRole::Recorder].iter().any(|known| *known as i32 == role);
    (is_known && keys.contains(&vkey.as_str())).then(|| (what, vkey.clone()))
}

/// Waits until a seal of this recorder's epoch stands in the log.
async fn sealed_last(system: &System, recorder: &Recorder) -> Result<()> {
    let epoch = recorder.epoch();
    log::read_until(system, |entries| {
        entries.iter().any(|entry| {
            let of_epoch = entry.leaf.event.recorder.as_ref();
            let of_epoch = of_epoch.is_some_and(|recorder| recorder.epoch == epoch.0[..]);
            of_epoch && matches!(entry.leaf.event.kind, Some(Kind::RecorderSeal(_)))
        })
    })
    .await?;
    Ok(())
}
