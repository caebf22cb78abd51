//! The policy snapshots: what decided, as the leaves name it.

use std::collections::{BTreeMap, BTreeSet};

use controls::Snapshot;
use proto::kind::Kind;
use proto::v1::Slot;
use sha2::{Digest as _, Sha256};

use super::case::Case;
use crate::layout;
use crate::report::{Checked, Stop, fail_at};

/// Snapshots of the package by their digest.
pub(super) struct Snapshots(BTreeMap<Vec<u8>, Snapshot>);

impl Snapshots {
    /// The snapshot with this digest.
    pub(super) fn find(&self, digest: &[u8]) -> Option<&Snapshot> {
        self.0.get(digest)
    }
}

/// Each snapshot has the digest that its activation names, and is laid out as files to the byte.
pub(super) fn check(
    case: &Case<'_>,
    readable: impl Fn(&str) -> bool,
) -> (Checked, Result<Snapshots, Stop>) {
    match read(case) {
        Ok(snapshots) => (check_files(case, &snapshots, readable), Ok(snapshots)),
        Err(stop) => {
            let reason = match &stop {
                Stop::Fail(failure) => {
                    format!("the snapshots cannot be used: see [{}]", failure.code)
                }
                Stop::NotChecked(reason) => format!("the snapshots cannot be used: {reason}"),
            };
            (Err(stop), Err(Stop::NotChecked(reason)))
        }
    }
}

fn read(case: &Case<'_>) -> Result<Snapshots, Stop> {
    let disclosures = case.all_disclosures()?;
    let mut snapshots = BTreeMap::new();
    for (index, decoded) in case.all_leaves()? {
        let Some(Kind::PolicyActivated(activated)) = &decoded.leaf.event.kind else { continue };
        let Some(bytes) = disclosures.content(index, Slot::Snapshot) else { continue };
        let at = || format!("leaf {index}");
        if Sha256::digest(bytes)[..] != activated.snapshot_digest[..] {
            let detail = "the snapshot's bytes do not have the digest that the leaf names";
            return Err(fail_at("snapshots.digest", at(), detail));
        }
        if !snapshots.contains_key(&activated.snapshot_digest[..]) {
            let snapshot = Snapshot::parse(bytes)
                .map_err(|error| fail_at("snapshots.malformed", at(), error))?;
            snapshots.insert(activated.snapshot_digest.to_vec(), snapshot);
        }
    }
    Ok(Snapshots(snapshots))
}

fn check_files(
    case: &Case<'_>,
    Snapshots(snapshots): &Snapshots,
    readable: impl Fn(&str) -> bool,
) -> Checked {
    let mut expected = BTreeSet::new();
    for (digest, snapshot) in snapshots {
        for (name, bytes) in snapshot.files() {
            let path = format!("{}{}/{name}", layout::SNAPSHOTS, hex::encode(digest));
            if readable(&path) {
                match case.package.file(&path) {
                    Some(found) if found[..] == bytes[..] => {}
                    Some(_) => {
                        let detail =
                            "this is not what the activated snapshot says: the copy was changed";
                        return Err(fail_at("snapshots.files", path, detail));
                    }
                    None => return Err(fail_at("snapshots.files", path, "the file is missing")),
                }
            }
            expected.insert(path);
        }
    }
    let stray = case
        .package
        .paths()
        .find(|path| path.starts_with(layout::SNAPSHOTS) && !expected.contains(*path));
    if let Some(path) = stray {
        return Err(fail_at("snapshots.files", path, "no activated snapshot has this file"));
    }
    match snapshots.len() {
        0 => Err(Stop::NotChecked("no policy snapshot was active in this range".to_owned())),
        count => Ok(format!(
            "{count} policy snapshots, each with its digest, their files equal to the byte"
        )),
    }
}
