//! A package that was doctored by somebody who holds its signing key: each way is found, and says what it is.

use bytes::Bytes;
use proto::kind::Kind;
use proto::v1::Slot;
use tlog::SigningKey;
use verifier::layout::{self, tables};
use verifier::{LeafRow, Material, Options, Outcome, Status, Trust, verify};

use crate::doctored::{
    EXPORTED, Exported, has, insider, payload, remade, resealed, verify_files, without_line, write,
};
use crate::export::outcome;
use crate::world::key;

#[test]
fn a_dropped_row_is_found_even_when_signed_again() {
    for list in ["CC6.1/population", "CC6.1/exceptions", "CC7.2/exceptions", "PI1.3/population"] {
        let report = insider(&format!("data/criteria/{list}.csv"), |text| without_line(&text, 1));
        assert_eq!(report.codes(), ["derived.differs"], "{report}");
    }
    let report = insider(layout::EVENTS_NDJSON, |text| without_line(&text, 4));
    has(&report, "events.count");
    let report = insider(layout::EVENTS_PARQUET, |bytes| {
        let batches = tables::read_batches(&Bytes::from(bytes)).unwrap();
        tables::write_batch(&batches[0].slice(0, batches[0].num_rows() - 1)).unwrap()
    });
    has(&report, "events.count");
    let report = insider(layout::EVENTS_NDJSON, |text| {
        String::from_utf8(text)
            .unwrap()
            .replacen("\"verdict\":\"block\"", "\"verdict\":\"allow\"", 1)
            .into_bytes()
    });
    has(&report, "events.differs");
}

/// Whoever keeps every size is found by the bytes.
#[test]
fn a_changed_cell_is_found_even_when_signed_again() {
    let changed = |mut text: Vec<u8>| {
        let digit = text.iter_mut().rfind(|byte| byte.is_ascii_digit()).unwrap();
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        text
    };
    for file in ["CC6.1/population.csv", "CC7.2/exceptions.csv"] {
        let report = insider(&format!("data/criteria/{file}"), changed);
        assert_eq!(report.codes(), ["derived.differs"], "{report}");
    }
}

#[test]
fn a_removed_leaf_is_found() {
    let middle = EXPORTED.material.leaves.len() / 2;
    let report = remade(|material| {
        let index = material.leaves.remove(middle).index;
        material.disclosures.retain(|row| row.index != index);
    });
    has(&report, "range.leaf_count");
    has(&report, "chains.gap");
    // The numbers adjusted: the root tells.
    let report = remade(|material| {
        material.leaves.pop();
        let last = material.leaves.last().unwrap().index;
        material.disclosures.retain(|row| row.index <= last);
        material.parameters.range.end -= 1;
        material.proof.end -= 1;
    });
    assert!(
        !report.ok() && report.codes().iter().any(|code| code.starts_with("range.")),
        "{report}"
    );
}

#[test]
fn two_swapped_leaves_are_found() {
    let report = remade(|material| material.leaves.swap(3, 4));
    has(&report, "leaves.order");
    let report = remade(|material| {
        let (one, two) = (material.leaves[3].bytes.clone(), material.leaves[4].bytes.clone());
        (material.leaves[3].bytes, material.leaves[4].bytes) = (two, one);
    });
    has(&report, "range.root");
    has(&report, "leaves.time");
}

#[test]
fn an_added_or_altered_leaf_is_found() {
    let report = remade(|material| {
        let mut row = material.leaves.last().unwrap().clone();
        row.index += 1;
        material.leaves.push(row);
    });
    has(&report, "range.leaf_count");
    let report = remade(|material| {
        let row: &mut LeafRow = &mut material.leaves[5];
        let mut bytes = row.bytes.to_vec();
        bytes.extend_from_slice(&[0xf8, 0x7f, 0x01]);
        row.bytes = bytes.into();
    });
    has(&report, "leaves.not_canonical");
    has(&report, "range.root");
}

