//! Every byte of a ledger's folder, as it would be read by somebody who has the disk.
//!
//! Keys and disclosures are stored without compression, so their tables show them as they are; of a write-ahead log the
//! headers of its fragments are taken out first. Entries are compressed, and hold neither.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use proto::decode_entry;
use proto::v1::DisclosureErased;
use tlog::{LeafIndex, leaf_hash};

use crate::store::Store;
use crate::vault;

/// What must not be found once it is erased.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) key_ids: Vec<[u8; 16]>,
    pub(super) keys: Vec<[u8; 32]>,
    pub(super) salts: Vec<Bytes>,
    contents: Vec<Bytes>,
    sealed: Vec<Vec<u8>>,
    pub(super) places: Vec<(u64, i32)>,
    pub(super) events: Vec<DisclosureErased>,
}

impl Secrets {
    /// Of these exchanges.
    pub(super) fn of(store: &dyn Store, exchanges: &[u8]) -> Self {
        let mut secrets = Self::default();
        let entries = store.entries(LeafIndex(0), 10_000, usize::MAX).unwrap();
        for (index, entry) in (0..).zip(entries) {
            let event = decode_entry(&entry).unwrap().event;
            if !event.exchange_id.first().is_some_and(|id| exchanges.contains(id)) {
                continue;
            }
            let id = vault::key_id(&event);
            if !secrets.key_ids.contains(&id) {
                secrets.key_ids.push(id);
                secrets.keys.extend(store.disclosure_key(&id).unwrap().usable());
            }
            let mut slots = Vec::new();
            let mut see = |_, slot, sealed: &[u8]| {
                slots.push(slot);
                secrets.sealed.push(sealed.to_vec());
            };
            store.disclosed(index..index + 1, &mut see).unwrap();
            secrets.places.extend(slots.iter().map(|slot| (index, *slot)));
            secrets.events.push(DisclosureErased {
                event_id: event.event_id,
                slots,
                leaf_index: index,
                leaf_hash: leaf_hash(&entry).0.to_vec().into(),
                ..DisclosureErased::default()
            });
            let end = LeafIndex(index + 1);
            for (_, opening) in store.openings(LeafIndex(index), end, usize::MAX).unwrap().0 {
                secrets.salts.push(opening.salt);
                secrets.contents.push(opening.content);
            }
        }
        secrets
    }

    /// What stands on the disk before: keys, and some bytes of what is sealed with them.
    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.sealed.iter().flat_map(|sealed| {
            let middle = sealed.len() / 2;
            [&sealed[28..44], &sealed[middle - 8..middle + 8]]
        });
        self.keys.iter().map(|key| &key[..]).chain(parts)
    }

    /// What never stands there in the clear: salts and contents.
    pub(super) fn plain(&self) -> impl Iterator<Item = &[u8]> {
        let contents = self.contents.iter().filter(|content| content.len() > 16);
        self.salts.iter().map(|salt| &salt[..]).chain(contents.map(|content| &content[..16]))
    }
}

/// Whether these bytes stand in any file below the folder.
pub(super) fn found_on_disk(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|file| {
        let path = file.unwrap().path();
        if path.is_dir() {
            return found_on_disk(&path, bytes);
        }
        // Files come and go while the engine works.
        let Ok(mut content) = fs::read(&path) else { return false };
        if path.extension().is_some_and(|extension| extension == "log") {
            content = without_headers(&content);
        }
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// The records of a write-ahead log, one behind the other: see `store/rocks/wal.rs`.
fn without_headers(log: &[u8]) -> Vec<u8> {
    let mut records = Vec::new();
    for mut block in log.chunks(32 << 10) {
        while let Some((header, rest)) = block.split_first_chunk::<7>() {
            let length = usize::from(u16::from_le_bytes([header[4], header[5]])).min(rest.len());
            let (record, next) = rest.split_at(length);
            records.extend_from_slice(record);
            block = next;
        }
    }
    records
}
