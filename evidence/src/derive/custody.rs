//! Who exported and read the evidence: all accesses that the range holds, and later ones as far as they are included.

use proto::entry::Leaf;
use proto::kind::Kind;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{EvidenceAccessed, Slot};
use serde::Serialize;
use serde_json::Value;
use verifier::Material;

use super::{Decoded, disclosed, time_text};

/// A line of `custody/log.ndjson`.
#[derive(Serialize)]
struct Line {
    leaf_index: u64,
    recorded_at: String,
    door: String,
    result: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    role: String,
    checkpoint_size: u64,
    first_index: u64,
    end_index: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    output_digest: String,
    principal: Value,
    query: Value,
}

/// How many accesses there are. Those before the range are left out: they cannot have read any of it.
pub(super) fn file(
    material: &Material,
    decoded: &Decoded,
    put: &mut impl FnMut(&str, Vec<u8>),
) -> usize {
    let start = material.parameters.range.start;
    let mut leaves: Vec<&(u64, Leaf)> = decoded.leaves.iter().chain(&decoded.context).collect();
    leaves.sort_by_key(|(index, _)| *index);
    let mut lines = Vec::new();
    let mut accesses = 0;
    for (index, leaf) in leaves {
        let Some(Kind::EvidenceAccessed(access)) = &leaf.event.kind else { continue };
        if *index < start {
            continue;
        }
        accesses += 1;
        let line = line(material, *index, leaf.recorded_at_ns, access);
        // Strings, numbers and JSON values always serialize, and memory takes them.
        serde_json::to_writer(&mut lines, &line).unwrap_or_default();
        lines.push(b'\n');
    }
    put("custody/log.ndjson", lines);
    accesses
}

fn line(material: &Material, index: u64, recorded_at_ns: u64, access: &EvidenceAccessed) -> Line {
    let EvidenceAccessed { role, checkpoint_size, first_index, end_index, output_digest, .. } =
        access;
    let door = Door::try_from(access.door).unwrap_or_default().as_str_name();
    let result = Outcome::try_from(access.result).unwrap_or_default().as_str_name();
    Line {
        leaf_index: index,
        recorded_at: time_text(recorded_at_ns),
        door: door.trim_start_matches("DOOR_").to_ascii_lowercase(),
        result: result.trim_start_matches("RESULT_").to_ascii_lowercase(),
        role: role.clone(),
        checkpoint_size: *checkpoint_size,
        first_index: *first_index,
        end_index: *end_index,
        output_digest: hex::encode(output_digest),
        principal: disclosed(material, index, Slot::Principal),
        query: disclosed(material, index, Slot::Query),
    }
}