#[test]
fn wrong_keys_are_named() {
    let Exported { world, files, .. } = &*EXPORTED;
    let (_dir, path) = write(files);
    let with = |from: &str, to: String| {
        let text = world.keys.trust_text();
        assert!(text.contains(from));
        let trust = Trust::parse(&text.replace(from, &to)).unwrap();
        verify(&path, &trust, &Options::default(), &mut |_| ()).unwrap()
    };
    let vkey = |key: &SigningKey| key.verifying_key().to_string();
    let report = with(&vkey(&world.keys.signer), vkey(&key("packages.example", 66)));
    has(&report, "signature.untrusted");
    let report = with(&vkey(&world.keys.log), vkey(&key(crate::world::ORIGIN, 66)));
    has(&report, "checkpoint.untrusted");
    let report = with(&vkey(&world.keys.gateway), vkey(&key("gateway-1", 66)));
    has(&report, "seals.signature");
    let report = with(&vkey(&world.keys.gateway), vkey(&key("gateway-2", 66)));
    has(&report, "recorders.unknown");
}

#[test]
fn a_forged_checkpoint_is_found() {
    let report = remade(|material| {
        material.proof.checkpoint = material.proof.checkpoint.replacen("— ", "— x", 1);
    });
    has(&report, "checkpoint.untrusted");
    let report = insider(layout::CHECKPOINT, |_| EXPORTED.world.checkpoint_at(9).1.into_bytes());
    assert!(
        !report.ok() && report.codes().iter().any(|code| code.starts_with("checkpoint.")),
        "{report}"
    );
}

#[test]
fn a_doctored_policy_is_found() {
    let path = EXPORTED.files.keys().find(|path| path.ends_with("policies/base.cedar")).unwrap();
    let doctor = |text: Vec<u8>| {
        String::from_utf8(text).unwrap().replace("drop_database", "drop_nothing").into_bytes()
    };
    // The readable copy only.
    let report = insider(path, doctor);
    has(&report, "snapshots.files");
    has(&report, "derived.differs");
    // The disclosed snapshot itself: its commitment, and the digest in the leaf, stand against it.
    let report = remade(|material| {
        for row in material.disclosures.iter_mut().chain(&mut material.context_disclosures) {
            if let (Slot::Snapshot, Some(opening)) = (row.slot, &mut row.opening) {
                opening.content = doctor(opening.content.to_vec()).into();
            }
        }
    });
    has(&report, "disclosures.mismatch");
    has(&report, "snapshots.digest");
    // The digest in the leaf as well: then it is not the log's leaf.
    let report = remade(|material| {
        let row = material.leaves.iter_mut().find(|row| {
            let leaf = proto::decode_entry(&row.bytes).unwrap();
            matches!(leaf.event.kind, Some(Kind::PolicyActivated(_)))
        });
        let row = row.unwrap();
        let mut leaf = proto::decode_entry(&row.bytes).unwrap();
        if let Some(Kind::PolicyActivated(activated)) = &mut leaf.event.kind {
            activated.snapshot_digest = Bytes::from_static(&[9; 32]);
        }
        let event = proto::canonical::encode_event(&leaf.event).unwrap();
        row.bytes = proto::encode_entry(leaf.recorded_at_ns, &event);
    });
    has(&report, "range.root");
    has(&report, "chains.hash");
}

#[test]
fn disclosures_that_do_not_fit_are_found() {
    let message = |material: &Material| {
        let rows = material.disclosures.iter();
        rows.clone().position(|row| row.slot == Slot::Message && row.opening.is_some()).unwrap()
    };
    let report = remade(|material| {
        let at = message(material);
        let opening = material.disclosures[at].opening.as_mut().unwrap();
        opening.content = Bytes::from(opening.content.to_vec().to_ascii_uppercase());
    });
    has(&report, "disclosures.mismatch");
    let report = remade(|material| {
        let at = message(material);
        (material.disclosures[at].status, material.disclosures[at].opening) =
            (Status::Erased, None);
    });
    has(&report, "disclosures.not_erased");
    let report = remade(|material| {
        let at = message(material);
        (material.disclosures[at].status, material.disclosures[at].opening) =
            (Status::Withheld, None);
    });
    has(&report, "disclosures.withheld");
    let report = remade(|material| {
        let at = message(material);
        material.disclosures.remove(at);
    });
    has(&report, "disclosures.missing_row");
    let report = remade(|material| {
        let row = material.disclosures.last().unwrap().clone();
        material.disclosures.push(row);
    });
    has(&report, "disclosures.surplus");
}

