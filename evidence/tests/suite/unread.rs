//! Nothing inside a package is looked at before its signature holds, and nothing of it commands a terminal.

use std::fs;

use evidence::Derivation;
use proto::kind::Kind;
use proto::v1::Slot;
use sha2::{Digest as _, Sha256};
use verifier::layout::{self, Files, bag};
use verifier::{Material, Outcome, Report, verify};

use crate::doctored::{
    EXPORTED, all, left_open, payload, remade, remark, resealed, verify_files, write,
};
use crate::world::key;

/// What anybody can make: manifests that fit, and a signature by a key that nobody trusts.
fn by_a_stranger(payload: Files) -> Files {
    resealed(payload, &key("packages.example", 99))
}

/// Only the first two checks say something; all others wait for the second.
#[track_caller]
fn nothing_was_read(report: &Report, codes: &[&str], reason: &str) {
    assert_eq!(report.codes(), codes, "{report}");
    assert!(!report.ok() && report.checks.len() == 21, "{report}");
    for check in &report.checks[2..] {
        let left =
            matches!(&check.outcome, Outcome::NotChecked { reason: found } if found == reason);
        assert!(left, "{check:?}\n{report}");
    }
    let required = report.checks.iter().filter(|check| check.required).count();
    assert_eq!(required, 14, "{report}");
    assert!(report.remarks.is_empty(), "{report}");
}

#[test]
fn what_a_stranger_made_is_not_read() {
    let mut payload = payload();
    for (path, bytes) in &mut payload {
        if path != layout::PARAMETERS {
            *bytes = b"PAR1 neither this nor anything else".to_vec();
        }
    }
    let report = verify_files(&by_a_stranger(payload.clone()));
    nothing_was_read(&report, &["signature.untrusted"], "not read: the signature must hold first");
    assert!(report.to_string().starts_with("What the package says of itself; nobody"), "{report}");

    let mut files = by_a_stranger(payload);
    files.insert(bag::SIGNATURE.to_owned(), EXPORTED.files[bag::SIGNATURE].clone());
    let report = verify_files(&files);
    nothing_was_read(&report, &["signature.mismatch"], "not read: the signature must hold first");
}

#[test]
fn what_was_altered_is_not_read_either() {
    let mut files = EXPORTED.files.clone();
    files.insert(layout::LEAVES.to_owned(), b"PAR1 no table".to_vec());
    let report = verify_files(&files);
    let reason = "not read: the bag must be whole and unaltered first";
    nothing_was_read(&report, &["bag.altered"], reason);
    assert!(report.subject.is_none(), "{report}");
}

/// The snapshot that decided is another, and leaf and commitment are made to fit: all but the log's own signature.
fn other_snapshot(material: &mut Material) {
    let rows = material.disclosures.iter_mut().chain(&mut material.context_disclosures);
    for row in rows.filter(|row| row.slot == Slot::Snapshot) {
        if let Some(opening) = &mut row.opening {
            opening.content = bytes::Bytes::from_static(b"no snapshot at all");
        }
    }
    let leaves = material.leaves.iter_mut();
    for row in leaves.chain(material.context.iter_mut().map(|context| &mut context.row)) {
        let mut leaf = proto::decode_entry(&row.bytes).unwrap();
        if let Some(Kind::PolicyActivated(activated)) = &mut leaf.event.kind {
            let rows = material.disclosures.iter().chain(&material.context_disclosures);
            let mut rows = rows.filter(|of| of.index == row.index && of.slot == Slot::Snapshot);
            let opening = rows.find_map(|row| row.opening.as_ref()).unwrap();
            activated.snapshot_digest = Sha256::digest(&opening.content).to_vec().into();
            for disclosure in &mut leaf.event.disclosures {
                if disclosure.slot == i32::from(Slot::Snapshot) {
                    let made = proto::disclosure::disclose(
                        Slot::Snapshot,
                        proto::v1::MediaType::Json,
                        &opening.salt,
                        &opening.content,
                    );
                    *disclosure = made;
                }
            }
            let event = proto::canonical::encode_event(&leaf.event).unwrap();
            row.bytes = proto::encode_entry(leaf.recorded_at_ns, &event);
        }
    }
}

#[test]
fn policies_that_are_not_the_logs_are_not_compiled() {
    let report = remade(other_snapshot);
    let codes = report.codes();
    assert!(codes.contains(&"range.root") && codes.contains(&"context.proof"), "{report}");
    assert!(codes.iter().all(|code| !code.starts_with("snapshots.")), "{report}");
    for id in ["snapshots", "decisions", "residue"] {
        let check = report.checks.iter().find(|check| check.id == id).unwrap();
        let reason = match &check.outcome {
            Outcome::NotChecked { reason } => reason,
            other => panic!("{id}: {other:?}"),
        };
        assert!(reason.contains("not compiled"), "{id}: {reason}");
    }
    assert!(left_open(&report, "derived").starts_with("not made again"), "{report}");
    assert!(remark(&report, "DECISIONS NOT REPEATED").is_some(), "{report}");
}

/// A report as a terminal gets it must have no character that does anything there.
#[track_caller]
fn is_harmless(text: &str) {
    let bad = |char: char| {
        (char.is_control() && char != '\n') || "\u{202e}\u{200b}\u{2066}\u{feff}".contains(char)
    };
    assert!(!text.contains(bad), "{text:?}");
}

#[test]
fn nothing_in_a_package_commands_a_terminal() {
    let text = String::from_utf8(EXPORTED.files[layout::PARAMETERS].clone()).unwrap();
    for (from, to) in [
        (r#""auditor""#, "\"auditor\u{1b}[31m\u{202e}\""),
        (r#"version": "0.1.0""#, "version\": \"0.1.0\u{9b}2J\u{1b}[HThe package is verified.\""),
        (r#""log.example/exhibit""#, "\"log.example/\u{200b}exhibit\""),
        (r#""soc2""#, "\"soc2\u{1b}[2J\u{feff}\""),
    ] {
        assert!(text.contains(from), "{from}\n{text}");
        let parsed: verifier::Parameters =
            serde_json::from_str(&text.replace(from, &to.replace('\u{1b}', "\\u001b"))).unwrap();
        let mut payload = payload();
        payload.insert(layout::PARAMETERS.to_owned(), parsed.to_json().into_bytes());
        for key in [key("packages.example", 99), EXPORTED.world.keys.signer.clone()] {
            let report = verify_files(&resealed(payload.clone(), &key));
            assert!(!report.ok(), "{report}");
            is_harmless(&report.to_string());
        }
    }
    let (_dir, path) = write(&EXPORTED.files);
    fs::write(path.join("data/\u{1b}[2J\u{202e}x"), "x").unwrap();
    let options = verifier::Options { rederive: Some(&Derivation), ..all() };
    let report = verify(&path, &EXPORTED.world.keys.trust(), &options, &mut |_| ()).unwrap();
    assert_eq!(report.codes(), ["bag.irregular"], "{report}");
    assert!(report.to_string().contains("\\u{1b}[2J\\u{202e}x"), "{report}");
    is_harmless(&report.to_string());
}
