//! Reading a log from outside: entries over gRPC as a follower gets them, tiles over HTTP as anybody does.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use identity::MachineKey;
use proto::entry::Leaf;
use proto::v1::ledger_client::LedgerClient;
use proto::v1::subscribe_response::Item;
use proto::v1::{Opening, SubscribeRequest, SubscribeResponse};
use tests::system::System;
use tlog::{Checkpoint, CompactRange, Hash, SigningKey, Tile, TileNodes, TreeSize, VerifyingKey};
use tonic::Streaming;
use tonic::transport::Channel;

/// Largest gRPC message that the ledger sends.
const MAX_GRPC_BYTES: usize = 40 << 20;
/// How long a log may say nothing, and how long what is waited for may take in all.
const SILENCE: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// An entry of the log with what is disclosed of it.
pub(crate) struct Entry {
    pub(crate) leaf: Leaf,
    pub(crate) hash: Hash,
    pub(crate) openings: Vec<Opening>,
}

/// A connection to the ledger's gRPC door.
pub(crate) async fn connect(system: &System) -> Result<LedgerClient<Channel>> {
    let client = LedgerClient::connect(system.ledger()).await?;
    Ok(client.max_decoding_message_size(MAX_GRPC_BYTES).max_encoding_message_size(MAX_GRPC_BYTES))
}

/// Every entry from the first to one that `is_last`, as the follower `query` may read them, under a checkpoint that
/// covers them, whose root is that of these very entries.
pub(crate) async fn read_until(
    system: &System,
    is_last: impl Fn(&[Entry]) -> bool,
) -> Result<(Vec<Entry>, Checkpoint)> {
    let token = machine(&system.key("query")?, "query")?.token(&system.ledger())?;
    read_with(system, &token, is_last).await
}

/// The same, as whoever has this token may read them.
pub(crate) async fn read_with(
    system: &System,
    token: &str,
    is_last: impl Fn(&[Entry]) -> bool,
) -> Result<(Vec<Entry>, Checkpoint)> {
    read_log(system, system.vkey("log"), token, is_last).await
}

/// The same, of the log with this vkey.
pub(crate) async fn read_log(
    system: &System,
    vkey: &str,
    token: &str,
    is_last: impl Fn(&[Entry]) -> bool,
) -> Result<(Vec<Entry>, Checkpoint)> {
    let log = VerifyingKey::parse(vkey)?;
    let mut stream = subscribe(system, token, 0).await?;
    let (mut entries, mut tree) = (Vec::new(), CompactRange::new(0));
    // Seals come for ever, so silence alone does not tell that what is waited for never comes.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let next = tokio::time::timeout(SILENCE, stream.message());
        let item = tokio::time::timeout_at(deadline, next).await.with_context(|| {
            format!("{} entries within {PATIENCE:?}, and not what was waited for", entries.len())
        })?;
        let Some(item) = item.context("the log has nothing more to say")?? else {
            bail!("the ledger ended the stream after {} entries", entries.len());
        };
        match item.item.context("an empty message")? {
            Item::Entries(run) => {
                ensure!(run.first_index == entries.len() as u64, "entries out of order");
                for entry in run.entries {
                    let hash = tlog::leaf_hash(&entry.entry);
                    tree.append(hash);
                    let leaf = proto::decode_entry(&entry.entry)?;
                    entries.push(Entry { leaf, hash, openings: entry.openings });
                }
            }
            Item::Checkpoint(note) => {
                let checkpoint = tlog::open_checkpoint(&note, &log)?;
                ensure!(
                    checkpoint.size.0 == entries.len() as u64,
                    "a checkpoint covers what was sent"
                );
                let root = tree.root().unwrap_or_else(Hash::empty_root);
                ensure!(
                    checkpoint.root == root,
                    "the checkpoint at {} has another root",
                    checkpoint.size
                );
                if is_last(&entries) {
                    return Ok((entries, checkpoint));
                }
            }
        }
    }
}

/// A reader's stream.
pub(crate) async fn subscribe(
    system: &System,
    token: &str,
    from_index: u64,
) -> Result<Streaming<SubscribeResponse>> {
    let mut request = tonic::Request::new(SubscribeRequest { from_index });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    Ok(connect(system).await?.subscribe(request).await?.into_inner())
}

/// The hash tiles of the tree of this size, as anybody can fetch them.
pub(crate) async fn tiles(system: &System, size: TreeSize) -> Result<HashMap<Tile, Bytes>> {
    let http = reqwest::Client::new();
    let mut tiles = HashMap::new();
    for tile in tlog::tiles_between(TreeSize(0), size) {
        let url = format!("{}/{tile}", system.ledger());
        let bytes = http.get(url).send().await?.error_for_status()?.bytes().await?;
        tiles.insert(tile, bytes);
    }
    Ok(tiles)
}

/// That `old` is a prefix of `new`, by a consistency proof made of tiles.
pub(crate) fn prove_prefix(
    old: &Checkpoint,
    new: &Checkpoint,
    tiles: &HashMap<Tile, Bytes>,
) -> Result<()> {
    if old.size.0 == 0 {
        return Ok(());
    }
    let fetch = |tile: &Tile| tiles.get(tile).cloned().ok_or_else(|| format!("no tile {tile}"));
    let nodes = TileNodes::new(new.size, fetch);
    let proof = tlog::prove_consistency(old.size, new.size, &nodes)?;
    tlog::verify_consistency(old.size, new.size, &old.root, &new.root, &proof)?;
    Ok(())
}

/// A machine's key, for tokens.
pub(crate) fn machine(key: &SigningKey, name: &str) -> Result<MachineKey> {
    let text = key.encode().to_string();
    let typed = STANDARD.decode(text.splitn(5, '+').nth(4).context("the form of a key")?)?;
    let seed: [u8; 32] = typed.get(1..).and_then(|seed| seed.try_into().ok()).context("a seed")?;
    Ok(MachineKey::new(name, &seed))
}
