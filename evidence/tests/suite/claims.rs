//! What a package says of itself beside its leaves: period, role, tag files.

use proto::Role;
use verifier::layout::bag::{SIGNATURE, TAG_MANIFEST, manifest};
use verifier::layout::{Files, sshsig};

use crate::doctored::{
    EXPORTED, Exported, all, has, payload, remade, resealed, verify_files, verify_with,
};
use crate::world::World;

#[test]
fn an_open_period_is_one_that_the_leaves_do_not_close() {
    has(&remade(|material| material.parameters.open = true), "period.open");
    // And the other way round.
    let world = World::new();
    let mut request = world.request_of(Role::Auditor);
    request.to += jiff::SignedDuration::from_hours(8760);
    request.open = true;
    let exported = Exported::as_asked(world, request);
    let trust = exported.world.keys.trust();
    let same = verify_with(&exported.remade(|_| ()), &trust, &all());
    assert!(same.ok(), "{same}");
    let closed = exported.remade(|material| material.parameters.open = false);
    has(&verify_with(&closed, &trust, &all()), "period.open");
}

#[test]
fn a_role_that_may_not_export_has_no_package() {
    for role in ["siem", "approver", "follower", "owner", ""] {
        let report = remade(|material| {
            material.parameters.role = role.to_owned();
            for row in material.disclosures.iter_mut().chain(&mut material.context_disclosures) {
                (row.status, row.opening) = (verifier::Status::Withheld, None);
            }
        });
        has(&report, "parameters.role");
    }
}

#[test]
fn times_that_no_leaf_can_have_are_refused() {
    for to in ["2300-01-01T00:00:00Z", "9999-12-30T00:00:00Z"] {
        let report = remade(|material| material.parameters.to = to.parse().unwrap());
        has(&report, "parameters.malformed");
    }
    let report =
        remade(|material| material.parameters.from = "1969-12-31T23:59:59Z".parse().unwrap());
    has(&report, "parameters.malformed");
}

/// A tag manifest that names one more file, signed by the right key.
fn with_tag_file(path: &str, name_it: bool) -> Files {
    let signer = &EXPORTED.world.keys.signer;
    let mut files = resealed(payload(), signer);
    files.insert(path.to_owned(), b"0 exceptions".to_vec());
    let is_tag = |of: &str| {
        !of.starts_with("data/")
            && ![TAG_MANIFEST, SIGNATURE].contains(&of)
            && (name_it || of != path)
    };
    let tags = files.iter().filter(|(of, _)| is_tag(of));
    let text = manifest(&tags.map(|(of, bytes)| (of.clone(), bytes.clone())).collect());
    files.insert(SIGNATURE.to_owned(), sshsig::sign(signer, text.as_bytes()).unwrap().into_bytes());
    files.insert(TAG_MANIFEST.to_owned(), text.into_bytes());
    files
}

#[test]
fn a_package_has_five_tag_files_and_no_other() {
    for path in ["SUMMARY.html", "fetch.txt", "manifest-md5.txt", "meta/SUMMARY.html"] {
        has(&verify_files(&with_tag_file(path, true)), "bag.manifest");
        has(&verify_files(&with_tag_file(path, false)), "bag.stray");
    }
}
