//! From a log to a verified package, and the periods that have none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use evidence::{ExportRequest, write_zip};
use proto::Role;
use sha2::{Digest as _, Sha256};
use verifier::{Options, Outcome, Report, verify};

use crate::doctored::{all, remark};
use crate::world::{Notebook, World, key};

pub(crate) fn check(world: &World, package: &Path) -> Report {
    verify(package, &world.keys.trust(), &all(), &mut |_| ()).unwrap()
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
    assert_eq!(words, ["UNWITNESSED", "TIME UNATTESTED", "UNSEALED"]);
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
    // 7 requests, 1 refused authentication, a stop, a start, and a silence before an activation.
    assert_eq!((counts["CC7.2/population"], counts["CC7.2/exceptions"]), (11, 4));
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
    assert!(detail(&report, "disclosures").contains("22 withheld"), "{report}");
    // What the policies saw holds arguments, which this role may not see: nothing can be decided again from it.
    assert!(matches!(outcome(&report, "decisions"), Outcome::NotChecked { .. }), "{report}");
    let said = remark(&report, "DECISIONS NOT REPEATED").unwrap();
    assert!(said.starts_with("8 of 8") && said.contains("8 inputs are withheld"), "{report}");
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
    assert!(!page.contains("<script") && !page.contains("src="));
    // Links lead to files of the package and nowhere else.
    let links: Vec<&str> =
        page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.contains(&"criteria/CC7.2/exceptions.csv"), "{links:?}");
    for link in links {
        assert!(package.join("data").join(link).is_file(), "{link}");
    }
    assert!(!page.to_lowercase().contains("compliant"));
    assert!(page.contains("1 exception of 8"), "{page}");
}

#[test]
fn a_kept_checkpoint_binds_the_log() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let exported = world.export(&package);
    let verify_since = |since: String| {
        let options = Options { since: Some(since), ..all() };
        verify(&package, &world.keys.trust(), &options, &mut |_| ()).unwrap()
    };
    let inside = exported.parameters.range.start + 3;
    let report = verify_since(world.checkpoint_at(inside).1);
    assert!(report.ok(), "{report}");
    // The package cannot bridge from a size left of its range: that must not pass for consistent.
    // A proof carries a checkpoint, which is as good.
    let proof = evidence::Source::inclusion_proof(&world, inside).unwrap().to_string();
    assert!(proof.starts_with("c2sp.org/tlog-proof"));
    let report = verify_since(proof.clone());
    assert!(report.ok(), "{report}");
    let report = verify_since(proof.replacen("index", "place", 1));
    assert_eq!(report.codes(), ["consistency.since_unusable"]);
    assert!(report.to_string().contains("is a tlog-proof that cannot be read"), "{report}");
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

/// Cells of a list by row, each by its column.
pub(crate) fn list(package: &Path, path: &str) -> Vec<BTreeMap<String, String>> {
    let mut rows = csv::Reader::from_path(package.join("data").join(path)).unwrap();
    rows.deserialize().map(Result::unwrap).collect()
}

#[test]
fn an_anomaly_says_who_and_is_there_once() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    let exceptions = list(&package, "criteria/CC7.2/exceptions.csv");
    let of = |what: &str| exceptions.iter().find(|row| row["exception"] == what).unwrap();
    let (blocked, denied) = (of("blocked"), of("denied"));
    assert_eq!((blocked["subject"].as_str(), denied["subject"].as_str()), ("ada", "eve"));
    for row in [blocked, denied] {
        assert_eq!(row["kind"], "RequestReceived");
        assert_eq!(row["issuer"], "https://idp.example");
        assert_eq!(row["exchange_id"].len(), 32);
        assert_eq!(row["request_index"], row["leaf_index"]);
        let refusal: u64 = row["refusal_index"].parse().unwrap();
        assert_eq!(refusal, row["leaf_index"].parse::<u64>().unwrap() + 1);
    }
    assert_eq!(denied["refusal"], "no_policy");
    let population = list(&package, "criteria/CC7.2/population.csv");
    let calls = |row: &&BTreeMap<_, _>| row["kind"] == "CallDenied" || row["kind"] == "CallBlocked";
    assert_eq!(population.iter().filter(calls).count(), 0, "a refused call is one row");
    let places: std::collections::BTreeSet<_> =
        population.iter().map(|row| &row["leaf_index"]).collect();
    assert!(exceptions.iter().all(|row| places.contains(&row["leaf_index"])));
}

