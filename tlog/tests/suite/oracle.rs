//! Trees and proofs against the definitions of RFC 6962 and against `ct-merkle`.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use proptest::prelude::*;
use sha2::Sha256;
use tlog::{
    Hash, LeafIndex, TreeSize, leaf_hash, prove_consistency, prove_inclusion, tree_root,
    verify_consistency, verify_inclusion,
};

use crate::tree::{Tree, entry, mth, path, subproof};

const MAX: usize = 70;

#[test]
fn every_small_tree_is_that_of_the_definition() {
    let tree = Tree::new(MAX);
    for size in 0..=MAX {
        let leaves = &tree.leaves()[..size];
        assert_eq!(tree_root(TreeSize(size as u64), &tree), Ok(mth(leaves)));
        assert_eq!(Tree::new(size).range.root(), Some(mth(leaves)));
    }
}

#[test]
fn every_small_inclusion_proof_is_that_of_the_definition() {
    let tree = Tree::new(MAX);
    for size in 1..=MAX {
        let leaves = &tree.leaves()[..size];
        let (root, tree_size) = (mth(leaves), TreeSize(size as u64));
        for (position, leaf) in leaves.iter().enumerate() {
            let index = LeafIndex(position as u64);
            let proof = prove_inclusion(index, tree_size, &tree).unwrap();
            assert_eq!(proof, path(position, leaves), "{position} of {size}");
            verify_inclusion(index, tree_size, leaf, &proof, &root).unwrap();
            for other in (0..=size).filter(|other| *other != position) {
                let other = LeafIndex(other as u64);
                assert!(verify_inclusion(other, tree_size, leaf, &proof, &root).is_err());
            }
        }
        assert!(prove_inclusion(LeafIndex(size as u64), tree_size, &tree).is_err());
    }
}

#[test]
fn every_small_consistency_proof_is_that_of_the_definition() {
    let tree = Tree::new(MAX);
    for new in 1..=MAX {
        let leaves = &tree.leaves()[..new];
        let (root, new_size) = (mth(leaves), TreeSize(new as u64));
        for old in 1..=new {
            let (old_root, old_size) = (mth(&leaves[..old]), TreeSize(old as u64));
            let proof = prove_consistency(old_size, new_size, &tree).unwrap();
            assert_eq!(proof, subproof(old, leaves, true), "{old} of {new}");
            verify_consistency(old_size, new_size, &old_root, &root, &proof).unwrap();
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at].0[at % 32] ^= 1;
                assert!(verify_consistency(old_size, new_size, &old_root, &root, &bad).is_err());
                bad.truncate(at);
                assert!(verify_consistency(old_size, new_size, &old_root, &root, &bad).is_err());
            }
            let swapped = verify_consistency(old_size, new_size, &root, &old_root, &proof);
            assert_eq!(swapped.is_ok(), old == new);
        }
        assert_eq!(prove_consistency(TreeSize(0), new_size, &tree), Ok(Vec::new()));
        let empty = Hash::empty_root();
        assert!(verify_consistency(TreeSize(0), new_size, &empty, &root, &[]).is_err());
        assert!(verify_consistency(new_size, TreeSize(0), &root, &root, &[]).is_err());
        assert!(prove_consistency(new_size, TreeSize(0), &tree).is_err());
    }
}

#[test]
fn from_the_empty_tree_only_to_itself() {
    let (empty, other) = (Hash::empty_root(), leaf_hash(b"other"));
    let nothing = TreeSize(0);
    assert_eq!(verify_consistency(nothing, nothing, &empty, &empty, &[]), Ok(()));
    assert!(verify_consistency(nothing, nothing, &other, &other, &[]).is_err());
    assert!(verify_consistency(nothing, nothing, &empty, &empty, &[empty]).is_err());
    assert!(verify_consistency(nothing, TreeSize(1), &empty, &empty, &[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_ct_merkle(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..300),
        position in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
        flipped in any::<(prop::sample::Index, u8, u8)>(),
    ) {
        let mut tree = Tree::new(0);
        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for entry in &entries {
            tree.push(leaf_hash(entry));
            theirs.push(entry.clone());
        }
        let size = TreeSize(entries.len() as u64);
        let root = tree.range.root().unwrap();
        let their_root = theirs.root();
        prop_assert_eq!(root.as_ref(), their_root.as_bytes().as_slice());

        let position = position.index(entries.len());
        let index = LeafIndex(position as u64);
        let proof = prove_inclusion(index, size, &tree).unwrap();
        let bytes = bytes(&proof);
        let their_proof = theirs.prove_inclusion(position);
        prop_assert_eq!(bytes.as_slice(), their_proof.as_bytes());
        let leaf = leaf_hash(&entries[position]);
        prop_assert!(verify_inclusion(index, size, &leaf, &proof, &root).is_ok());
        if let Some(bad) = flip(&proof, flipped) {
            prop_assert!(verify_inclusion(index, size, &leaf, &bad, &root).is_err());
            let bad = InclusionProof::<Sha256>::from_bytes(self::bytes(&bad));
            prop_assert!(their_root.verify_inclusion(&entries[position], index.0, &bad).is_err());
        }

        let old = old.index(entries.len()) + 1;
        let old_size = TreeSize(old as u64);
        let proof = prove_consistency(old_size, size, &tree).unwrap();
        let their_proof = theirs.prove_consistency(entries.len() - old);
        prop_assert_eq!(self::bytes(&proof), their_proof.as_bytes());
        let old_root = tree_root(old_size, &tree).unwrap();
        prop_assert!(verify_consistency(old_size, size, &old_root, &root, &proof).is_ok());
        if let Some(bad) = flip(&proof, flipped) {
            prop_assert!(verify_consistency(old_size, size, &old_root, &root, &bad).is_err());
            let their_old = ct_merkle::RootHash::<Sha256>::new(old_root.0.into(), old_size.0);
            let bad = ConsistencyProof::try_from_bytes(self::bytes(&bad)).unwrap();
            prop_assert!(their_root.verify_consistency(&their_old, &bad).is_err());
        }
    }
}

#[test]
fn one_append_is_many_ranges_joined() {
    let tree = Tree::new(MAX);
    let empty = tlog::CompactRange::new(3);
    assert_eq!((empty.root(), empty.hashes()), (None, [].as_slice()));
    for begin in 0..=MAX {
        let mut appended = tlog::CompactRange::new(begin as u64);
        for end in begin..=MAX {
            let read = tlog::CompactRange::read(begin as u64, end as u64, &tree).unwrap();
            assert_eq!(appended, read, "{begin}..{end}");
            let again =
                tlog::CompactRange::from_hashes(begin as u64, end as u64, read.hashes().to_vec());
            assert_eq!(again.as_ref(), Ok(&read));
            let mut joined = Tree::new(begin).range;
            joined.append_range(&read).unwrap();
            assert_eq!(joined.root(), Some(mth(&tree.leaves()[..end])));
            assert!(joined.append_range(&Tree::new(0).range).is_err() || end == 0);
            if end < MAX {
                appended.append(leaf_hash(&entry(end)));
            }
        }
    }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn flip(proof: &[Hash], (at, byte, bit): (prop::sample::Index, u8, u8)) -> Option<Vec<Hash>> {
    let mut bad = proof.to_vec();
    if bad.is_empty() {
        return None;
    }
    let at = at.index(bad.len());
    bad[at].0[usize::from(byte % 32)] ^= 1 << (bit % 8);
    Some(bad)
}
