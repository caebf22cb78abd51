//! From a log to a verified package, and the periods that have none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use evidence::{Derivation, ExportRequest, write_zip};
use proto::Role;
use sha2::{Digest as _, Sha256};
use verifier::{Options, Outcome, Report, verify};

use crate::world::{Notebook, World, key};

pub(crate) fn check(world: &World, package: &Path) -> Report {
    let options = Options { since: None, rederive: Some(&Derivation) };
    verify(package, &world.keys.trust(), &options, &mut |_| ()).unwrap()
}

pub(crate) fn outcome<'r>(report: &'r Report, id: &str) -> &'r Outcome {
    &report.checks.iter().find(|check| check.id == id).unwrap().outcome
}

fn detail<'r>(report: &'r Report, id: &str) -> &'r str {
    match outcome(report, id) {
        Outcome::Pass { detail } => detail,
        other => panic!("{id}: {other:?}\n{report}"),
    }
}

pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

#[test]
fn a_package_verifies() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let notebook = Notebook::default();
    let exported = world.export_into(&notebook, world.request_of(Role::Auditor), &package).unwrap();
    let report = check(&world, &package);
    println!("{report}");
    assert!(report.ok(), "{report}");
    let words: Vec<_> = report.remarks.iter().map(|remark| remark.word).collect();
    assert_eq!(words, ["UNWITNESSED", "TIME UNATTESTED"]);
    // Every check but those that need what was not given.
    for check in &report.checks {
        let open = ["consistency", "time"].contains(&check.id);
        assert_eq!(matches!(check.outcome, Outcome::Pass { .. }), !open, "{check:?}");
    }
    assert!(detail(&report, "decisions").starts_with("8 of 8"), "{report}");
    assert!(detail(&report, "inputs").contains("1 without their message"), "{report}");
    assert!(detail(&report, "disclosures").contains("1 erased"), "{report}");

    let release = notebook.releases.lock().unwrap().pop().unwrap();
    let tag_manifest = fs::read(package.join("tagmanifest-sha256.txt")).unwrap();
    assert_eq!(release.digest[..], Sha256::digest(tag_manifest)[..]);
    assert_eq!(release.digest, exported.digest);
    // One planted exception, or more, for each criterion.
    let counts: BTreeMap<_, _> = exported.row_counts.into_iter().collect();
    assert_eq!((counts["CC6.1/population"], counts["CC6.1/exceptions"]), (8, 1));
    assert_eq!((counts["CC6.3/population"], counts["CC6.3/exceptions"]), (3, 1));
    assert_eq!(counts["CC7.2/exceptions"], 4);
    assert_eq!((counts["PI1.3/population"], counts["PI1.3/exceptions"]), (7, 2));
}

#[test]
fn the_same_material_is_the_same_bytes() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    world.export(&one);
    World::new().export(&two);
    assert_eq!(files(&one), files(&two));
    let zips = ["one.zip", "two.zip"].map(|name| dir.path().join(name));
    write_zip(&one, "exhibit-package", &zips[0]).unwrap();
    write_zip(&two, "exhibit-package", &zips[1]).unwrap();
    assert_eq!(fs::read(&zips[0]).unwrap(), fs::read(&zips[1]).unwrap());
    assert!(check(&world, &zips[0]).ok());
}

#[test]
fn a_role_gets_what_it_may_see() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export_as(world.request_of(Role::Compliance), &package).unwrap();
    let report = check(&world, &package);
    assert!(report.ok(), "{report}");
    assert!(detail(&report, "disclosures").contains("14 withheld"), "{report}");
    assert!(detail(&report, "decisions").starts_with("8 of 8"), "{report}");
    let all: Vec<u8> = files(&package).into_values().flatten().collect();
    assert!(!String::from_utf8_lossy(&all).contains("\"jsonrpc\""));
}