#[test]
fn numbers_of_readme_report_and_coverage_reconcile() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let exported = world.export(&package);
    let range = exported.parameters.range;
    let leaves = range.end - range.start;
    let parts = list(&package, "coverage/period.csv");
    let counts: Vec<u64> = parts.iter().map(|row| row["leaves"].parse().unwrap()).collect();
    assert_eq!((counts[0], counts[2], counts.iter().sum::<u64>()), (1, 1, leaves));
    let said = format!("{} leaves of the period and 2 boundary leaves", leaves - 2);
    let read = |path: &str| fs::read_to_string(package.join("data").join(path)).unwrap();
    let (page, readme) = (read("report.html"), read("README.md"));
    assert!(page.contains(&said), "{page}");
    assert!(readme.contains(&format!("{} leaves of the period and 2 boundary leaves", leaves - 2)));
    let report = check(&world, &package);
    assert!(detail(&report, "period").contains(&said), "{report}");
    // Recorders, seals and disclosures as the verifier counts them.
    let recorders = list(&package, "coverage/recorders.csv");
    let seals: u64 = recorders.iter().map(|row| row["seals"].parse::<u64>().unwrap()).sum();
    assert!(detail(&report, "seals").contains(&format!("({seals} in the range")), "{report}");
    assert!(page.contains(&format!("{seals} in the range, ")), "{page}");
    assert!(readme.contains(&format!("They signed the heads of their chains: {seals} seals")));
    assert!(detail(&report, "recorders").starts_with("2 recorders in the range, with context 2"));
    assert!(page.contains("2 in the range, 2 with context"), "{page}");
    assert!(page.contains("MCP servers and doors") && page.contains("excluding"), "{page}");
    assert!(page.contains("the population has 8, so all of them"), "{page}");
    assert!(!page.contains("whenever it is made"));
}

#[test]
fn every_column_is_explained() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    let mut explained: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in list(&package, "columns.csv") {
        assert!(!row["meaning"].is_empty() && !row["values"].is_empty(), "{row:?}");
        explained.entry(row["file"].clone()).or_default().push(row["column"].clone());
    }
    let header = |bytes: &[u8]| -> Vec<String> {
        csv::Reader::from_reader(bytes).headers().unwrap().iter().map(str::to_owned).collect()
    };
    for (path, bytes) in files(&package.join("data")) {
        if let Some(columns) = explained.get(&path).filter(|_| path.ends_with(".csv")) {
            assert_eq!(header(&bytes), *columns, "{path}");
        } else if path.ends_with(".csv") {
            assert!(path.starts_with("criteria/"), "{path} is not in columns.csv");
            for column in header(&bytes) {
                let known = explained["criteria/*/*.csv"].contains(&column)
                    || explained["population/events.*"].contains(&column);
                assert!(known, "{path}: {column} is not in columns.csv");
            }
        } else if path.ends_with(".parquet") {
            let batches = verifier::layout::tables::read_batches(&bytes.into()).unwrap();
            let key = path.replace("context/", "population/").replace("events.parquet", "events.*");
            let Some(batch) = batches.first() else { continue };
            let columns: Vec<_> =
                batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(columns, explained[&key], "{path}");
        }
    }
}

#[test]
fn the_readme_names_the_signer() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    let readme = fs::read_to_string(package.join("data/README.md")).unwrap();
    let allowed = world.keys.trust().allowed_signers().unwrap();
    assert!(readme.contains(allowed.trim_end()), "{readme}");
    assert!(readme.contains(&format!("signer {}", world.keys.signer.verifying_key())));
    assert!(readme.contains("--trust ../trust.txt") && readme.contains("--out ../sample"));
}
