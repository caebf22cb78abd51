//! Keys and values of the store, to the byte. Integers are big-endian, so that iteration follows the log.

use proto::ChainHead;
use proto::ids::Id;
use tlog::{Hash, LeafIndex, TreeSize};

use super::{Batch, Leaves, StoreError, StoredChain, TreeHead};

/// Column families.
pub(crate) const ENTRIES: &str = "entries"; // index u64 -> serialized Entry
pub(crate) const DISCLOSURES: &str = "disclosures"; // index u64, slot u8 -> sealed opening
pub(crate) const KEYS: &str = "keys"; // key id, 16 bytes -> 32 bytes; nothing when it was destroyed
pub(crate) const TILES: &str = "tiles"; // level u8, index u64 -> 256 hashes
pub(crate) const CHAINS: &str = "chains"; // epoch 16, recorder id -> chain value
pub(crate) const META: &str = "meta"; // "head" -> tree head; "hold/", id 16 -> index u64; "purge" -> ranges, checksum

/// The family that RocksDB always has, and nobody uses.
pub(crate) const DEFAULT: &str = "default";

pub(crate) const FAMILIES: [&str; 6] = [ENTRIES, DISCLOSURES, KEYS, TILES, CHAINS, META];

pub(crate) const HEAD_KEY: &[u8] = b"head";

/// Before the id of a legal hold.
pub(crate) const HOLD_PREFIX: &[u8] = b"hold/";

/// There while erased bytes may be on the disk: the ranges of leaves whose disclosures went, each two u64, and a checksum.
pub(crate) const PURGE_KEY: &[u8] = b"purge";
/// More ranges are joined where the gaps are least.
const MAX_PURGE_RANGES: usize = 64;

/// Everything that a commit writes: family, key, value.
pub(super) fn writes(
    expected: TreeSize,
    batch: &Batch,
    mut put: impl FnMut(&'static str, &[u8], &[u8]),
) {
    for (index, entry) in (expected.0..).zip(&batch.entries) {
        put(ENTRIES, &entry_key(LeafIndex(index)), entry);
    }
    for disclosure in &batch.disclosures {
        let key = disclosure_key(disclosure.leaf_index, disclosure.slot);
        put(DISCLOSURES, &key, &disclosure.sealed);
    }
    for (id, key) in &batch.keys {
        put(KEYS, id, key);
    }
    for id in &batch.changes.destroyed {
        put(KEYS, id, &[]);
    }
    for (level, index, hashes) in &batch.tiles {
        put(TILES, &tile_key(*level, *index), hashes);
    }
    for chain in &batch.chains {
        put(CHAINS, &chain_key(chain), &chain_value(chain));
    }
    for (id, placed) in &batch.changes.holds {
        if let Some(index) = placed {
            put(META, &hold_key(*id), &entry_key(*index));
        }
    }
    put(META, HEAD_KEY, &head_value(&batch.head));
}

/// Everything that a commit takes away: family, key. A destroyed key is written over with nothing instead, so that its
/// id is never given again.
pub(super) fn deletes(batch: &Batch, mut delete: impl FnMut(&'static str, &[u8])) {
    for (index, slot) in &batch.changes.erased {
        delete(DISCLOSURES, &disclosure_key(*index, *slot));
    }
    for (id, placed) in &batch.changes.holds {
        if placed.is_none() {
            delete(META, &hold_key(*id));
        }
    }
}

pub(crate) fn hold_key(id: Id) -> Vec<u8> {
    [HOLD_PREFIX, &id.0].concat()
}

/// Id and leaf of a hold; `None` when the record is none.
pub(crate) fn parse_hold(key: &[u8], value: &[u8]) -> Option<(Id, LeafIndex)> {
    let id = Id::from_slice(key.strip_prefix(HOLD_PREFIX)?)?;
    Some((id, entry_index(value).ok()?))
}

/// Ranges of leaves as `PURGE_KEY` keeps them: sorted, apart, and not many.
pub(crate) fn purge_value(mut ranges: Vec<Leaves>) -> Vec<u8> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Leaves> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    if joined.len() > MAX_PURGE_RANGES {
        let mut gaps: Vec<_> = joined.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
        gaps.sort_unstable();
        let widest = gaps[joined.len() - MAX_PURGE_RANGES - 1];
        joined = joined.into_iter().fold(Vec::new(), |mut kept: Vec<Leaves>, range| {
            match kept.last_mut() {
                Some(last) if range.start - last.end <= widest => last.end = range.end,
                _ => kept.push(range),
            }
            kept
        });
    }
    let mut value: Vec<u8> = joined
        .iter()
        .flat_map(|range| [range.start, range.end])
        .flat_map(u64::to_be_bytes)
        .collect();
    // Nothing else tells which erasures are not purged yet.
    value.extend(purge_checksum(&value));
    value
}

/// The first 8 bytes of BLAKE3 over the ranges.
fn purge_checksum(ranges: &[u8]) -> [u8; 8] {
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&blake3::hash(ranges).as_bytes()[..8]);
    checksum
}

