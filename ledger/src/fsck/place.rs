//! The names of records, as findings show them.

use proto::disclosure::slot_name;
use proto::ids::Id;
use proto::names::is_leaf_name;
use tlog::LeafIndex;

use crate::store::keyspace::{
    CHAINS, DISCLOSURES, ENTRIES, HEAD_KEY, HOLD_PREFIX, KEYS, META, PURGE_KEY, TILES,
    disclosure_place, entry_index,
};

pub(super) const TREE_HEAD: &str = "tree head";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const STORE: &str = "store";
pub(super) const PURGE: &str = "list of what to purge";

pub(super) fn entry(index: u64) -> String {
    format!("entry {index}")
}

/// `[first, end)`, of which there is at least one.
pub(super) fn entries(first: u64, end: u64) -> String {
    if end - first == 1 { entry(first) } else { format!("entries {first} to {}", end - 1) }
}

pub(super) fn disclosure(index: u64, slot: i32) -> String {
    match slot_name(slot) {
        "UNKNOWN" => format!("entry {index}, disclosure {slot}"),
        name => format!("entry {index}, disclosure {name}"),
    }
}

pub(super) fn key(id: &[u8]) -> String {
    format!("key {}", hex::encode(id))
}

pub(super) fn hold(id: Id) -> String {
    format!("hold {id}")
}

pub(super) fn tile(level: u8, index: u64) -> String {
    format!("tile {level}/{index}")
}

pub(super) fn chain(recorder_id: &str, epoch: Id) -> String {
    format!("chain of {recorder_id} {epoch}")
}

/// Of any record, by its key; one that has not the form of its family's keys is named by its bytes.
pub(super) fn record(family: &str, key: &[u8]) -> String {
    let named = match family {
        ENTRIES => entry_index(key).ok().map(|LeafIndex(index)| entry(index)),
        DISCLOSURES => disclosure_place(key).ok().map(|(index, slot)| disclosure(index.0, slot)),
        KEYS if key.len() == 16 => Some(self::key(key)),
        TILES => tile_place(key).map(|(level, index)| tile(level, index)),
        CHAINS => chain_place(key).map(|(recorder_id, epoch)| chain(recorder_id, epoch)),
        META if key == HEAD_KEY => Some(TREE_HEAD.to_owned()),
        META if key == PURGE_KEY => Some(PURGE.to_owned()),
        META => key.strip_prefix(HOLD_PREFIX).and_then(Id::from_slice).map(hold),
        _ => None,
    };
    named.unwrap_or_else(|| format!("record {} of {family}", hex::encode(key)))
}

/// Level and index of a tile.
pub(super) fn tile_place(key: &[u8]) -> Option<(u8, u64)> {
    let (level, index) = key.split_first()?;
    Some((*level, u64::from_be_bytes(index.try_into().ok()?)))
}

fn chain_place(key: &[u8]) -> Option<(&str, Id)> {
    let (epoch, recorder_id) = key.split_first_chunk()?;
    let recorder_id = std::str::from_utf8(recorder_id).ok().filter(|id| is_leaf_name(id))?;
    Some((recorder_id, Id(*epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_name_and_none_reaches_a_terminal_as_it_is() {
        let chain = [&[7; 16], &b"gateway-1"[..]].concat();
        assert_eq!(record(CHAINS, &chain), format!("chain of gateway-1 {}", "07".repeat(16)));
        let hostile = [&[7; 16], &b"\x1b[2J"[..]].concat();
        assert!(record(CHAINS, &hostile).starts_with("record 0707"));
        assert_eq!(record(ENTRIES, &17_u64.to_be_bytes()), "entry 17");
        assert_eq!(record(ENTRIES, b"x"), "record 78 of entries");
        assert_eq!(
            record(DISCLOSURES, &[0, 0, 0, 0, 0, 0, 0, 17, 2]),
            "entry 17, disclosure MESSAGE"
        );
        assert_eq!(record(DISCLOSURES, &[0, 0, 0, 0, 0, 0, 0, 17, 99]), "entry 17, disclosure 99");
        assert_eq!(record(TILES, &[1, 0, 0, 0, 0, 0, 0, 0, 3]), "tile 1/3");
        assert_eq!(record(META, b"head"), TREE_HEAD);
        assert_eq!(entries(4, 5), "entry 4");
        assert_eq!(entries(4, 9), "entries 4 to 8");
    }
}
