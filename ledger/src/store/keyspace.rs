//! Keys and values of the store, to the byte. Integers are big-endian, so that iteration follows the log.

use proto::ChainHead;
use proto::ids::Id;
use tlog::{Hash, LeafIndex, TreeSize};

use super::{StoreError, StoredChain, TreeHead};

/// Column families.
pub(super) const ENTRIES: &str = "entries"; // index u64 -> serialized Entry
pub(super) const DISCLOSURES: &str = "disclosures"; // index u64, slot u8 -> sealed opening
pub(super) const KEYS: &str = "keys"; // key id, 16 bytes -> 32 bytes
pub(super) const TILES: &str = "tiles"; // level u8, index u64 -> 256 hashes
pub(super) const CHAINS: &str = "chains"; // epoch 16, recorder id -> chain value
pub(super) const META: &str = "meta"; // "head" -> tree head

pub(super) const HEAD_KEY: &[u8] = b"head";

pub(super) fn entry_key(index: LeafIndex) -> [u8; 8] {
    index.0.to_be_bytes()
}

pub(super) fn entry_index(key: &[u8]) -> Result<LeafIndex, StoreError> {
    let bytes: [u8; 8] = key.try_into().map_err(|_| damaged("an entry key", key))?;
    Ok(LeafIndex(u64::from_be_bytes(bytes)))
}

pub(super) fn disclosure_key(index: LeafIndex, slot: i32) -> [u8; 9] {
    let mut key = [0; 9];
    key[..8].copy_from_slice(&index.0.to_be_bytes());
    key[8] = u8::try_from(slot).unwrap_or(u8::MAX);
    key
}

pub(super) fn disclosure_place(key: &[u8]) -> Result<(LeafIndex, i32), StoreError> {
    let key: &[u8; 9] = key.try_into().map_err(|_| damaged("a disclosure key", key))?;
    let (index, slot) = key.split_at(8);
    Ok((entry_index(index)?, i32::from(slot[0])))
}

pub(super) fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(super) fn chain_key(chain: &StoredChain) -> Vec<u8> {
    [&chain.epoch.0[..], chain.recorder_id.as_bytes()].concat()
}

/// sequence u64, hash 32, leaf index u64, suspended u8, then the active snapshot's digest (32) or nothing
pub(super) fn chain_value(chain: &StoredChain) -> Vec<u8> {
    let mut value = Vec::with_capacity(81);
    value.extend(chain.head.sequence.to_be_bytes());
    value.extend(chain.head.hash);
    value.extend(chain.leaf_index.0.to_be_bytes());
    value.push(u8::from(chain.suspended));
    value.extend(chain.active_snapshot.iter().flatten());
    value
}

pub(super) fn parse_chain(key: &[u8], value: &[u8]) -> Result<StoredChain, StoreError> {
    let parsed = (|| {
        let epoch = Id::from_slice(key.get(..16)?)?;
        let recorder_id = std::str::from_utf8(key.get(16..)?).ok()?.to_owned();
        let (fixed, snapshot) = value.split_first_chunk::<49>()?;
        let active_snapshot = match snapshot {
            [] => None,
            digest => Some(digest.try_into().ok()?),
        };
        let head =
            ChainHead { sequence: read_u64(fixed, 0)?, hash: fixed.get(8..40)?.try_into().ok()? };
        let leaf_index = LeafIndex(read_u64(fixed, 40)?);
        let suspended = fixed[48] != 0;
        Some(StoredChain { recorder_id, epoch, head, leaf_index, active_snapshot, suspended })
    })();
    parsed.ok_or_else(|| damaged("a chain head", key))
}

/// size u64, root 32, recorded_at u64
pub(super) fn head_value(head: &TreeHead) -> Vec<u8> {
    let mut value = Vec::with_capacity(48);
    value.extend(head.size.0.to_be_bytes());
    value.extend(head.root.0);
    value.extend(head.recorded_at_ns.to_be_bytes());
    value
}

pub(super) fn parse_head(value: &[u8]) -> Result<TreeHead, StoreError> {
    let parsed = (|| {
        let value: &[u8; 48] = value.try_into().ok()?;
        Some(TreeHead {
            size: TreeSize(read_u64(value, 0)?),
            root: Hash(value.get(8..40)?.try_into().ok()?),
            recorded_at_ns: read_u64(value, 40)?,
        })
    })();
    parsed.ok_or_else(|| damaged("the tree head", HEAD_KEY))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn damaged(what: &str, key: &[u8]) -> StoreError {
    StoreError::Damaged(format!("{what} does not have its form (key {})", hex::encode(key)))
}
