//! A whole tree in memory, and the definitions of RFC 6962 taken literally.

use tlog::{CompactRange, Hash, NodeSource, leaf_hash, node_hash};

/// Every node of every perfect subtree: `levels[level][index]`.
pub(crate) struct Tree {
    pub(crate) levels: Vec<Vec<Hash>>,
    pub(crate) range: CompactRange,
}

impl Tree {
    /// The tree over the entries `entry(0)`, `entry(1)`, and so on.
    pub(crate) fn new(size: usize) -> Self {
        let mut tree = Self { levels: Vec::new(), range: CompactRange::new(0) };
        for index in 0..size {
            tree.push(leaf_hash(&entry(index)));
        }
        tree
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.range.append_visit(leaf, &mut |level, index, hash| {
            let level = usize::from(level);
            if level == levels.len() {
                levels.push(Vec::new());
            }
            assert_eq!(levels[level].len() as u64, index, "nodes are completed in order");
            levels[level].push(hash);
        });
    }

    pub(crate) fn leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }
}

impl NodeSource for Tree {
    type Error = String;

    fn node(&self, level: u8, index: u64) -> Result<Hash, String> {
        let node = self.levels.get(usize::from(level)).and_then(|l| l.get(index as usize));
        node.copied().ok_or_else(|| format!("no node {level}/{index}"))
    }
}

pub(crate) fn entry(index: usize) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// MTH(D) of section 2.1.
pub(crate) fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty_root(),
        [leaf] => *leaf,
        more => {
            let (left, right) = more.split_at(split(more.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

/// PATH(m, D) of section 2.1.1.
pub(crate) fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut below, sibling) = if index < k {
        (path(index, left), mth(right))
    } else {
        (path(index - k, right), mth(left))
    };
    below.push(sibling);
    below
}

/// SUBPROOF(m, D, b) of section 2.1.2.
pub(crate) fn subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut below, sibling) = if old <= k {
        (subproof(old, left, whole), mth(right))
    } else {
        (subproof(old - k, right, false), mth(left))
    };
    below.push(sibling);
    below
}

/// The largest power of two smaller than `n`.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}