#[test]
fn context_without_its_proof_is_found() {
    let report = remade(|material| {
        let proof = material.context[0].proof.clone();
        material.context[1].proof = proof;
    });
    has(&report, "context.proof");
    let path = EXPORTED.files.keys().find(|path| path.ends_with(".tlog-proof")).unwrap().clone();
    let mut payload = payload();
    payload.remove(&path);
    has(&verify_files(&resealed(payload, &EXPORTED.world.keys.signer)), "context.missing");
}

#[test]
fn a_narrower_range_does_not_pass_for_the_period() {
    let world = &EXPORTED.world;
    // The first call of the period is left out, with proofs that fit.
    let report = remade(|material| {
        let start = material.parameters.range.start + 2;
        let end = material.parameters.range.end;
        material.leaves.retain(|row| row.index >= start);
        material.disclosures.retain(|row| row.index >= start);
        material.parameters.range.start = start;
        material.proof = evidence::Source::range_proof(world, start..end).unwrap();
    });
    has(&report, "period.start");
    let report = remade(|material| {
        let (start, end) = (material.parameters.range.start, material.parameters.range.end - 1);
        material.leaves.retain(|row| row.index < end);
        material.disclosures.retain(|row| row.index < end);
        material.parameters.range.end = end;
        material.proof = evidence::Source::range_proof(world, start..end).unwrap();
    });
    has(&report, "period.end");
}

#[test]
fn parameters_that_were_changed_do_not_fit() {
    let report = remade(|material| material.parameters.role = "compliance".into());
    has(&report, "disclosures.not_allowed");
    let report = remade(|material| material.parameters.to += jiff::SignedDuration::from_hours(24));
    has(&report, "period.end");
    let report = remade(|material| material.parameters.mapping.sha256 = "0".repeat(64));
    has(&report, "mapping.differs");
    let report = remade(|material| material.parameters.mapping.version = "7".into());
    assert!(!report.ok());
    assert!(matches!(outcome(&report, "derived"), Outcome::NotChecked { .. }), "{report}");
    let report = remade(|material| {
        material.parameters.signer = key("packages.example", 66).verifying_key().to_string();
    });
    has(&report, "signature.other_signer");
    let report = remade(|material| material.parameters.origin = "other.example".into());
    has(&report, "checkpoint.differs");
}

/// Another mapping of the same material, named by the parameters as it should be.
fn with_mapping(material: &mut Material, text: &str) {
    material.mapping = text.to_owned();
    material.parameters.mapping = evidence::Mapping::parse(text).unwrap().identity();
}

#[test]
fn a_package_keeps_its_own_mapping() {
    let own = evidence::Mapping::soc2();
    let softer = evidence::SOC2
        .replace("'block', 'hold'", "'hold'")
        .replace("version: \"2\"", "version: \"3\"");
    assert_ne!(softer, evidence::SOC2);
    let mut theirs = String::new();
    let report = remade(|material| {
        with_mapping(material, &softer);
        theirs.clone_from(&material.parameters.mapping.sha256);
    });
    // It still proves what it says, and says by what; the reader is told that it is not what this build would say.
    assert!(report.ok(), "{report}");
    let remark = report.remarks.iter().find(|remark| remark.word == "OTHER MAPPING").unwrap();
    assert!(remark.meaning.contains(&theirs) && remark.meaning.contains(&own.sha256), "{report}");
    let same = verify_files(&EXPORTED.files);
    assert!(same.remarks.iter().all(|remark| remark.word != "OTHER MAPPING"), "{same}");
    // The file alone.
    let report = insider(layout::MAPPING, |_| softer.clone().into_bytes());
    has(&report, "mapping.differs");
}
