//! Inclusion proofs from a package alone: its leaves and its range proof hold every node that is needed.

use std::collections::HashMap;

use tlog::{
    Checkpoint, CompactRange, Hash, LeafIndex, RangeProof, TlogProof, leaf_hash, prove_inclusion,
    verify_inclusion,
};
use verifier::Material;

/// The part of the tree that a package determines.
pub(super) struct RangeTree<'a> {
    proof: &'a RangeProof,
    checkpoint: Checkpoint,
    nodes: HashMap<(u8, u64), Hash>,
}

impl<'a> RangeTree<'a> {
    pub(super) fn new(material: &'a Material) -> Result<Self, String> {
        let proof = &material.proof;
        let note = tlog::Note::parse(&proof.checkpoint).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::parse_text(note.text()).map_err(|error| error.to_string())?;
        let mut nodes = HashMap::new();
        let sides = [(0, proof.start, &proof.left), (proof.end, checkpoint.size.0, &proof.right)];
        for (begin, end, hashes) in sides {
            nodes.extend(CompactRange::subtrees(begin, end).zip(hashes.iter().copied()));
        }
        let mut tree = CompactRange::from_hashes(0, proof.start, proof.left.clone())
            .map_err(|error| error.to_string())?;
        for row in &material.leaves {
            tree.append_visit(leaf_hash(&row.bytes), &mut |level, index, hash| {
                nodes.insert((level, index), hash);
            });
        }
        Ok(Self { proof, checkpoint, nodes })
    }

    /// The proof of a leaf of the range, checked against the checkpoint's root.
    pub(super) fn prove(&self, index: u64, leaf: &[u8]) -> Result<TlogProof, String> {
        let index = LeafIndex(index);
        let source = |level: u8, place: u64| self.node(level, place);
        let hashes = prove_inclusion(index, self.checkpoint.size, &source)
            .map_err(|error| error.to_string())?;
        let Checkpoint { size, root, .. } = &self.checkpoint;
        verify_inclusion(index, *size, &leaf_hash(leaf), &hashes, root)
            .map_err(|error| format!("leaf {index} is not in the log: {error}"))?;
        Ok(TlogProof { extra: None, index, hashes, checkpoint: self.proof.checkpoint.clone() })
    }

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        if let Some(hash) = self.nodes.get(&(level, index)) {
            return Ok(*hash);
        }
        // Only a subtree across the end of the range is in two parts here; the others are there or not needed.
        let (begin, end) = (u128::from(index) << level, (u128::from(index) + 1) << level);
        let across = begin < u128::from(self.proof.end) && u128::from(self.proof.end) < end;
        if level == 0 || !across {
            return Err(format!(
                "the package does not determine the node {index} of level {level}"
            ));
        }
        let (left, right) =
            (self.node(level - 1, index * 2)?, self.node(level - 1, index * 2 + 1)?);
        Ok(tlog::node_hash(&left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_range_can_be_proved() {
        for size in 1..=33u64 {
            let leaves: Vec<Vec<u8>> = (0..size).map(|leaf| leaf.to_be_bytes().to_vec()).collect();
            let mut all = HashMap::new();
            let mut tree = CompactRange::new(0);
            for leaf in &leaves {
                tree.append_visit(leaf_hash(leaf), &mut |level, index, hash| {
                    all.insert((level, index), hash);
                });
            }
            let size = tlog::TreeSize(size);
            let root = tree.root().unwrap();
            let checkpoint = Checkpoint { origin: "log.example".into(), size, root };
            let source = |level: u8, index: u64| all.get(&(level, index)).copied().ok_or(());
            for start in 0..size.0 {
                for end in start + 1..=size.0 {
                    let proof =
                        RangeProof::prove(start, end, size, String::new(), &source).unwrap();
                    let mut nodes = HashMap::new();
                    let sides = [(0, start, &proof.left), (end, size.0, &proof.right)];
                    for (begin, end, hashes) in sides {
                        nodes
                            .extend(CompactRange::subtrees(begin, end).zip(hashes.iter().copied()));
                    }
                    let mut tree = CompactRange::from_hashes(0, start, proof.left.clone()).unwrap();
                    for leaf in &leaves[start as usize..end as usize] {
                        tree.append_visit(leaf_hash(leaf), &mut |level, index, hash| {
                            nodes.insert((level, index), hash);
                        });
                    }
                    let tree = RangeTree { proof: &proof, checkpoint: checkpoint.clone(), nodes };
                    for index in start..end {
                        tree.prove(index, &leaves[index as usize]).unwrap();
                    }
                }
            }
        }
    }
}
