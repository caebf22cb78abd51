//! Which disclosures are erased, by the events that say so.
//!
//! An erasure names its leaf by index and leaf hash. An event id is a label that any recorder may write a second time, and
//! must not make somebody else's disclosures count as erased.

use std::collections::HashMap;

use tlog::Hash;

use crate::kind::Kind;

/// What DisclosureErased events took. It is kept in memory, some 100 bytes an event: for leaves that are there together and
/// have a bound of their own, as those of a package, never for all of a log.
#[derive(Debug, Clone, Default)]
pub struct Erasures(HashMap<(u64, [u8; 32]), Vec<i32>>);

impl Erasures {
    /// Takes note of the event at leaf `index`, if it is an erasure. One that names a leaf at or behind its own says
    /// nothing.
    pub fn add(&mut self, index: u64, kind: Option<&Kind>) {
        let Some(Kind::DisclosureErased(erased)) = kind else { return };
        let Ok(hash) = <[u8; 32]>::try_from(&erased.leaf_hash[..]) else { return };
        if erased.leaf_index < index {
            self.0.entry((erased.leaf_index, hash)).or_default().extend(&erased.slots);
        }
    }

    /// Whether the disclosure in `slot` of this leaf is erased.
    pub fn took(&self, index: u64, hash: &Hash, slot: i32) -> bool {
        self.0.get(&(index, hash.0)).is_some_and(|slots| slots.contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::DisclosureErased;

    #[test]
    fn an_erasure_takes_the_leaf_that_it_names_and_no_other() {
        let erasure = |leaf_index: u64, hash: u8| {
            Kind::DisclosureErased(DisclosureErased {
                slots: vec![1, 2],
                leaf_index,
                leaf_hash: vec![hash; 32].into(),
                ..DisclosureErased::default()
            })
        };
        let mut erasures = Erasures::default();
        erasures.add(9, Some(&erasure(3, 7)));
        erasures.add(9, Some(&erasure(9, 8)));
        erasures.add(9, Some(&erasure(12, 8)));
        assert!(erasures.took(3, &Hash([7; 32]), 1) && erasures.took(3, &Hash([7; 32]), 2));
        assert!(!erasures.took(3, &Hash([7; 32]), 3), "another slot");
        assert!(!erasures.took(3, &Hash([8; 32]), 1), "another leaf at that place");
        assert!(!erasures.took(4, &Hash([7; 32]), 1), "another place");
        assert!(!erasures.took(9, &Hash([8; 32]), 1) && !erasures.took(12, &Hash([8; 32]), 1));
    }
}
