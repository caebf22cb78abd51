//! Proofs that are handed out: C2SP tlog-proofs and COSE receipts, checked by others' libraries.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;
use tests::binary::{Ran, Tool};
use tests::peers::Go;
use tests::system::{ORIGIN, System};
use tlog::{TreeSize, VerifyingKey};

use super::{Reading, record};
use crate::calls::start_recorder;
use crate::package::{export, worked};

#[test]
fn tlog_proofs_verify_with_the_libraries_of_transparency_dev() -> Result<()> {
    tests::run(async {
        let (Some(go), Some(guarded)) = (Go::find()?, worked().await?) else { return Ok(()) };
        let system = &guarded.system;
        let package = export(&guarded, "package").await?;
        ensure!(package.exists(), "a package");
        let ada = guarded.reader("ada").await?;
        let leaves = "SELECT leaf_index, encode(leaf, 'base64') FROM events ORDER BY 1";
        let leaves = system.sql(&ada, leaves).await?;
        let leaves = leaves["rows"].as_array().context("rows")?;
        ensure!(leaves.len() > 10, "{} leaves", leaves.len());
        for row in leaves {
            let index = row[0].to_string();
            let index = index.trim_matches('"');
            let leaf = STANDARD_NO_PAD.decode(row[1].as_str().context("a leaf")?)?;
            std::fs::write(system.path("leaf"), leaf)?;
            let log = system.vkey("log").to_owned();
            let args = ["proof", index, "--log", &log, "--out", "leaf.tlog-proof"];
            system.exhibit(&ada, &args)?.succeed().await?;
            let proof = system.path("leaf.tlog-proof");
            let read = reader(&go, "proof", system, &proof, &system.path("leaf")).await?;
            let read = read.ended(0)?.json()?;
            ensure!(read["index"].as_u64() == index.parse().ok(), "{read} is not of leaf {index}");
        }
        // The last one, changed in one place each.
        let proof = system.path("leaf.tlog-proof");
        let text = std::fs::read_to_string(&proof)?;
        let index = text.lines().find(|line| line.starts_with("index ")).context("an index")?;
        let (hash, note) = (text.lines().nth(2).context("a hash")?, format!("\n\n{ORIGIN}\n"));
        let last = leaves.len() - 1;
        let changes = [
            (index.to_owned(), format!("index {}", last - 1)),
            (hash.to_owned(), tlog::leaf_hash(b"another").to_string()),
            (format!("{hash}\n"), String::new()),
            (note, "\n\nlog.tests.example/other\n".to_owned()),
        ];
        for (from, to) in changes {
            ensure!(text.contains(&from), "no {from:?} in {text}");
            std::fs::write(system.path("changed"), text.replacen(&from, &to, 1))?;
            let changed = system.path("changed");
            reader(&go, "proof", system, &changed, &system.path("leaf")).await?.ended(1)?;
        }
        reader(&go, "proof", system, &proof, &system.path("trust")).await?.ended(1)?;

        // Those that an auditor gets with a sample.
        let args = ["sample", "package", "--criterion", "CC6.1", "--nonce", "n", "--size", "3"];
        let args = args.into_iter().chain(["--out", "sample"]);
        Tool::exhibit(args)?.within(system.dir()).succeed().await?;
        let mut checked = 0;
        for item in std::fs::read_dir(system.path("sample/data/items"))? {
            for file in std::fs::read_dir(item?.path())? {
                let leaf = file?.path();
                if leaf.extension().is_some_and(|end| end == "leaf") {
                    let proof = leaf.with_extension("tlog-proof");
                    reader(&go, "proof", system, &proof, &leaf).await?.ended(0)?;
                    checked += 1;
                }
            }
        }
        println!("{} proofs of the service and {checked} of a sample", leaves.len());
        ensure!(checked >= 3, "{checked} proofs in a sample of 3");
        Ok(())
    })
}

