//! Proofs over trees of any size up to 2⁶⁴ − 1: all leaves are equal, so each level has one hash.

use proptest::prelude::*;
use tlog::{
    CompactRange, Hash, LeafIndex, ProofError, RangeProof, TreeSize, leaf_hash, node_hash,
    prove_consistency, prove_inclusion, tree_root, verify_consistency, verify_inclusion,
};

fn levels() -> Vec<Hash> {
    let leaf = leaf_hash(b"same");
    std::iter::successors(Some(leaf), |below| Some(node_hash(below, below))).take(64).collect()
}

fn number() -> impl Strategy<Value = u64> {
    // Any bit length, and the neighbourhood of the powers of two.
    prop_oneof![
        (any::<u64>(), 0..64u32).prop_map(|(n, shift)| n >> shift),
        (0..64u32, -2..3i64).prop_map(|(shift, by)| (1u64 << shift).wrapping_add_signed(by)),
        Just(u64::MAX),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn proofs_hold(a in number(), b in number(), run in 0..9u64) {
        let levels = levels();
        let source = |level: u8, index: u64| {
            // A node beyond 2⁶⁴ leaves would be asked for by mistake.
            let fits = index.checked_mul(1 << level).and_then(|s| s.checked_add((1 << level) - 1));
            fits.map(|_| levels[usize::from(level)]).ok_or("no such node")
        };
        let (old, new) = (TreeSize(a.min(b)), TreeSize(a.max(b)));
        let old_root = tree_root(old, &source).unwrap();
        let root = tree_root(new, &source).unwrap();

        let proof = prove_consistency(old, new, &source).unwrap();
        prop_assert!(proof.len() <= 65);
        let verified = verify_consistency(old, new, &old_root, &root, &proof);
        prop_assert_eq!(verified.is_ok(), old.0 > 0 || new.0 == 0, "{:?}", verified);

        let index = LeafIndex(old.0);
        match prove_inclusion(index, new, &source) {
            Ok(proof) => {
                prop_assert!(old < new && proof.len() <= 64);
                prop_assert_eq!(verify_inclusion(index, new, &levels[0], &proof, &root), Ok(()));
                let other = leaf_hash(b"other");
                prop_assert!(verify_inclusion(index, new, &other, &proof, &root).is_err());
            }
            Err(_) => prop_assert_eq!(old, new),
        }

        let start = old.0;
        let end = start.saturating_add(run).min(new.0);
        let proof = RangeProof::prove(start, end, new, String::new(), &source).unwrap();
        let count = usize::try_from(end - start).unwrap();
        let leaves = || std::iter::repeat_n(levels[0], count);
        prop_assert_eq!(proof.verify(new, &root, leaves()), Ok(()));
        let endless = std::iter::repeat(levels[0]);
        let too_many = Err(ProofError::LeafCount { expected: end - start, actual: None });
        prop_assert_eq!(proof.verify(new, &root, endless), too_many);
    }
}

#[test]
fn past_the_last_index_there_is_no_root() {
    let size = u64::MAX;
    let levels = levels();
    let source = |level: u8, _: u64| Ok::<_, String>(levels[usize::from(level)]);
    let mut range = CompactRange::read(0, size, &source).unwrap();
    assert_eq!(range.hashes().len(), 64);
    assert!(range.root().is_some());
    range.append(levels[0]);
    assert_eq!(range.root(), None);
    range.append(levels[0]);
    assert_eq!(range.root(), None);

    let mut last = CompactRange::new(u64::MAX - 1);
    last.append(levels[0]);
    assert_eq!((last.end(), last.hashes()), (u64::MAX, &levels[..1]));
    assert_eq!(CompactRange::subtrees(1, u64::MAX).count(), 126);
    assert_eq!(CompactRange::subtrees(5, 4).count(), 0);
    assert!(CompactRange::from_hashes(5, 4, Vec::new()).is_err());
    assert!(CompactRange::from_hashes(5, 6, Vec::new()).is_err());
}
