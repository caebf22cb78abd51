//! Range proofs: every small one, and that each breaks when anything in it is changed.

use tlog::{Checkpoint, Hash, ProofError, RangeProof, SigningKey, TreeSize, leaf_hash, tree_root};

use crate::tree::Tree;

const MAX: usize = 130;

/// Every (start, end, size) up to size 130: the true proof holds, and a changed leaf, hash or
/// number does not. Numbers are changed in every proof, leaves and hashes in every fourth; which
/// leaf, hash, bit it is walks through all places as the cases go by.
#[test]
fn every_range_up_to_size_130() {
    let tree = Tree::new(MAX);
    let (mut proofs, mut refused) = (0u64, 0u64);
    for size in 0..=MAX as u64 {
        let root = tree_root(TreeSize(size), &tree).unwrap();
        for start in 0..=size {
            for end in start..=size {
                let proof =
                    RangeProof::prove(start, end, TreeSize(size), String::new(), &tree).unwrap();
                let leaves = &tree.leaves()[start as usize..end as usize];
                let case = Case { size: TreeSize(size), root, leaves, nonce: proofs as usize };
                case.holds(&proof).unwrap();
                refused += case.refuses_changes(&proof);
                proofs += 1;
            }
        }
    }
    println!("{proofs} range proofs hold, {refused} changed ones are refused");
    assert_eq!(proofs, 383_306);
}

struct Case<'a> {
    size: TreeSize,
    root: Hash,
    leaves: &'a [Hash],
    nonce: usize,
}

impl Case<'_> {
    fn holds(&self, proof: &RangeProof) -> Result<(), ProofError> {
        proof.verify(self.size, &self.root, self.leaves.iter().copied())
    }

    /// Returns how many changes were tried.
    fn refuses_changes(&self, proof: &RangeProof) -> u64 {
        let mut tried = 0;
        let mut refuse = |what: &str, proof: &RangeProof, leaves: &[Hash]| {
            let result = proof.verify(self.size, &self.root, leaves.iter().copied());
            assert!(result.is_err(), "{what}: {}..{} of {}", proof.start, proof.end, self.size);
            tried += 1;
        };
        // Numbers: moved by one with the same leaves.
        for (start, end) in [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1)] {
            let (start, end) =
                (proof.start.checked_add_signed(start), proof.end.checked_add_signed(end));
            if let (Some(start), Some(end)) = (start, end) {
                refuse("number", &RangeProof { start, end, ..proof.clone() }, self.leaves);
            }
        }
        let Some(nonce) = self.nonce.is_multiple_of(4).then_some(self.nonce / 4) else {
            return tried;
        };
        // Leaves: one changed, one dropped, one more, two swapped.
        let bit = |hash: &mut Hash| hash.0[nonce % 32] ^= 1 << (nonce / 32 % 8);
        if !self.leaves.is_empty() {
            let at = nonce % self.leaves.len();
            let mut leaves = self.leaves.to_vec();
            bit(&mut leaves[at]);
            refuse("leaf", proof, &leaves);
            leaves.remove(at);
            refuse("dropped leaf", proof, &leaves);
            let mut leaves = self.leaves.to_vec();
            leaves.swap(at, (at + 1) % self.leaves.len());
            if leaves != self.leaves {
                refuse("swapped leaves", proof, &leaves);
            }
        }
        let more = [self.leaves, &[leaf_hash(b"one more")]].concat();
        refuse("one leaf more", proof, &more);
        // Hashes: one changed, one dropped, one more, on either side.
        for side in [left as fn(&mut RangeProof) -> &mut Vec<Hash>, right] {
            let mut changed = proof.clone();
            side(&mut changed).push(self.root);
            refuse("one hash more", &changed, self.leaves);
            let mut changed = proof.clone();
            let hashes = side(&mut changed);
            if hashes.is_empty() {
                continue;
            }
            let at = nonce % hashes.len();
            bit(&mut hashes[at]);
            refuse("hash", &changed, self.leaves);
            side(&mut changed).remove(at);
            refuse("dropped hash", &changed, self.leaves);
        }
        tried
    }
}

fn left(proof: &mut RangeProof) -> &mut Vec<Hash> {
    &mut proof.left
}

fn right(proof: &mut RangeProof) -> &mut Vec<Hash> {
    &mut proof.right
}

#[test]
fn the_file_says_the_same_and_changes_in_it_are_refused() {
    let key = SigningKey::from_seed("log.example/range", [7; 32]).unwrap();
    let tree = Tree::new(40);
    for size in [0, 1, 2, 5, 8, 13, 40] {
        let root = tree_root(TreeSize(size), &tree).unwrap();
        let checkpoint =
            Checkpoint { origin: key.name().to_owned(), size: TreeSize(size), root }.sign(&key);
        for start in 0..=size {
            for end in start..=size {
                let proof =
                    RangeProof::prove(start, end, TreeSize(size), checkpoint.clone(), &tree);
                let proof = proof.unwrap();
                let text = proof.to_string();
                assert_eq!(RangeProof::parse(&text), Ok(proof));
                assert!(RangeProof::parse(&text[..text.len() - 1]).is_err());
            }
        }
    }
}

#[test]
fn the_number_of_leaves_is_told() {
    let tree = Tree::new(6);
    let root = tree_root(TreeSize(6), &tree).unwrap();
    let proof = RangeProof::prove(1, 4, TreeSize(6), String::new(), &tree).unwrap();
    let verify = |count| {
        let leaves = tree.leaves()[1..].iter().copied().take(count);
        proof.verify(TreeSize(6), &root, leaves)
    };
    assert_eq!(verify(2), Err(ProofError::LeafCount { expected: 3, actual: Some(2) }));
    assert_eq!(verify(3), Ok(()));
    assert_eq!(verify(4), Err(ProofError::LeafCount { expected: 3, actual: None }));
}

#[test]
fn other_spellings_are_refused() {
    let key = SigningKey::from_seed("log.example/range", [7; 32]).unwrap();
    let tree = Tree::new(6);
    let root = tree_root(TreeSize(6), &tree).unwrap();
    let checkpoint = Checkpoint { origin: "log.example/range".into(), size: TreeSize(6), root };
    let proof = RangeProof::prove(3, 4, TreeSize(6), checkpoint.sign(&key), &tree).unwrap();
    let text = proof.to_string();
    for (from, to) in [
        ("@v1", "@v2"),
        ("range 3 4", "range 03 4"),
        ("range 3 4", "range 3  4"),
        ("range 3 4", "range 3 4 "),
        ("range 3 4", "range 4 3"),
        ("range 3 4", "range 3 7"),
        ("range 3 4", "range 2 4"),
        ("left 2", "left 1"),
        ("left 2", "left 3"),
        ("left 2", "left 18446744073709551615"),
        ("left 2", "left +2"),
        ("right 1\n", "right 1\r\n"),
        ("right 1\n", "right 0\n"),
        ("\n\nlog.example", "\nlog.example"),
        ("\n\nlog.example", "\n\n\nlog.example"),
        ("\n6\n", "\n7\n"),
        ("=\nright", "\nright"),
    ] {
        assert!(text.contains(from), "{from:?}");
        assert!(RangeProof::parse(&text.replacen(from, to, 1)).is_err(), "{from:?} as {to:?}");
    }
    assert!(RangeProof::prove(3, 2, TreeSize(6), String::new(), &tree).is_err());
    assert!(RangeProof::prove(3, 7, TreeSize(6), String::new(), &tree).is_err());
}
