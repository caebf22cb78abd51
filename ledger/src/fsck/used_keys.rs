//! The ids of all keys that disclosures name or named, in bounded memory.

use std::io;
use std::path::Path;

use super::sorted::Sorted;
use crate::vault::{KEY_ID_BYTES, KeyId};

/// An id, and whether anything that is there names it.
const NAMED_BYTES: usize = KEY_ID_BYTES + 1;

/// A set that is filled first, and read sorted then.
pub(super) struct UsedKeys(Sorted<NAMED_BYTES>);

impl UsedKeys {
    /// What does not fit waits in files in this folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self(Sorted::new(folder))
    }

    pub(super) fn insert(&mut self, id: KeyId, is_used: bool) {
        let mut named = [u8::from(is_used); NAMED_BYTES];
        named[..KEY_ID_BYTES].copy_from_slice(&id);
        self.0.insert(named);
    }

    /// Shows every id once, ascending, and whether anything uses it.
    ///
    /// # Errors
    /// When the folder had no room, or a file there cannot be read.
    pub(super) fn each(self, show: &mut dyn FnMut(&KeyId, bool)) -> io::Result<()> {
        let mut last: Option<(KeyId, bool)> = None;
        for named in self.0.in_order()? {
            let (id, is_used) = parts(&named?);
            match &mut last {
                // Those that are used come behind those that are not.
                Some((same, used)) if *same == id => *used |= is_used,
                _ => {
                    if let Some((id, is_used)) = last.replace((id, is_used)) {
                        show(&id, is_used);
                    }
                }
            }
        }
        if let Some((id, is_used)) = last {
            show(&id, is_used);
        }
        Ok(())
    }
}

fn parts(named: &[u8; NAMED_BYTES]) -> (KeyId, bool) {
    let mut id = KeyId::default();
    id.copy_from_slice(&named[..KEY_ID_BYTES]);
    (id, named[KEY_ID_BYTES] != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn an_id_is_used_if_anything_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let id = |n: u64| -> KeyId {
            *blake3::hash(&(n % 150).to_be_bytes()).as_bytes().first_chunk().unwrap()
        };
        let expected: BTreeMap<_, _> = (0..150).map(|n| (id(n), n.is_multiple_of(2))).collect();
        for bound in [2, 16, 5_000] {
            let mut used = UsedKeys(Sorted::bounded(folder.path(), bound));
            for n in 0..400 {
                used.insert(id(n), false);
                used.insert(id(n), (n % 150).is_multiple_of(2));
            }
            let mut shown = Vec::new();
            used.each(&mut |id, is_used| shown.push((*id, is_used))).unwrap();
            assert!(shown.into_iter().eq(expected.clone()), "with room for {bound}");
        }
    }
}
