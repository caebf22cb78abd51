//! Decisions that could not be performed again, and what another build decided or masked.

use controls::{ENGINE, RULES, Snapshot};
use proto::v1::Slot;
use verifier::{Outcome, Report, Status};

use crate::doctored::{EXPORTED, Exported, all, remark, verify_files, verify_with};
use crate::export::outcome;
use crate::world::{World, snapshot};

fn verified(world: World) -> Report {
    let exported = Exported::of(world);
    verify_with(&exported.files, &exported.world.keys.trust(), &all())
}

#[test]
fn decisions_that_were_not_repeated_are_counted() {
    assert_eq!(remark(&verify_files(&EXPORTED.files), "DECISIONS NOT REPEATED"), None);
    let report = verified(World::having_erased(Slot::DecisionInput));
    assert!(report.ok(), "{report}");
    let said = remark(&report, "DECISIONS NOT REPEATED").unwrap();
    assert!(said.starts_with("1 of 8 decisions") && said.contains("1 were erased"), "{said}");
}

#[test]
fn snapshots_that_are_withheld_are_not_said_to_be_none() {
    let report = verify_files(&EXPORTED.remade(|material| {
        let rows = material.disclosures.iter_mut().chain(&mut material.context_disclosures);
        for row in rows.filter(|row| row.slot == Slot::Snapshot) {
            (row.status, row.opening) = (Status::Withheld, None);
        }
    }));
    let Outcome::NotChecked { reason } = outcome(&report, "snapshots") else { panic!("{report}") };
    assert!(reason.contains("3 withheld, 0 erased"), "{report}");
}

#[test]
fn another_engine_is_named() {
    let own = snapshot(false);
    let text = String::from_utf8(own.bytes().to_vec()).unwrap();
    assert!(text.contains(ENGINE), "{text}");
    let other = Snapshot::parse(text.replace(ENGINE, "cedar-policy 9.99.9").as_bytes()).unwrap();
    let report = verified(World::sealed(&other));
    assert!(report.ok(), "{report}");
    let said = remark(&report, "OTHER ENGINE").unwrap();
    assert!(said.contains("cedar-policy 9.99.9") && said.contains(ENGINE), "{said}");
    assert_eq!(remark(&verified(World::sealed(&own)), "OTHER ENGINE"), None);
}

#[test]
fn a_value_left_unmasked_fails_and_under_other_rules_is_named() {
    let message = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"ask bob@example.com"}}"#;
    let own = snapshot(false);
    let report = verified(World::unmasked(&own, message));
    assert_eq!(report.codes(), ["residue.found"], "{report}");
    assert_eq!(remark(&report, "OTHER MASKING"), None);

    let text = String::from_utf8(own.bytes().to_vec()).unwrap();
    let other = Snapshot::parse(text.replace(RULES, "exhibit-masking 0").as_bytes()).unwrap();
    let report = verified(World::unmasked(&other, message));
    assert!(report.ok(), "{report}");
    let said = remark(&report, "OTHER MASKING").unwrap();
    assert!(said.starts_with("1 messages") && said.contains("exhibit-masking 0"), "{said}");
    assert!(said.contains("email") && !said.contains("bob"), "{said}");
    assert_eq!(remark(&verified(World::sealed(&other)), "OTHER MASKING"), None);
}
