//! Leaves after the range that callers cause: later accesses to the evidence, and later calls that stand before a seal.
//! Both are bounded by number and by size, so that nobody can make an earlier period too large to export.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto::Role;
use proto::kind::Kind;
use proto::v1::Slot;

use super::{EpochKey, Leaves, Read};

/// Most later accesses that are carried, newest first.
const MAX_CUSTODY: usize = 2000;
/// Most bytes of these.
const MAX_CUSTODY_BYTES: u64 = 32 << 20;
/// Most leaves of a chain that are carried to show that a seal after the range covers its end.
const MAX_CHAIN_TAIL: usize = 1000;
/// Most bytes of these, of all chains together; each has an equal share.
const MAX_TAILS_BYTES: u64 = 128 << 20;

/// The newest accesses.
#[derive(Default)]
pub(super) struct Custody {
    kept: VecDeque<(u64, Read)>,
    size_bytes: u64,
    seen: u64,
}

impl Custody {
    pub(super) fn add(&mut self, index: u64, read: Read, role: Role) {
        self.seen += 1;
        self.size_bytes += size_bytes(&read, role);
        self.kept.push_back((index, read));
        while self.kept.len() > MAX_CUSTODY || self.size_bytes > MAX_CUSTODY_BYTES {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.size_bytes -= size_bytes(&oldest, role);
        }
    }

    /// Moves them to the context, and says how many accesses are not there.
    pub(super) fn put(self, context: &mut Leaves, end: u64) -> u64 {
        context.extend(self.kept);
        let later = context.range(end..);
        let there =
            later.filter(|(_, read)| matches!(read.kind(), Some(Kind::EvidenceAccessed(_))));
        self.seen - there.count() as u64
    }
}

/// What follows in chains that go on after the range, up to the next seal of each.
pub(super) struct Tails {
    open: BTreeMap<EpochKey, Tail>,
    share_bytes: u64,
    leaves: Leaves,
}

#[derive(Default)]
struct Tail {
    indexes: Vec<u64>,
    size_bytes: u64,
}

impl Tails {
    pub(super) fn of(chains: BTreeSet<EpochKey>) -> Self {
        let share_bytes = MAX_TAILS_BYTES / (chains.len() as u64).max(1);
        let open = chains.into_iter().map(|chain| (chain, Tail::default())).collect();
        Self { open, share_bytes, leaves: Leaves::new() }
    }

    /// Keeps a leaf of a chain that has not been sealed yet. A tail that passes its bounds is given up: the end of its
    /// chain then shows as unsealed.
    pub(super) fn add(&mut self, index: u64, read: &Read, role: Role) {
        let Some((chain, _)) = read.epoch() else { return };
        let Some(tail) = self.open.get_mut(&chain) else { return };
        tail.indexes.push(index);
        tail.size_bytes += size_bytes(read, role);
        if tail.indexes.len() > MAX_CHAIN_TAIL || tail.size_bytes > self.share_bytes {
            for index in &tail.indexes {
                self.leaves.remove(index);
            }
            self.open.remove(&chain);
            return;
        }
        self.leaves.insert(index, read.clone());
        if matches!(read.kind(), Some(Kind::RecorderSeal(_))) {
            self.open.remove(&chain);
        }
    }

    pub(super) fn put(self, context: &mut Leaves) {
        context.extend(self.leaves);
    }
}

/// Bytes of a leaf and, at most, of what the role may see of its disclosures.
fn size_bytes(read: &Read, role: Role) -> u64 {
    let seen =
        read.leaf.event.disclosures.iter().filter(|disclosure| {
            Slot::try_from(disclosure.slot).is_ok_and(|slot| role.may_see(slot))
        });
    read.bytes.len() as u64 + seen.map(|disclosure| u64::from(disclosure.size_class)).sum::<u64>()
}
