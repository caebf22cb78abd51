//! The policy snapshots: what decided, as the leaves name it.

use std::collections::{BTreeMap, BTreeSet};

use controls::{ENGINE, Snapshot};
use proto::disclosure::check_opening;
use proto::kind::Kind;
use proto::v1::{PolicyActivated, Slot};
use sha2::{Digest as _, Sha256};

use super::case::{Case, Decoded, Disclosures};
use super::run::Found;
use crate::compile::compile;
use crate::layout;
use crate::material::{Opening, Status};
use crate::report::{Checked, Remark, Stop, fail_at};

/// Snapshots of the package by their digest, and what is known of those that are not there.
#[derive(Default)]
pub(super) struct Snapshots {
    by_digest: BTreeMap<Vec<u8>, Snapshot>,
    /// Activations whose snapshot the role may not see, and whose snapshot was erased.
    withheld: usize,
    erased: usize,
}

impl Snapshots {
    /// The snapshot with this digest.
    pub(super) fn find(&self, digest: &[u8]) -> Option<&Snapshot> {
        self.by_digest.get(digest)
    }
}

/// Each snapshot has the digest that its activation names, and is laid out as files to the byte.
///
/// A snapshot is compiled only when its leaf is `proved` to be of the log and the leaf names just these bytes: then they
/// are what a gateway ran, and not the work of whoever made the package.
pub(super) fn check(case: &Case<'_>, proved: bool) -> (Found, Result<Snapshots, Stop>) {
    if !proved {
        let reason = "policies of leaves that are not proved to be the log's are not compiled";
        let stop = Stop::NotChecked(reason.to_owned());
        return (Err(stop.clone()).into(), Err(stop));
    }
    match read(case) {
        Ok(snapshots) => {
            let checked = check_files(case, &snapshots);
            (Found::from((checked, other_engine(&snapshots))), Ok(snapshots))
        }
        Err(stop) => {
            let reason = match &stop {
                Stop::Fail(failure) => {
                    format!("the snapshots cannot be used: see [{}]", failure.code)
                }
                Stop::NotChecked(reason) => format!("the snapshots cannot be used: {reason}"),
            };
            (Err(stop).into(), Err(Stop::NotChecked(reason)))
        }
    }
}

fn read(case: &Case<'_>) -> Result<Snapshots, Stop> {
    let disclosures = case.all_disclosures()?;
    let mut snapshots = Snapshots::default();
    for (_, decoded) in case.all_leaves()? {
        let Some(Kind::PolicyActivated(activated)) = &decoded.leaf.event.kind else { continue };
        match opening(decoded, &disclosures) {
            Ok(opening) => snapshots.take(decoded, activated, opening)?,
            Err(Status::Erased) => snapshots.erased += 1,
            Err(_) => snapshots.withheld += 1,
        }
    }
    Ok(snapshots)
}

fn opening<'d>(decoded: &Decoded, disclosures: &Disclosures<'d>) -> Result<&'d Opening, Status> {
    let row = disclosures.row(decoded.index, Slot::Snapshot).ok_or(Status::Withheld)?;
    row.opening.as_ref().ok_or(row.status)
}

impl Snapshots {
    fn take(
        &mut self,
        decoded: &Decoded,
        activated: &PolicyActivated,
        opening: &Opening,
    ) -> Result<(), Stop> {
        let at = || format!("leaf {}", decoded.index);
        if Sha256::digest(&opening.content)[..] != activated.snapshot_digest[..] {
            let detail = "the snapshot's bytes do not have the digest that the leaf names";
            return Err(fail_at("snapshots.digest", at(), detail));
        }
        let mut commitments = decoded.leaf.event.disclosures.iter();
        let commitment =
            commitments.find(|of| of.slot == i32::from(Slot::Snapshot)).ok_or_else(|| {
                fail_at("snapshots.commitment", at(), "the leaf does not commit to a snapshot")
            })?;
        check_opening(commitment, &opening.salt, &opening.content)
            .map_err(|error| fail_at("snapshots.commitment", at(), error))?;
        if !self.by_digest.contains_key(&activated.snapshot_digest[..]) {
            let snapshot = compile(&opening.content)
                .map_err(|error| fail_at("snapshots.malformed", at(), error))?;
            self.by_digest.insert(activated.snapshot_digest.to_vec(), snapshot);
        }
        Ok(())
    }
}

fn check_files(case: &Case<'_>, snapshots: &Snapshots) -> Checked {
    let Snapshots { by_digest, withheld, erased } = snapshots;
    let mut expected = BTreeSet::new();
    for (digest, snapshot) in by_digest {
        for (name, bytes) in snapshot.files() {
            let path = format!("{}{}/{name}", layout::SNAPSHOTS, hex::encode(digest));
            match case.package.file(&path) {
                Some(found) if found[..] == bytes[..] => {}
                Some(_) => {
                    let detail =
                        "this is not what the activated snapshot says: the copy was changed";
                    return Err(fail_at("snapshots.files", path, detail));
                }
                None => return Err(fail_at("snapshots.files", path, "the file is missing")),
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
    let rest = match (withheld, erased) {
        (0, 0) => String::new(),
        _ => format!("; activations without their snapshot: {withheld} withheld, {erased} erased"),
    };
    match by_digest.len() {
        0 if rest.is_empty() => {
            Err(Stop::NotChecked("no leaf of the package activates a policy snapshot".to_owned()))
        }
        0 => Err(Stop::NotChecked(format!("no snapshot is disclosed{rest}"))),
        count => Ok(format!(
            "{count} policy snapshots, each with its digest, their files equal to the byte{rest}"
        )),
    }
}

/// Was a snapshot made for another engine than this build's?
fn other_engine(Snapshots { by_digest, .. }: &Snapshots) -> Option<Remark> {
    let others = by_digest.iter().filter(|(_, snapshot)| !snapshot.engine_matches());
    let others: Vec<String> = others
        .map(|(digest, snapshot)| format!("{} ({})", hex::encode(digest), snapshot.engine()))
        .collect();
    (!others.is_empty()).then(|| Remark {
        word: "OTHER ENGINE",
        meaning: format!(
            "these policy snapshots were made for another policy engine than this build's, {ENGINE}: {}. Their decisions \
             were performed again with this one; that it decides as the other did is not shown by that",
            others.join(", ")
        ),
    })
}
