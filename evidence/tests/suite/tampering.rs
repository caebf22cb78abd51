//! A package whose files were tampered with: each way is found, and says what it is.

use std::fs;
use std::path::Path;

use verifier::layout::bag::SIGNATURE;
use verifier::layout::{self, Files};
use verifier::{Options, Outcome, Report, verify};

use crate::doctored::{
    EXPORTED, Exported, has, insider, left_open, payload, resealed, verify_files, verify_with,
    without_line, write,
};
use crate::export::{check, outcome};
use crate::world::key;

#[test]
fn one_flipped_byte_in_each_file_is_found() {
    let Exported { world, files, .. } = &*EXPORTED;
    let (_dir, path) = write(files);
    let options = Options::default();
    for (name, bytes) in files {
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            if bytes.is_empty() {
                continue;
            }
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(path.join(name), &changed).unwrap();
            let report = match verify(&path, &world.keys.trust(), &options, &mut |_| ()) {
                Ok(report) => report,
                Err(error) => panic!("{name}: {error}"),
            };
            let expected = if name == SIGNATURE {
                report.codes().iter().any(|code| code.starts_with("signature."))
            } else if name == "tagmanifest-sha256.txt" {
                report.codes().contains(&"signature.mismatch")
            } else {
                // The first wrong thing is this very file.
                matches!(outcome(&report, "bag"), Outcome::Fail { at: Some(at), .. } if at == name)
            };
            assert!(expected && !report.ok(), "{name}, byte {at}\n{report}");
        }
        fs::write(path.join(name), bytes).unwrap();
    }
}

#[test]
fn files_that_are_missing_or_too_many_are_named() {
    for name in EXPORTED.files.keys().filter(|name| *name != "bagit.txt") {
        let mut files = EXPORTED.files.clone();
        files.remove(name);
        let report = verify_files_quickly(&files);
        let code = if name == SIGNATURE { "signature.missing" } else { "bag.missing" };
        has(&report, code);
    }
    let mut files = EXPORTED.files.clone();
    files.insert("data/criteria/CC6.1/extra.csv".into(), b"x".to_vec());
    has(&verify_files_quickly(&files), "bag.stray");
    // Named in the manifests, but nothing that the material gives.
    let mut payload = payload();
    payload.insert("data/criteria/CC6.1/extra.csv".into(), b"x".to_vec());
    has(&verify_files(&resealed(payload.clone(), &EXPORTED.world.keys.signer)), "derived.surplus");
    payload.remove("data/criteria/CC6.1/extra.csv");
    payload.remove("data/report.html");
    has(&verify_files(&resealed(payload, &EXPORTED.world.keys.signer)), "derived.missing");
}

fn verify_files_quickly(files: &Files) -> Report {
    verify_with(files, &EXPORTED.world.keys.trust(), &Options::default())
}

#[test]
fn links_are_not_followed() {
    let (_dir, path) = write(&EXPORTED.files);
    fs::remove_file(path.join("data/README.md")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join("data/README.md")).unwrap();
    let report = check(&EXPORTED.world, &path);
    has(&report, "bag.irregular");
}

#[test]
fn manifests_that_fit_do_not_help_without_the_key() {
    let dropped = |files: &mut Files| {
        let list = files.get_mut("data/criteria/CC7.2/exceptions.csv").unwrap();
        *list = without_line(list, 1);
    };
    // Not signed again.
    let mut payload = payload();
    dropped(&mut payload);
    let mut files = resealed(payload.clone(), &EXPORTED.world.keys.signer);
    files.insert(SIGNATURE.into(), EXPORTED.files[SIGNATURE].clone());
    has(&verify_files(&files), "signature.mismatch");
    // Signed by somebody else.
    let files = resealed(payload, &key("packages.example", 99));
    let report = verify_files(&files);
    has(&report, "signature.untrusted");
    // And what a stranger asks is not even run.
    assert_eq!(left_open(&report, "derived"), "not read: the signature must hold first");
}

#[test]
fn truncated_and_foreign_files_are_named() {
    let report = insider(layout::LEAVES, |bytes| bytes[..bytes.len() / 2].to_vec());
    has(&report, "leaves.malformed");
    let report = insider(layout::DISCLOSURES, |bytes| bytes[..bytes.len() - 9].to_vec());
    has(&report, "disclosures.malformed");
    let report = insider(layout::EVENTS_PARQUET, |bytes| bytes[..bytes.len() / 2].to_vec());
    has(&report, "events.malformed");
    let report = insider(layout::LEAVES, |_| EXPORTED.files[layout::DISCLOSURES].clone());
    has(&report, "leaves.malformed");
    let report = insider(layout::RANGE_PROOF, |mut text| {
        text.extend_from_slice(b"x");
        text
    });
    has(&report, "range.malformed");
    let report = insider(layout::PARAMETERS, |text| {
        String::from_utf8(text).unwrap().replace("\"open\": false", "\"open\":  false").into_bytes()
    });
    has(&report, "parameters.malformed");
}

#[test]
fn something_else_is_no_package() {
    let trust = EXPORTED.world.keys.trust();
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        verify(path, &trust, &Options::default(), &mut |_| ()).unwrap_err().to_string()
    };
    assert!(open(&dir.path().join("nowhere")).contains("no package at"));
    assert!(open(dir.path()).contains("bagit.txt"));
    let file = dir.path().join("x.zip");
    fs::write(&file, b"PK not really").unwrap();
    assert!(open(&file).contains("ZIP"));
}
