//! Which events no signature of their recorder covers.

use proto::kind::Kind;

use crate::doctored::{EXPORTED, Exported, all, remark, verify_files, verify_with};
use crate::export::outcome;
use crate::world::{World, snapshot};

#[test]
fn events_after_the_last_seal_are_counted() {
    // The gateway stops without a seal after its last four events.
    let report = verify_files(&EXPORTED.files);
    let said = remark(&report, "UNSEALED").unwrap();
    let leaves = EXPORTED.material.leaves.len();
    assert!(said.starts_with(&format!("4 of {leaves} events")), "{report}");
}

#[test]
fn a_log_that_is_sealed_to_its_end_has_no_such_remark() {
    let exported = Exported::of(World::sealed(&snapshot(false)));
    let trust = exported.world.keys.trust();
    let report = verify_with(&exported.files, &trust, &all());
    assert!(report.ok(), "{report}");
    assert_eq!(remark(&report, "UNSEALED"), None, "{report}");
}

#[test]
fn that_no_seal_is_shown_is_said_as_that() {
    let exported = Exported::of(World::restarted(|epoch, head| (epoch, head)));
    let is_seal = |bytes: &bytes::Bytes| {
        let leaf = proto::decode_entry(bytes).unwrap();
        matches!(leaf.event.kind, Some(Kind::RecorderSeal(_)))
    };
    // A range that ends before the first seal, and no context: all that a package of it could show.
    let first = exported.material.leaves.iter().find(|row| is_seal(&row.bytes)).unwrap().index;
    let files = exported.remade(|material| {
        material.leaves.retain(|row| row.index < first);
        material.disclosures.retain(|row| row.index < first);
        (material.context, material.context_disclosures) = (vec![], vec![]);
        (material.parameters.range.end, material.parameters.open) = (first, true);
        material.proof = evidence::Source::range_proof(&exported.world, 0..first).unwrap();
    });
    let report = verify_with(&files, &exported.world.keys.trust(), &all());
    let said = format!("{:?}", outcome(&report, "seals"));
    assert!(said.contains("the package shows no seal of a recorder"), "{report}");
    let said = remark(&report, "UNSEALED").unwrap();
    assert!(said.starts_with(&format!("{first} of {first} events")), "{report}");
}
