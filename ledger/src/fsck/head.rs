//! What stands over the entries: the tree head in the store, and the published checkpoint beside it.

use std::io;
use std::path::Path;

use tlog::{Checkpoint, Hash, VerifyingKey, open_checkpoint};

use super::{FsckReport, Holds, damage, place};
use crate::store::keyspace::{DEFAULT, HEAD_KEY, META, parse_head};
use crate::store::records::{Found, Odd, Records};
use crate::store::{RocksStore, TreeHead};

/// The published checkpoint, if its file holds one that the log signed.
pub(super) fn read_checkpoint(
    path: &Path,
    log: &VerifyingKey,
    report: &mut FsckReport,
) -> Option<Checkpoint> {
    let note = match std::fs::read(path) {
        Ok(note) => note,
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::NotFound => "checkpoint_missing",
                _ => "checkpoint_unreadable",
            };
            let message = format!(
                "{} cannot be read: {error}. If the ledger's checkpoint_file is another file, name it (--checkpoint-file, or \
                 --config)",
                path.display()
            );
            report.find(code, place::CHECKPOINT, message);
            return None;
        }
    };
    judge_checkpoint(&note, log, report)
}

/// The checkpoint that the bytes of a file hold.
pub(super) fn judge_checkpoint(
    note: &[u8],
    log: &VerifyingKey,
    report: &mut FsckReport,
) -> Option<Checkpoint> {
    let Ok(note) = std::str::from_utf8(note) else {
        report.find("checkpoint_invalid", place::CHECKPOINT, "it is not UTF-8");
        return None;
    };
    match open_checkpoint(note, log) {
        Ok(checkpoint) => Some(checkpoint),
        Err(error) => {
            report.find("checkpoint_invalid", place::CHECKPOINT, error);
            None
        }
    }
}

/// The stored tree head; what stands beside it is a hold, or left to purge, or a finding. A new store has none.
pub(super) fn read(
    store: &RocksStore,
    holds: &mut Holds,
    report: &mut FsckReport,
) -> Option<TreeHead> {
    let mut nobody = Records::of(store, DEFAULT);
    nobody.rest(&mut |odd| surplus(DEFAULT, &odd, report));
    let mut stored = Records::of(store, META);
    let found = stored.take(HEAD_KEY, &mut |odd| surplus(META, &odd, report));
    stored.rest(&mut |odd| {
        let Odd::Surplus(key) = odd else { return damage(META, &odd, report) };
        let is_known = match store.record(META, key) {
            Ok(Some(value)) => holds.take(key, &value, report),
            _ => false,
        };
        if !is_known {
            surplus(META, &odd, report);
        }
    });
    report.bytes += stored.bytes;
    match found {
        Found::Missing => None,
        Found::Unreadable(reason) => {
            report.find("head_unreadable", place::TREE_HEAD, format!("cannot be read: {reason}"));
            None
        }
        Found::Record(value) => match parse_head(&value) {
            Ok(head) => Some(head),
            Err(_) => {
                let message = format!("has {} bytes, not 48", value.len());
                report.find("head_damaged", place::TREE_HEAD, message);
                None
            }
        },
    }
}

/// What the entries say of the tree.
pub(super) struct Rebuilt {
    pub(super) size: u64,
    /// `None` when an entry is lost of which no tile holds the hash.
    pub(super) root: Option<Hash>,
    pub(super) recorded_at_ns: u64,
    /// Entries that agree with their full tiles.
    pub(super) agreed: u64,
}

/// Holds the stored head against the entries.
pub(super) fn compare(stored: Option<TreeHead>, rebuilt: &Rebuilt, report: &mut FsckReport) {
    let size = rebuilt.size;
    let Some(head) = stored else {
        if size > 0 && !report.found.keys().any(|code| code.starts_with("head_")) {
            let message = format!("is missing; {} are stored", place::entries(0, size));
            report.find("head_missing", place::TREE_HEAD, message);
        }
        return;
    };
    let is_root = rebuilt.root == Some(head.root);
    if head.size.0 > size {
        let message = if is_root {
            format!("names {} entries; {size} are stored, and they give its root", head.size)
        } else {
            let lost = place::entries(size, head.size.0);
            format!("names {} entries; {size} are stored. Missing: {lost}", head.size)
        };
        report.find("head_size", place::TREE_HEAD, message);
        return;
    }
    match rebuilt.root {
        Some(_) if is_root => {}
        Some(root) => {
            let unsure = match rebuilt.agreed {
                all if all == size => "all entries agree with their tiles".to_owned(),
                agreed => format!("it, or one of {}, was changed", place::entries(agreed, size)),
            };
            let message = format!("says root {}, but the entries give {root}: {unsure}", head.root);
            report.find("root_mismatch", place::TREE_HEAD, message);
        }
        None => report.find(
            "root_unknown",
            place::TREE_HEAD,
            "its root cannot be compared, because an entry is lost",
        ),
    }
    if size > 0 && rebuilt.recorded_at_ns != head.recorded_at_ns {
        let last = place::entry(size - 1);
        let message = format!("its time is not that of {last}, the last one");
        report.find("head_time", place::TREE_HEAD, message);
    }
}

fn surplus(family: &'static str, odd: &Odd<'_>, report: &mut FsckReport) {
    let Odd::Surplus(key) = odd else { return damage(family, odd, report) };
    let message = "should not be there: the format knows no such record";
    report.find("record_surplus", place::record(family, key), message);
}
