//! Where a time stands in the log: the time of its leaves only grows.

use proto::decode_entry;
use tlog::LeafIndex;

use crate::store::{Store, StoreError};

/// The first leaf that was recorded at or after a time, or the size of the tree.
pub(super) fn first_at_or_after(store: &dyn Store, time_ns: u64) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, store.head()?.map_or(0, |head| head.size.0));
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = store.entries(LeafIndex(middle), 1, 0)?;
        let leaf = entry.first().map(decode_entry);
        let Some(Ok(leaf)) = leaf else {
            return Err(StoreError::Damaged(format!("entry {middle} cannot be read")));
        };
        if leaf.recorded_at_ns < time_ns { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