#[test]
fn receipts_verify_with_go_cose() -> Result<()> {
    tests::run(async {
        let Some(go) = Go::find()? else { return Ok(()) };
        let reading = Reading::start(go).await?;
        let system = &reading.system;
        let recorder = start_recorder(system, "caller").await?;
        record(&recorder, 600).await?;
        recorder.stop(true).await;
        let size = reading.keep_checkpoint("kept", 600).await?.size.0;
        let (proof, leaf) = (system.path("leaf.cose"), system.path("leaf"));
        for index in [0, 1, 255, 256, 511, 512, size - 1] {
            let made = receipt(system, index).await?.ended(0)?.json()?;
            std::fs::write(&leaf, entry(&reading, index, size).await?)?;
            let read = reader(&reading.go, "receipt", system, &proof, &leaf).await?;
            let read = read.ended(0)?.json()?;
            ensure!(read["index"] == index && read["issuer"] == ORIGIN, "{read}");
            ensure!(
                read["size"] == made["tree_size"] && read["root"] == made["root"],
                "go-cose reads {read}, exhibit wrote {made}"
            );
        }
        // The last one, with each byte changed. RFC 9942 does not sign the size, so its reader may take another one that
        // gives the same root; ours does not.
        let log = VerifyingKey::parse(system.vkey("log"))?;
        let leaf_hash = tlog::leaf_hash(&std::fs::read(&leaf)?);
        let whole = std::fs::read(&proof)?;
        tlog::verify_receipt(&whole, &leaf_hash, &log)?;
        let mut accepted = Vec::new();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let ours = tlog::verify_receipt(&changed, &leaf_hash, &log);
            ensure!(ours.is_err(), "byte {at} of {} is not noticed", hex::encode(&whole));
            let path = system.path("changed.cose");
            std::fs::write(&path, changed)?;
            let read = reader(&reading.go, "receipt", system, &path, &leaf).await?;
            if read.code == 0 {
                accepted.push(read.json()?);
            }
        }
        let other_sizes = accepted.iter().all(|read| read["index"] == size - 1);
        ensure!(other_sizes && accepted.len() <= 2, "go-cose accepts {accepted:?}");
        println!("{} bytes changed; another size accepted: {accepted:?}", whole.len());
        std::fs::write(&leaf, b"another entry")?;
        reader(&reading.go, "receipt", system, &proof, &leaf).await?.ended(1)?;
        Ok(())
    })
}

#[test]
fn a_receipt_that_cannot_be_made_is_refused_with_its_reason() -> Result<()> {
    tests::run(async {
        let plan = tests::system::Plan::default();
        let mut system = System::start(tests::system::Shape::LedgerAlone, &plan, None).await?;
        let refused = receipt(&system, 1_000_000).await?.ended(2)?;
        ensure!(refused.error_code()? == "no_such_leaf", "{refused:?}");
        let (url, log) = (system.ledger(), system.vkey("log").to_owned());
        let without = ["--json", "proof", "0", "--log", system.vkey("ledger"), "--format", "cose"];
        let other = Tool::exhibit(without)?.env("EXHIBIT_LEDGER", &url).run().await?.ended(1)?;
        ensure!(other.error_code()? == "receipt", "{other:?}");
        let binary = ["proof", "0", "--log", &log, "--format", "cose", "--ledger", &url];
        let binary = Tool::exhibit(binary)?.run().await?.ended(2)?;
        ensure!(binary.stderr.contains("--out"), "{binary:?}");
        let answer = reqwest::get(format!("{url}/checkpoint.cose")).await?.error_for_status()?;
        let kind = answer.headers().get("content-type").context("a content type")?;
        ensure!(kind == "application/cose; cose-type=\"cose-sign1\"", "{kind:?}");
        system.stop("ledger").await?;
        receipt(&system, 0).await?.ended(3)?;
        Ok(())
    })
}

/// `exhibit proof --format cose`, without a token, into `leaf.cose`.
async fn receipt(system: &System, index: u64) -> Result<Ran> {
    let (index, url) = (index.to_string(), system.ledger());
    let args = ["--json", "proof", &index, "--log", system.vkey("log"), "--format", "cose"];
    let args = args.into_iter().chain(["--ledger", &url, "--out", "leaf.cose"]);
    Tool::exhibit(args)?.within(system.dir()).run().await
}

/// The bytes of an entry, as whoever may read entries gets them.
async fn entry(reading: &Reading, index: u64, size: u64) -> Result<Vec<u8>> {
    let kind = tlog::TileKind::Entries;
    let tile = tlog::Tile::at(kind, index / 256, TreeSize(size)).context("a bundle")?;
    let bundle = reading.fetch(&tile.to_string()).await?;
    let entries = tlog::decode_bundle(&bundle)?;
    let at = usize::try_from(index % 256)?;
    Ok(entries.get(at).context("an entry")?.to_vec())
}

/// The Go reader, on a proof and the entry it is said to be of.
async fn reader(go: &Go, kind: &str, system: &System, proof: &Path, leaf: &Path) -> Result<Ran> {
    let tool = Tool::new(go.program("reader")).args([kind, system.vkey("log")]);
    let ran = tool.args([proof, leaf]).run().await?;
    ensure!(ran.code == 0 || !ran.stderr.is_empty(), "the reader says nothing: {ran:?}");
    if ran.code == 0 {
        let _: Value = ran.json()?;
    }
    Ok(ran)
}
