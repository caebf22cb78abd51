//! Was anything left unmasked?

use proto::kind::{Kind, call_of};
use proto::v1::Slot;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::case::Case;
use super::snapshots::Snapshots;
use crate::report::{Checked, Stop, fail_at};

/// The snapshot's own detectors find nothing in what was recorded as masked.
pub(super) fn check(case: &Case<'_>, snapshots: &Snapshots) -> Checked {
    let disclosures = case.all_disclosures()?;
    let leaves = case.all_leaves()?;
    let (mut scanned, mut unseen, mut unruled) = (0, 0, 0);
    for row in
        disclosures.rows().filter(|row| matches!(row.slot, Slot::Message | Slot::DecisionInput))
    {
        let Some(content) = row.content() else {
            unseen += 1;
            continue;
        };
        let decided_by = leaves
            .get(&row.index)
            .and_then(|decoded| decoded.leaf.event.kind.as_ref().and_then(call_of))
            .map(|call| call.snapshot_digest.clone())
            .filter(|digest| !digest.is_empty());
        let active = || {
            leaves.range(..row.index).rev().find_map(|(_, decoded)| {
                match &decoded.leaf.event.kind {
                    Some(Kind::PolicyActivated(activated)) => {
                        Some(activated.snapshot_digest.clone())
                    }
                    _ => None,
                }
            })
        };
        let Some(snapshot) = decided_by.or_else(active).and_then(|digest| snapshots.find(&digest))
        else {
            unruled += 1;
            continue;
        };
        let found = if row.slot == Slot::DecisionInput {
            // Who called is exempt from masking; what was called with is not.
            arguments_of(content)
                .map_or_else(|| snapshot.residue(content), |part| snapshot.residue(&part))
        } else {
            snapshot.residue(content)
        };
        if let Some(first) = found.first() {
            let at = format!("leaf {}, {}", row.index, row.slot_name());
            let detail =
                format!("the detector {} finds a value that should have been masked", first.rule);
            return Err(fail_at("residue.found", at, detail));
        }
        scanned += 1;
    }
    if scanned == 0 {
        return Err(Stop::NotChecked(format!(
            "no message or input could be searched ({unseen} withheld or erased, {unruled} without a snapshot)"
        )));
    }
    Ok(format!(
        "{scanned} of {} recorded messages and inputs searched, nothing left unmasked; {unseen} withheld or erased, \
         {unruled} without a snapshot",
        scanned + unseen + unruled
    ))
}

/// The members of a decision input in which a caller's text stands.
fn arguments_of(input: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize, serde::Serialize)]
    struct Part {
        arguments: Box<RawValue>,
        #[serde(default)]
        name: Option<String>,
    }
    let part: Part = serde_json::from_slice(input).ok()?;
    serde_json::to_vec(&part).ok()
}
