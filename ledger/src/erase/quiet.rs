//! How far nothing came under the keys of an erasure since it was planned: what comes behind that, the sequencer keeps
//! (`sequencer/since.rs`), and has the less to read.

use std::sync::Arc;

use super::Erasures;
use super::order::OrderError;
use super::parts::Keys;
use super::unit::Gather;
use crate::store::StoreError;
use crate::vault::KeyId;

impl Erasures {
    /// Up to which leaf nothing came under these keys since it was looked at up to `from`: most often the newest one.
    pub(super) async fn quiet_up_to(
        self: &Arc<Self>,
        from: u64,
        keys: &Keys,
    ) -> Result<u64, OrderError> {
        self.look(keys, move |gather| gather.quiet_up_to(from)).await
    }
}

impl Gather<'_> {
    fn quiet_up_to(&self, from: u64) -> Result<u64, StoreError> {
        let end = self.store.head()?.map_or(0, |head| head.size.0);
        let mut first = None;
        self.store.disclosed(from..end.max(from), &mut |index, _, sealed| {
            let is_of = |id: &KeyId| self.wanted.is_some_and(|wanted| wanted.contains(id));
            if first.is_none() && sealed.first_chunk().is_some_and(is_of) {
                first = Some(index.0);
            }
        })?;
        Ok(first.unwrap_or(end.max(from)))
    }
}