pub(crate) fn parse_purge(value: &[u8]) -> Result<Vec<Leaves>, StoreError> {
    let (ranges, checksum) = value.as_chunks::<16>();
    let parse = |range: &[u8; 16]| Some(read_u64(range, 0)?..read_u64(range, 8)?);
    let is_whole = checksum == purge_checksum(ranges.as_flattened());
    let ranges = is_whole.then(|| ranges.iter().map(parse).collect::<Option<_>>());
    ranges.flatten().ok_or_else(|| damaged("the list of what to purge", PURGE_KEY))
}

pub(crate) fn entry_key(index: LeafIndex) -> [u8; 8] {
    index.0.to_be_bytes()
}

pub(crate) fn entry_index(key: &[u8]) -> Result<LeafIndex, StoreError> {
    let bytes: [u8; 8] = key.try_into().map_err(|_| damaged("an entry key", key))?;
    Ok(LeafIndex(u64::from_be_bytes(bytes)))
}

pub(crate) fn disclosure_key(index: LeafIndex, slot: i32) -> [u8; 9] {
    let mut key = [0; 9];
    key[..8].copy_from_slice(&index.0.to_be_bytes());
    key[8] = u8::try_from(slot).unwrap_or(u8::MAX);
    key
}

pub(crate) fn disclosure_place(key: &[u8]) -> Result<(LeafIndex, i32), StoreError> {
    let key: &[u8; 9] = key.try_into().map_err(|_| damaged("a disclosure key", key))?;
    let (index, slot) = key.split_at(8);
    Ok((entry_index(index)?, i32::from(slot[0])))
}

pub(crate) fn tile_key(level: u8, index: u64) -> [u8; 9] {
    let mut key = [level; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

pub(crate) fn chain_key(chain: &StoredChain) -> Vec<u8> {
    [&chain.epoch.0[..], chain.recorder_id.as_bytes()].concat()
}

/// sequence u64, hash 32, leaf index u64, suspended u8, then the active snapshot's digest (32) or nothing
pub(crate) fn chain_value(chain: &StoredChain) -> Vec<u8> {
    let mut value = Vec::with_capacity(81);
    value.extend(chain.head.sequence.to_be_bytes());
    value.extend(chain.head.hash);
    value.extend(chain.leaf_index.0.to_be_bytes());
    value.push(u8::from(chain.suspended));
    value.extend(chain.active_snapshot.iter().flatten());
    value
}

pub(crate) fn parse_chain(key: &[u8], value: &[u8]) -> Result<StoredChain, StoreError> {
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
pub(crate) fn head_value(head: &TreeHead) -> Vec<u8> {
    let mut value = Vec::with_capacity(48);
    value.extend(head.size.0.to_be_bytes());
    value.extend(head.root.0);
    value.extend(head.recorded_at_ns.to_be_bytes());
    value
}

pub(crate) fn parse_head(value: &[u8]) -> Result<TreeHead, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_to_purge_are_few_and_cover_all() {
        let scattered: Vec<Leaves> = (0..1_000).rev().map(|n| n * n..n * n + 1).collect();
        let kept = parse_purge(&purge_value(scattered.clone())).unwrap();
        assert!(kept.len() <= MAX_PURGE_RANGES && kept.len() > 1, "{}", kept.len());
        assert!(kept.windows(2).all(|pair| pair[0].end < pair[1].start));
        let is_covered =
            |one: &Leaves| kept.iter().any(|r| r.start <= one.start && one.end <= r.end);
        assert!(scattered.iter().all(is_covered));
        assert_eq!(parse_purge(&purge_value(vec![3..5, 5..9, 1..2])).unwrap(), [1..2, 3..9]);
        assert!(parse_purge(&[0; 17]).is_err());
        let mut flipped = purge_value(vec![3..5, 7..8]);
        assert_eq!(flipped.len(), 40);
        flipped[7] ^= 1;
        assert!(parse_purge(&flipped).is_err(), "another leaf");
    }
}
