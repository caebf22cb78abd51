//! A served log as strangers read it: Tessera's own fsck, and a client in Go over the checksum database's Merkle tree.

mod proofs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proto::kind::Kind;
use proto::v1::{Call, RequestReceived};
use recorder::{Draft, Recorder};
use tests::binary::{Ran, Tool};
use tests::peers::Go;
use tests::system::{Plan, Shape, System};
use tests::wait::until;
use tlog::{Checkpoint, Tile, TreeSize};

use crate::calls::start_recorder;
use crate::log;

/// Enough for a hash in a tile of level 2.
const MANY: usize = 70_000;
/// Events that are recorded side by side.
const AT_ONCE: usize = 2_000;

#[test]
fn tessera_and_the_checksum_database_read_a_large_log() -> Result<()> {
    tests::run(async {
        let Some(go) = Go::find()? else { return Ok(()) };
        let reading = Reading::start(go).await?;
        let recorder = start_recorder(&reading.system, "caller").await?;
        record(&recorder, 300).await?;
        let older = reading.keep_checkpoint("older", 300).await?;
        let started = Instant::now();
        record(&recorder, MANY).await?;
        println!("{MANY} events recorded in {:?}", started.elapsed());
        recorder.stop(true).await;
        let newer = reading.keep_checkpoint("newer", MANY as u64 + 300).await?;
        ensure!(newer.size.0 > 1 << 16, "a tree of {} has no tile of level 2", newer.size);

        let url = format!("{}/", reading.system.ledger());
        let started = Instant::now();
        let ran = reading.fsck(&url).await?;
        let checked = passed(&ran).with_context(|| format!("{ran:?}"))?;
        println!("fsck over HTTP read {checked} entries in {:?}", started.elapsed());
        ensure!(checked >= newer.size.0, "fsck saw {checked} entries of {}", newer.size);
        // Whoever has no token gets the tiles, not the entries.
        let stranger = reading.fsck_as(&url, "").await?;
        ensure!(passed(&stranger).is_none() && stranger.stderr.contains("401"), "{stranger:?}");

        let last = newer.size.0 - 1;
        let leaves = [0, 1, 255, 256, 65_535, 65_536, last].map(|index| index.to_string());
        let started = Instant::now();
        let read = reading.client(&url, "older", &leaves).await?.ended(0)?.json()?;
        println!("the Go client read {read} in {:?}", started.elapsed());
        ensure!(read["continues"] == older.size.0 && read["leaves"] == leaves.len(), "{read}");
        ensure!(read["size"].as_u64() >= Some(newer.size.0), "{read} is behind {newer:?}");
        ensure!((0..3).all(|level| read["tiles"][level.to_string()].is_u64()), "{read}");
        Ok(())
    })
}

#[test]
fn the_independent_readers_catch_one_wrong_byte() -> Result<()> {
    tests::run(async {
        let Some(go) = Go::find()? else { return Ok(()) };
        let reading = Reading::start(go).await?;
        let recorder = start_recorder(&reading.system, "caller").await?;
        record(&recorder, 100).await?;
        reading.keep_checkpoint("older", 100).await?;
        record(&recorder, 600).await?;
        reading.keep_checkpoint("newer", 700).await?;
        recorder.stop(true).await;
        let copy = reading.copy().await?;
        let (size, url) = (copy.checkpoint.size.0, format!("file://{}", copy.folder.display()));
        // One leaf of every bundle, and so every tile.
        let leaves: Vec<String> = (0..size).step_by(256).map(|index| index.to_string()).collect();
        ensure!(passed(&reading.fsck(&url).await?) == Some(size), "the copy is whole");
        let read = reading.client(&url, "older", &leaves).await?.ended(0)?.json()?;
        ensure!(read["size"] == size && read["root"] == copy.checkpoint.root.to_string(), "{read}");

        let mut caught = 0;
        for path in &copy.files {
            let (file, whole) = (copy.folder.join(path), std::fs::read(copy.folder.join(path))?);
            let last_hash = whole.len().saturating_sub(16);
            for at in [0, whole.len() / 2, last_hash] {
                let mut wrong = whole.clone();
                wrong[at] ^= 1;
                std::fs::write(&file, wrong)?;
                let ran = reading.fsck(&url).await?;
                ensure!(passed(&ran).is_none(), "fsck passes {path} with byte {at} wrong: {ran:?}");
                let told = ran.stderr.contains("fsck failed") || ran.code != 0;
                ensure!(told, "fsck says nothing of {path}, byte {at}: {ran:?}");
                // A client reads the hashes that it needs, all of them proved; of entries only those asked for.
                if !path.starts_with("tile/entries") {
                    let ran = reading.client(&url, "older", &leaves).await?.ended(1)?;
                    ensure!(!ran.stderr.is_empty(), "{path}, byte {at}");
                }
                caught += 1;
            }
            std::fs::write(&file, whole)?;
        }
        println!("{caught} wrong bytes in {} files, all caught", copy.files.len());
        ensure!(passed(&reading.fsck(&url).await?) == Some(size), "the copy is whole again");

        // An older state of which this log is no continuation, signed by the log itself.
        let forked = Checkpoint { size: TreeSize(100), ..copy.checkpoint };
        std::fs::write(reading.system.path("forked"), forked.sign(&reading.system.key("log")?))?;
        let ran = reading.client(&url, "forked", &[]).await?.ended(1)?;
        ensure!(ran.stderr.contains("does not continue size 100"), "{ran:?}");
        Ok(())
    })
}

