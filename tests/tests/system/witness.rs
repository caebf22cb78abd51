//! Witnesses: ours and independent ones, for our log and for another, and what they keep a ledger from doing.

mod export;
mod house;
mod killed;
mod peers;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use proto::v1::subscribe_response::Item;
use tests::binary::exhibit;
use tests::folder::copy;
use tests::process::Process;
use tests::system::ORIGIN;
use tests::wait::until;
use tlog::{Checkpoint, SigningKey, TreeSize};

pub(crate) use self::house::Witness;
use self::house::{Leaves, configure, cosigned, ledger, note, policy, refuses};
use crate::calls::{draft, start_recorder};
use crate::log;

#[test]
fn two_of_three_cosign_while_one_is_away() -> Result<()> {
    tests::run(async {
        let mut system = ledger().await?;
        let mut witnesses = Vec::new();
        for name in ["w1", "w2", "w3"] {
            witnesses.push(Witness::start(system.dir(), name, system.vkey("log")).await?);
        }
        system.stop("ledger").await?;
        let lines: String = witnesses.iter().map(Witness::line).collect();
        configure(&system, &format!("{lines}group two 2 w1 w2 w3\nquorum two\n"))?;
        witnesses[2].kill()?;
        system.start_part("ledger").await?;
        let recorder = start_recorder(&system, "load-1").await?;
        let mut size = 0;
        for number in 0..20 {
            let place = recorder.record(draft(number)).await?.place.context("a place")?;
            size = place.leaf_index.0 + 1;
        }
        let mut names: Vec<_> =
            cosigned(&system, size).await?.cosigned.into_iter().map(|(name, _)| name).collect();
        names.sort();
        ensure!(names == ["w1", "w2"], "{names:?}");

        // A follower is shown the same tree again with its cosignatures.
        let policy = policy(&system)?;
        let key = log::machine(&system.key("query")?, "query")?;
        let mut stream = log::subscribe(&system, &key.token(&system.ledger())?, size).await?;
        let shown = async {
            loop {
                match stream.message().await?.and_then(|message| message.item) {
                    Some(Item::Checkpoint(note)) => {
                        if policy.open_checkpoint(&note)?.quorum_satisfied {
                            return anyhow::Ok(());
                        }
                    }
                    Some(_) => {}
                    None => bail!("the ledger ended the stream"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), shown).await.context("not shown")??;

        // It comes back; whoever recorded meanwhile did not wait.
        witnesses[2].spawn(&[]).await?;
        until("the third cosigns again", Duration::from_secs(30), || async {
            recorder.record(draft(1)).await?;
            let verified = policy.open_checkpoint(&note(&system).await?)?;
            Ok(verified.cosigned.iter().any(|(name, _)| name == "w3").then_some(()))
        })
        .await?;
        let metrics = reqwest::get(format!("{}/metrics", system.ledger())).await?.text().await?;
        for expected in [
            "exhibit_ledger_witness_cosigned_size{witness=\"w3\"}",
            "exhibit_ledger_witness_failures_total{witness=\"w3\",reason=\"unreachable\"}",
        ] {
            ensure!(metrics.contains(expected), "no {expected} in {metrics}");
        }
        recorder.stop(true).await;
        system.stop("ledger").await
    })
}

#[test]
fn a_ledger_put_back_is_refused_by_its_witness() -> Result<()> {
    tests::run(async {
        let mut system = ledger().await?;
        let mut witness = Witness::start(system.dir(), "w1", system.vkey("log")).await?;
        system.stop("ledger").await?;
        configure(&system, &format!("{}quorum w1\n", witness.line()))?;
        copy(&system.path("ledger"), &system.path("older"))?;
        system.start_part("ledger").await?;
        cosigned(&system, 1).await?;
        system.stop("ledger").await?;

        // Store and checkpoint file are older together: nothing but the witness can tell.
        std::fs::rename(system.path("ledger"), system.path("newest"))?;
        copy(&system.path("older"), &system.path("ledger"))?;
        let said = refuses(&system, 1, "witness_contradicts").await?;
        ensure!(said.contains("w1") && said.contains("larger"), "{said}");
        // Without it nobody knows, and that is no reason to go on.
        witness.kill()?;
        let said = refuses(&system, 3, "witness_quorum").await?;
        ensure!(said.contains("--without-quorum"), "{said}");
        witness.spawn(&[]).await?;

        // A new log under the old one's key and origin: another history.
        std::fs::remove_dir_all(system.path("ledger"))?;
        std::fs::write(system.path("policy"), "quorum none\n")?;
        let config = std::fs::read_to_string(system.path("exhibit.toml"))?;
        let without = config.replace("[ledger.witness]\npolicy_file = \"policy\"\n", "");
        std::fs::write(system.path("exhibit.toml"), without)?;
        system.start_part("ledger").await?;
        let recorder = start_recorder(&system, "load-1").await?;
        for number in 0..30 {
            recorder.record(draft(number)).await?;
        }
        recorder.stop(true).await;
        system.stop("ledger").await?;
        configure(&system, &format!("{}quorum w1\n", witness.line()))?;
        let said = refuses(&system, 1, "witness_contradicts").await?;
        ensure!(said.contains("not in this log"), "{said}");

        // The newest state is none of both.
        std::fs::remove_dir_all(system.path("ledger"))?;
        std::fs::rename(system.path("newest"), system.path("ledger"))?;
        system.start_part("ledger").await?;
        cosigned(&system, 1).await?;
        system.stop("ledger").await
    })
}

#[test]
fn a_quorum_that_is_away_is_gone_without_only_when_a_person_says_so() -> Result<()> {
    tests::run(async {
        let mut system = ledger().await?;
        let mut witness = Witness::start(system.dir(), "w1", system.vkey("log")).await?;
        system.stop("ledger").await?;
        configure(&system, &format!("{}quorum w1\n", witness.line()))?;
        witness.kill()?;
        refuses(&system, 3, "witness_quorum").await?;
        let mut command = Command::new(exhibit()?);
        command.args(["ledger", "--without-quorum", "--config", "exhibit.toml"]);
        command.current_dir(system.dir());
        let _running = Process::start("ledger", command)?;
        until("it starts without", Duration::from_secs(30), || async {
            let ready = reqwest::get(format!("{}/readyz", system.ledger())).await?;
            Ok(ready.status().is_success().then_some(()))
        })
        .await?;
        let url = format!("{}/readyz", system.ledger());
        let warns = || async {
            let ready = reqwest::get(&url).await?;
            anyhow::Ok(ready.text().await?.contains("warning: quorum of witnesses: "))
        };
        until("the missing quorum is told", Duration::from_secs(30), || async {
            Ok(warns().await?.then_some(()))
        })
        .await?;
        let recorder = start_recorder(&system, "load-1").await?;
        recorder.record(draft(1)).await?;
        recorder.stop(true).await;
        // Once it is there it is asked.
        witness.spawn(&[]).await?;
        cosigned(&system, 1).await?;
        until("it is told no more", Duration::from_secs(30), || async {
            Ok((!warns().await?).then_some(()))
        })
        .await?;
        Ok(())
    })
}

#[test]
fn a_split_view_is_cosigned_once() -> Result<()> {
    tests::run(async {
        let dir = tempfile::tempdir()?;
        let key = SigningKey::from_seed(ORIGIN, [7; 32])?;
        let witness = Witness::start(dir.path(), "w1", &key.verifying_key().to_string()).await?;
        let (ours, other) = (Leaves(b'a'), Leaves(b'b'));
        let size = TreeSize;
        let submit = async |leaves: &Leaves, old: u64, new: u64| {
            let note = leaves.checkpoint(new).sign(&key);
            witness.submit(size(old), &leaves.proof(old, new), &note).await
        };
        let (status, lines) = submit(&ours, 0, 5).await?;
        ensure!(status == 200 && lines.starts_with("— w1 "), "{status} {lines}");
        ensure!(submit(&other, 5, 5).await?.0 == 422, "another root of the same size");
        ensure!(submit(&other, 5, 9).await?.0 == 422, "another tree");
        ensure!(submit(&ours, 5, 4).await?.0 == 400, "a smaller tree");
        ensure!(submit(&ours, 0, 5).await? == (409, "5\n".to_owned()), "from the beginning");
        ensure!(submit(&ours, 5, 9).await?.0 == 200, "the tree that grew");
        ensure!(submit(&ours, 9, 9).await?.0 == 200, "the same once more");
        let stranger = SigningKey::from_seed(ORIGIN, [8; 32])?;
        let note = ours.checkpoint(9).sign(&stranger);
        ensure!(witness.submit(size(9), "", &note).await?.0 == 403, "another key");
        let elsewhere = SigningKey::from_seed("elsewhere.example", [7; 32])?;
        let unknown = Checkpoint { origin: "elsewhere.example".into(), ..ours.checkpoint(9) };
        let note = unknown.sign(&elsewhere);
        ensure!(witness.submit(size(9), "", &note).await?.0 == 404, "another log");
        Ok(())
    })
}