#[test]
fn periods_without_a_package_are_refused() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("package");
    let code = |change: &dyn Fn(&mut ExportRequest)| {
        let mut request = world.request_of(Role::Auditor);
        change(&mut request);
        let error = world.export_as(request, &place).unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{error}");
        (error.code(), error.to_string())
    };
    let year = jiff::SignedDuration::from_hours(8760);
    assert_eq!(code(&|r| std::mem::swap(&mut r.from, &mut r.to)).0, "period_reversed");
    assert_eq!(code(&|r| r.to = r.from).0, "period_reversed");
    assert_eq!(code(&|r| (r.from, r.to) = (r.from - year, r.to - year)).0, "period_empty");
    assert_eq!(code(&|r| (r.from, r.to) = (r.from + year, r.to + year)).0, "period_empty");
    let (code_, text) = code(&|r| r.to += year);
    assert_eq!(code_, "period_not_closed");
    assert!(text.contains("--open"), "{text}");
    assert_eq!(code(&|r| r.role = Role::Siem).0, "role_required");
    assert_eq!(code(&|r| r.criteria = vec!["CC9.9".into()]).0, "criterion_unknown");
    let custom =
        |id: &str, sql: &str| vec![verifier::CustomQuery { id: id.into(), sql: sql.into() }];
    assert_eq!(code(&|r| r.custom_queries = custom("../x", "SELECT 1")).0, "custom_query");
    assert_eq!(code(&|r| r.custom_queries = custom("x", "DROP TABLE events")).0, "custom_query");

    let broken = Notebook { broken: true, ..Notebook::default() };
    let error = world.export_into(&broken, world.request_of(Role::Auditor), &place).unwrap_err();
    assert_eq!(error.code(), "access_not_recorded");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::create_dir(&place).unwrap();
    let error = world.export_as(world.request_of(Role::Auditor), &place).unwrap_err();
    assert_eq!(error.code(), "place_taken");
}

#[test]
fn an_open_period_says_so() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let mut request = world.request_of(Role::Auditor);
    request.to += jiff::SignedDuration::from_hours(8760);
    request.open = true;
    world.export_as(request, &package).unwrap();
    let report = check(&world, &package);
    assert!(report.ok(), "{report}");
    assert!(report.remarks.iter().any(|remark| remark.word == "OPEN PERIOD"));
    let page = fs::read_to_string(package.join("data/report.html")).unwrap();
    assert!(page.contains("OPEN PERIOD"));
}

#[test]
fn a_custom_query_is_marked() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let mut request = world.request_of(Role::Auditor);
    let sql = "SELECT leaf_index, kind FROM events WHERE recorded_at >= :from ORDER BY leaf_index";
    request.custom_queries = vec![verifier::CustomQuery { id: "mine".into(), sql: sql.into() }];
    world.export_as(request, &package).unwrap();
    let report = check(&world, &package);
    assert!(report.ok(), "{report}");
    assert!(detail(&report, "derived").contains("CUSTOM"));
    assert!(package.join("data/criteria/custom-mine/population.csv").exists());
}

#[test]
fn what_callers_wrote_harms_nobody() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    let list = fs::read_to_string(package.join("data/criteria/CC6.1/population.csv")).unwrap();
    assert!(list.contains(",'=cmd|' /C calc'!A0,"), "{list}");
    let page = fs::read_to_string(package.join("data/report.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
    assert!(!page.to_lowercase().contains("compliant"));
    assert!(page.contains("1 exceptions of 8"), "{page}");
}

#[test]
fn a_kept_checkpoint_binds_the_log() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let exported = world.export(&package);
    let verify_since = |since: String| {
        let options = Options { since: Some(since), rederive: Some(&Derivation) };
        verify(&package, &world.keys.trust(), &options, &mut |_| ()).unwrap()
    };
    let inside = exported.parameters.range.start + 3;
    let report = verify_since(world.checkpoint_at(inside).1);
    assert!(report.ok(), "{report}");
    // The package cannot bridge from a size left of its range: that must not pass for consistent.
    let report = verify_since(world.checkpoint_at(2).1);
    assert!(!report.ok());
    assert!(matches!(outcome(&report, "consistency"), Outcome::NotChecked { .. }));
    let (mut forked, _) = world.checkpoint_at(inside);
    forked.root = tlog::leaf_hash(b"another history");
    let report = verify_since(forked.sign(&world.keys.log));
    assert_eq!(report.codes(), ["consistency.forked"]);
    let report = verify_since(forked.sign(&key("other.example", 9)));
    assert_eq!(report.codes(), ["consistency.since_unusable"]);
}
