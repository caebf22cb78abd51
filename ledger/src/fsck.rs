//! Checks everything that a stopped ledger has stored, from the entries up.
//!
//! Tree and tiles are rebuilt from the entries and compared byte by byte with what is stored and published; every leaf
//! is decoded; time, chains and seals are followed; every disclosure is opened and held against its commitment; every
//! stored record must be one that an entry asks for. Each family is read once, in the order of its keys, and what has to be
//! remembered until the end waits in files, so memory does not grow with the log. What the storage engine cannot read is a
//! finding like any other, and the walk goes on behind.
//!
//! Records vouch for each other. A finding names the record that contradicts others; where two contradict each other
//! and nothing tells which was changed, its message names the other one too.

mod absent;
mod chains;
mod disclosures;
mod head;
mod holds;
mod lost;
mod place;
mod refusal;
mod report;
mod sorted;
#[cfg(test)]
mod tests;
mod tree;
mod used_keys;

use std::path::Path;

use bytes::Bytes;
use proto::decode_entry;
use tlog::{Checkpoint, LeafIndex, VerifyingKey, leaf_hash};

use self::chains::{Chains, Keys};
use self::disclosures::Disclosures;
use self::head::Rebuilt;
use self::holds::Holds;
pub use self::refusal::{FsckRefusal, may_check};
pub use self::report::{Finding, FsckReport, MAX_FINDINGS_OF_A_KIND};
use self::tree::Tree;
use crate::hold;
use crate::publish::default_file;
use crate::store::keyspace::{DISCLOSURES, ENTRIES, KEYS, entry_index, entry_key};
use crate::store::moment::holds_moment;
use crate::store::records::{Found, Odd, Records};
use crate::store::{RocksStore, StoreError, wal};

/// Between two calls of `progress`.
const ENTRIES_AT_ONCE: u64 = 1_024;
/// Longest run of missing entries whose tiles are asked for.
const MAX_MISSING_RUN: u64 = 1 << 16;

