//! A COSE receipt (RFC 9942) out of what the ledger gives to everybody: its signed root and its hash tiles.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Client;
use tlog::tile::TileNodesError;
use tlog::{
    Hash, LeafIndex, NodeSource, ProveError, SignedRoot, Tile, TileNodes, TreeSize, VerifyingKey,
    prove_inclusion,
};

use crate::failure::Failure;
use crate::service::ask;

/// A path has a node on each of 64 levels at most, and the leaf.
const MAX_TILES: usize = 65;
/// No tile of hashes and no signed root is longer.
const MAX_ANSWER_BYTES: usize = tlog::cose::MAX_COSE_BYTES;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A receipt, and what it is about.
pub(super) struct Receipt {
    pub(super) cose: Vec<u8>,
    pub(super) leaf_hash: Hash,
    pub(super) checkpoint: tlog::Checkpoint,
}

/// Makes the receipt of a leaf, and checks it.
pub(super) async fn fetch(
    ledger: &str,
    log: &VerifyingKey,
    index: LeafIndex,
) -> Result<Receipt, Failure> {
    let ledger = Ledger::new(ledger)?;
    let root = ledger.get("checkpoint.cose").await?;
    let root = SignedRoot::open(&root, log).map_err(|error| Failure::failed("receipt", error))?;
    let size = root.checkpoint().size;
    if index.0 >= size.0 {
        let message = format!("there is no leaf {index} in the published log of {size} entries");
        return Err(Failure::unusable("no_such_leaf", message));
    }
    let (leaf_hash, path) = ledger.path(index, size).await?;
    let failed = |error| Failure::failed("receipt", error);
    let cose = root.receipt(index, &leaf_hash, &path).map_err(failed)?;
    let (_, checkpoint) = tlog::verify_receipt(&cose, &leaf_hash, log).map_err(failed)?;
    Ok(Receipt { cose, leaf_hash, checkpoint })
}

struct Ledger {
    url: String,
    client: Client,
}

impl Ledger {
    fn new(url: &str) -> Result<Self, Failure> {
        if !reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            let message = format!("--ledger {url:?} is no URL: write it as http://127.0.0.1:7601");
            return Err(Failure::unusable("ledger_url", message));
        }
        let client = crate::service::client_builder().timeout(TIMEOUT).build();
        let client = client.map_err(|error| Failure::unusable("client", error))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), client })
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut answer = ask(self.client.get(format!("{}/{path}", self.url))).await?;
        let mut bytes = Vec::new();
        let unreadable = |error| Failure::unreachable("answer_unreadable", error);
        while let Some(chunk) = answer.chunk().await.map_err(unreadable)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER_BYTES {
                let message = format!("{path} is longer than {MAX_ANSWER_BYTES} bytes");
                return Err(Failure::failed("answer_too_long", message));
            }
        }
        Ok(bytes)
    }

    /// The leaf's hash and audit path: asks for them of the tiles that are there, and fetches what is missing.
    async fn path(&self, index: LeafIndex, size: TreeSize) -> Result<(Hash, Vec<Hash>), Failure> {
        let mut tiles: HashMap<Tile, Vec<u8>> = HashMap::new();
        for _ in 0..=MAX_TILES {
            let missing = match path_from(&tiles, index, size) {
                Ok(path) => return Ok(path),
                Err(ProveError::Source(TileNodesError::Fetch(missing))) => missing,
                Err(error) => return Err(Failure::failed("tiles", error)),
            };
            let bytes = self.get(&missing.to_string()).await?;
            tiles.insert(missing, bytes);
        }
        Err(Failure::failed("tiles", "the path needs more tiles than any has, which is a defect"))
    }
}

fn path_from(
    tiles: &HashMap<Tile, Vec<u8>>,
    index: LeafIndex,
    size: TreeSize,
) -> Result<(Hash, Vec<Hash>), ProveError<TileNodesError<Tile>>> {
    let nodes = TileNodes::new(size, |tile: &Tile| tiles.get(tile).ok_or(*tile));
    let leaf = nodes.node(0, index.0).map_err(ProveError::Source)?;
    Ok((leaf, prove_inclusion(index, size, &nodes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_asks_for_one_tile_after_the_other() {
        let size = TreeSize((1 << 16) + 300);
        let mut tiles = HashMap::new();
        for _ in 0..MAX_TILES {
            let error = match path_from(&tiles, LeafIndex(70), size) {
                Ok((leaf, path)) => {
                    assert_eq!((leaf, path.len()), (Hash([7; 32]), 17));
                    assert!(tiles.len() <= 6, "{:?}", tiles.keys());
                    return;
                }
                Err(error) => error,
            };
            let ProveError::Source(TileNodesError::Fetch(missing)) = error else {
                panic!("{error}")
            };
            tiles.insert(missing, vec![7; missing.hashes_len()]);
        }
        panic!("no path out of {} tiles", tiles.len());
    }
}
