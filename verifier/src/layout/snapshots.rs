//! Policy snapshots as files that a person can read.

use std::collections::BTreeSet;

use proto::kind::Kind;
use proto::v1::Slot;

use super::{Files, SNAPSHOTS};
use crate::compile::compile;
use crate::material::Material;

/// The files of every snapshot that is disclosed, below [`SNAPSHOTS`] and its digest.
///
/// # Errors
/// When a leaf or a disclosed snapshot cannot be read.
pub fn snapshot_files(material: &Material) -> Result<Files, String> {
    let mut files = Files::new();
    let mut seen = BTreeSet::new();
    let context = material.context.iter().map(|context| &context.row);
    for row in material.leaves.iter().chain(context) {
        let leaf = proto::decode_entry(&row.bytes)
            .map_err(|error| format!("leaf {}: {error}", row.index))?;
        if !matches!(leaf.event.kind, Some(Kind::PolicyActivated(_))) {
            continue;
        }
        let rows = material.disclosures.iter().chain(&material.context_disclosures);
        let mut of_leaf =
            rows.filter(|found| found.index == row.index && found.slot == Slot::Snapshot);
        let Some(bytes) = of_leaf.find_map(|found| found.content()) else { continue };
        // Most activations are of a snapshot that was active before.
        if !seen.insert(bytes) {
            continue;
        }
        let snapshot = compile(bytes).map_err(|error| format!("leaf {}: {error}", row.index))?;
        let folder = format!("{SNAPSHOTS}{}", hex::encode(snapshot.digest()));
        files.extend(
            snapshot.files().into_iter().map(|(name, bytes)| (format!("{folder}/{name}"), bytes)),
        );
    }
    Ok(files)
}
