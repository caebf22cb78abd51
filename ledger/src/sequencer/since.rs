//! What came under a key after the erasure that destroys it had looked for it.
//!
//! Streams go on while an erasure is planned, and a message may come between the last look and the commit. With the key it
//! would be lost, and no event would say so. Only here, where nothing comes in between, can that be seen: it is sealed under a
//! key of its own event in the same commit.

use std::collections::{BTreeMap, HashSet};

use proto::decode_entry;
use tlog::{LeafIndex, TreeSize};

use super::Rider;
use crate::store::{Batch, SealedDisclosure, Store, StoreError};
use crate::vault::{self, DisclosureKey, KeyId};

/// Seals anew every stored disclosure from `rider.looked_to` on, before `size`, whose key the rider destroys and which it does
/// not erase. What cannot be read is lost already, and stays that.
///
/// # Errors
/// [`StoreError`]; when such a disclosure has its own key already, so that its key was to be destroyed without it: the commit
/// must not be made.
pub(super) fn keep_what_came_since(
    store: &dyn Store,
    rider: &Rider,
    size: TreeSize,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    if rider.destroyed.is_empty() || rider.looked_to >= size.0 {
        return Ok(());
    }
    let destroyed: HashSet<&KeyId> = rider.destroyed.iter().collect();
    let erased: HashSet<(u64, i32)> =
        rider.erased.iter().map(|(index, slot)| (index.0, *slot)).collect();
    let mut left: BTreeMap<u64, Vec<(i32, Vec<u8>)>> = BTreeMap::new();
    store.disclosed(rider.looked_to..size.0, &mut |index, slot, sealed| {
        let goes = sealed.first_chunk().is_some_and(|id: &KeyId| destroyed.contains(id));
        if goes && !erased.contains(&(index.0, slot)) {
            left.entry(index.0).or_default().push((slot, sealed.to_vec()));
        }
    })?;
    for (index, slots) in left {
        let leaf_index = LeafIndex(index);
        let key = own_key(store, leaf_index)?;
        if destroyed.contains(&key.id) {
            let message = format!("an erasure would lose what it does not name of entry {index}");
            return Err(StoreError::Damaged(message));
        }
        let before = batch.disclosures.len();
        for (slot, sealed) in slots {
            match anew(store, &key, slot, &sealed) {
                Ok(sealed) => batch.disclosures.push(SealedDisclosure { leaf_index, slot, sealed }),
                // Nobody could read it before, either.
                Err(StoreError::Damaged(reason)) => {
                    vault::report_unreadable(leaf_index, slot, &reason);
                }
                Err(error) => return Err(error),
            }
        }
        if batch.disclosures.len() > before {
            batch.keys.push((key.id, key.secret));
        }
    }
    Ok(())
}

/// A fresh key of the event at a leaf alone.
fn own_key(store: &dyn Store, index: LeafIndex) -> Result<DisclosureKey, StoreError> {
    let entry = store.entries(index, 1, 0)?;
    let Some(Ok(leaf)) = entry.first().map(decode_entry) else {
        return Err(StoreError::Damaged(format!("entry {} cannot be read", index.0)));
    };
    Ok(DisclosureKey { id: vault::own_key_id(&leaf.event), secret: vault::fresh_key()? })
}

fn anew(
    store: &dyn Store,
    key: &DisclosureKey,
    slot: i32,
    sealed: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let old = match sealed.first_chunk() {
        Some(id) => store.disclosure_key(id)?.usable(),
        None => None,
    };
    let gone = || StoreError::Damaged("its key is not there".to_owned());
    vault::under(key, slot, sealed, old.ok_or_else(gone)?)
}
