//! What became of a commitment, as a JSON file tells it.

use proto::v1::Slot;
use serde_json::Value;
use verifier::Material;

/// What was disclosed, as JSON or text; `withheld` or `erased` when it was not; null when nothing was committed to.
pub(crate) fn disclosed(material: &Material, index: u64, slot: Slot) -> Value {
    let tables = [&material.disclosures, &material.context_disclosures];
    let found = tables.into_iter().find_map(|rows| {
        // Rows ascend by index and slot.
        let at = rows.binary_search_by_key(&(index, slot), |row| (row.index, row.slot)).ok()?;
        rows.get(at)
    });
    let Some(row) = found else { return Value::Null };
    match row.content() {
        Some(bytes) => serde_json::from_slice(bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned())),
        None => Value::String(row.status.as_str().to_owned()),
    }
}