/// Checks the ledger folder `data_dir`, which no ledger may be using.
///
/// The published checkpoint is in `checkpoint_file`, or else in `data_dir`. `log` is the log's vkey; seals are verified
/// with the recorder keys in `recorders`, and counted apart where none of them is the one. `progress` is told the
/// number of entries done and of all.
///
/// # Errors
/// [`StoreError::InUse`] when a ledger runs on the folder. A store that cannot be opened is a finding.
pub fn fsck(
    data_dir: &Path,
    checkpoint_file: Option<&Path>,
    log: &VerifyingKey,
    recorders: &[VerifyingKey],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<FsckReport, StoreError> {
    fsck_until(data_dir, checkpoint_file, log, recorders, &mut |done, all| {
        progress(done, all);
        true
    })
}

/// The same, until it is not to go on: what the report says then is of no use.
pub(crate) fn fsck_until(
    data_dir: &Path,
    checkpoint_file: Option<&Path>,
    log: &VerifyingKey,
    recorders: &[VerifyingKey],
    goes_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<FsckReport, StoreError> {
    let moment_left = holds_moment(data_dir);
    let mut report = FsckReport { moment_left, ..FsckReport::default() };
    let file = checkpoint_file.map_or_else(|| default_file(data_dir), Path::to_owned);
    let published = head::read_checkpoint(&file, log, &mut report);
    report.checkpoint.clone_from(&published);
    let store = data_dir.join("store");
    match wal::damages(&store) {
        Ok(damages) if damages.is_empty() => {}
        Ok(damages) => {
            for damage in damages {
                let place = format!("write-ahead log {}", damage.name);
                let message = format!("byte {}: {}", damage.offset, damage.what);
                report.find("wal_damaged", place, message);
            }
            // The engine would drop what stands behind, for good.
            return Ok(report);
        }
        Err(error) => {
            let message = format!("its write-ahead log cannot be read: {error}");
            report.find("store_unreadable", place::STORE, message);
            return Ok(report);
        }
    }
    match RocksStore::open_for_check(&store) {
        Err(error @ StoreError::InUse { .. }) => return Err(error),
        Err(StoreError::Engine { reason, .. }) => {
            let message = format!("cannot be opened: {reason}");
            report.find("store_unreadable", place::STORE, message);
        }
        Err(error) => report.find("store_unreadable", place::STORE, error),
        Ok((store, strange)) => {
            for name in strange.unknown {
                let message = "should not be there: the format knows no such column family";
                report.find("family_unknown", format!("column family {name:?}"), message);
            }
            for name in strange.missing {
                report.find("family_missing", format!("column family {name:?}"), "is missing");
            }
            let keys = Keys { log, recorders };
            report.is_opened = true;
            check(&store, published.as_ref(), keys, goes_on, &mut report);
        }
    }
    Ok(report)
}

/// Checks an open store.
fn check(
    store: &RocksStore,
    published: Option<&Checkpoint>,
    keys: Keys<'_>,
    goes_on: &mut dyn FnMut(u64, u64) -> bool,
    report: &mut FsckReport,
) {
    let mut holds = Holds::default();
    let stored_head = head::read(store, &mut holds, report);
    let mut walk = Walk {
        next: 0,
        recorded_at_ns: 0,
        published,
        tree: Tree::new(store),
        chains: Chains::new(keys),
        disclosures: Disclosures::new(store),
        holds,
    };
    walk.compare_published(report);
    let mut entries = Records::of(store, ENTRIES);
    let claimed = stored_head.map(|head| head.size.0);
    while claimed.is_none_or(|claimed| walk.next < claimed) {
        match entries.take(&entry_key(LeafIndex(walk.next)), &mut |odd| surplus(&odd, report)) {
            Found::Record(entry) => walk.entry(&Bytes::from(entry), report),
            Found::Unreadable(reason) => {
                let message = format!("cannot be read: {reason}");
                report.find("entry_unreadable", place::entry(walk.next), message);
                walk.lost_entry(report);
            }
            Found::Missing => {
                let next_key = entries.next_key(&mut |odd| surplus(&odd, report));
                let Some(LeafIndex(next)) = next_key.and_then(|key| entry_index(key).ok()) else {
                    walk.chains.lose(walk.next..claimed.unwrap_or(walk.next));
                    break;
                };
                let next = next.min(claimed.unwrap_or(next));
                walk.missing_entries(next, report);
            }
        }
        if walk.next.is_multiple_of(ENTRIES_AT_ONCE)
            && !goes_on(walk.next, claimed.unwrap_or(walk.next))
        {
            return;
        }
    }
    entries.rest(&mut |odd| surplus(&odd, report));
    report.bytes += entries.bytes;
    report.size = claimed.unwrap_or_default().max(walk.next);
    if !goes_on(walk.next, claimed.unwrap_or(walk.next)) {
        return;
    }
    if let Some(published) = published
        && published.size.0 > walk.next
    {
        let message = format!(
            "covers {} entries; the store has {}: it is older than what was published, or has lost entries",
            published.size, walk.next
        );
        report.find("store_behind", place::CHECKPOINT, message);
    }
    let rebuilt = Rebuilt {
        size: walk.next,
        root: walk.tree.root(),
        recorded_at_ns: walk.recorded_at_ns,
        agreed: walk.tree.agreed(),
    };
    head::compare(stored_head, &rebuilt, report);
    walk.tree.finish(report);
    walk.chains.finish(store, report);
    walk.disclosures.finish(report);
    let read = |id, index| hold::read(store, id, Some(index)).map(drop);
    walk.holds.finish(read, report);
}

/// From entry to entry.
struct Walk<'a> {
    next: u64,
    recorded_at_ns: u64,
    published: Option<&'a Checkpoint>,
    tree: Tree<'a>,
    chains: Chains<'a>,
    disclosures: Disclosures<'a>,
    holds: Holds,
}

impl Walk<'_> {
    fn entry(&mut self, bytes: &Bytes, report: &mut FsckReport) {
        let index = self.next;
        self.next += 1;
        report.entries += 1;
        let hash = leaf_hash(bytes);
        self.tree.append(hash, report);
        self.compare_published(report);
        let leaf = match decode_entry(bytes) {
            Ok(leaf) => leaf,
            Err(error) => {
                self.chains.lose(index..index + 1);
                return report.find("entry_invalid", place::entry(index), error);
            }
        };
        if leaf.recorded_at_ns <= self.recorded_at_ns {
            let before = place::entry(index.saturating_sub(1));
            let message = format!("is not later than {before}: one of the two was changed");
            report.find("time_not_increasing", place::entry(index), message);
        }
        self.recorded_at_ns = leaf.recorded_at_ns;
        self.chains.follow(index, &leaf, report);
        self.disclosures.check(index, &leaf.event, report);
        self.holds.follow(index, leaf.event.kind.as_ref());
    }

    /// The entry is there, and nobody can read it.
    fn lost_entry(&mut self, report: &mut FsckReport) {
        self.tree.append_lost(self.next, report);
        self.chains.lose(self.next..self.next + 1);
        self.next += 1;
        self.compare_published(report);
    }

    /// Entries up to `end` are not there.
    fn missing_entries(&mut self, end: u64, report: &mut FsckReport) {
        report.find("entry_missing", place::entries(self.next, end), "is missing");
        if end - self.next > MAX_MISSING_RUN {
            self.tree.skip_to(end);
            self.chains.lose(self.next..end);
            self.next = end;
        }
        while self.next < end {
            self.lost_entry(report);
        }
    }

    /// At the size of the published checkpoint the entries must have its root.
    fn compare_published(&self, report: &mut FsckReport) {
        let Some(published) = self.published else { return };
        let root = self.tree.root();
        if published.size.0 == self.next && root.is_some_and(|root| root != published.root) {
            let message = format!("its root is not that of the first {} entries", self.next);
            report.find("checkpoint_contradicted", place::CHECKPOINT, message);
        }
    }
}

fn surplus(odd: &Odd<'_>, report: &mut FsckReport) {
    let Odd::Surplus(key) = odd else { return damage(ENTRIES, odd, report) };
    let message = "should not be there: it lies behind the tree, or under no index";
    report.find("entry_surplus", place::record(ENTRIES, key), message);
}

/// The engine could not read on in a family.
fn damage(family: &'static str, odd: &Odd<'_>, report: &mut FsckReport) {
    if let Odd::Damage { after, reason } = odd {
        let place = match after {
            [] => format!("{family}, at its beginning"),
            after => format!("{family}, behind {}", place::record(family, after)),
        };
        // What it means follows from what stands there: see `FsckReport::is_readable`.
        let code = match family {
            DISCLOSURES => "disclosure_table_unreadable",
            KEYS => "key_table_unreadable",
            _ => "unreadable",
        };
        report.find(code, place, format!("the engine cannot read on: {reason}"));
    }
}