/// A ledger, and who reads it from outside.
struct Reading {
    go: Go,
    system: System,
}

/// A log as files, in the layout of tlog-tiles.
struct Copy {
    folder: PathBuf,
    files: Vec<String>,
    checkpoint: Checkpoint,
}

impl Reading {
    async fn start(go: Go) -> Result<Self> {
        let readers = vec![("auditor".to_owned(), "auditor".to_owned())];
        let plan = Plan { recorders: vec!["caller".to_owned()], readers, ..Plan::default() };
        let system = System::start(Shape::LedgerAlone, &plan, None).await?;
        std::fs::write(system.path("vkey"), system.vkey("log"))?;
        Ok(Self { go, system })
    }

    /// Waits until that many entries are published; the checkpoint, which also stands in a file of this name.
    async fn keep_checkpoint(&self, name: &str, at_least: u64) -> Result<Checkpoint> {
        let size = until("the entries are published", Duration::from_secs(20), || async {
            let size = self.system.checkpoint().await?.size.0;
            Ok((size > at_least).then_some(size))
        });
        let size = size.await?;
        let note = self.fetch("checkpoint").await?;
        std::fs::write(self.system.path(name), &note)?;
        let note = String::from_utf8(note)?;
        let log = tlog::VerifyingKey::parse(self.system.vkey("log"))?;
        let checkpoint = tlog::open_checkpoint(&note, &log)?;
        ensure!(checkpoint.size.0 >= size, "the log went back to {checkpoint:?}");
        Ok(checkpoint)
    }

    fn token(&self) -> Result<String> {
        let machine = log::machine(&self.system.key("auditor")?, "auditor")?;
        Ok(machine.token(&self.system.ledger())?)
    }

    async fn fetch(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!("{}/{path}", self.system.ledger());
        let request = reqwest::Client::new().get(url).bearer_auth(self.token()?);
        Ok(request.send().await?.error_for_status()?.bytes().await?.to_vec())
    }

    /// Tessera's fsck, as whoever may read entries.
    async fn fsck(&self, url: &str) -> Result<Ran> {
        self.fsck_as(url, &self.token()?).await
    }

    async fn fsck_as(&self, url: &str, token: &str) -> Result<Ran> {
        let key = self.system.path("vkey");
        let tool = Tool::new(self.go.program("fsck"))
            .args(["--ui=false", "--N=4", "--storage_url", url, "--bearer_token", token])
            .args(["--public_key".as_ref(), key.as_os_str()]);
        tool.run().await
    }

    /// The client over the checksum database's Merkle tree.
    async fn client(&self, url: &str, older: &str, leaves: &[String]) -> Result<Ran> {
        let (token, older) = (self.token()?, self.system.path(older));
        let tool = Tool::new(self.go.program("reader"))
            .args(["log", url, self.system.vkey("log"), &token])
            .args([&older])
            .args(leaves);
        tool.run().await
    }

    /// The whole log in a folder.
    async fn copy(&self) -> Result<Copy> {
        let folder = self.system.path("copy");
        let note = String::from_utf8(self.fetch("checkpoint").await?)?;
        let log = tlog::VerifyingKey::parse(self.system.vkey("log"))?;
        let checkpoint = tlog::open_checkpoint(&note, &log)?;
        let hashes = tlog::tiles_between(TreeSize(0), checkpoint.size);
        let tiles = hashes.flat_map(|tile| [Some(tile), tile.bundle()]).flatten();
        let mut files = vec!["checkpoint".to_owned()];
        write(&folder.join("checkpoint"), note.as_bytes())?;
        for path in tiles.map(|tile: Tile| tile.to_string()) {
            write(&folder.join(&path), &self.fetch(&path).await?)?;
            files.push(path);
        }
        Ok(Copy { folder, files, checkpoint })
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    Ok(std::fs::write(path, bytes)?)
}

/// How many entries fsck found good. It ends with 0 either way, so its words count.
fn passed(ran: &Ran) -> Option<u64> {
    let (_, rest) = ran.stderr.split_once("Successfully fsck'd log with size ")?;
    rest.split_whitespace().next()?.parse().ok().filter(|_| ran.code == 0)
}

async fn record(recorder: &Recorder, count: usize) -> Result<()> {
    let call =
        Call { server: "records".to_owned(), method: "tools/call".to_owned(), ..Call::default() };
    let request = RequestReceived { call: Some(call), ..RequestReceived::default() };
    for first in (0..count).step_by(AT_ONCE) {
        let drafts = (first..count.min(first + AT_ONCE))
            .map(|_| Draft::new(Kind::RequestReceived(request.clone())));
        recorder.record_all(drafts.collect()).await?;
    }
    Ok(())
}
