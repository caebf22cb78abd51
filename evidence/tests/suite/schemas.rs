//! What a package and its verification say in JSON is what the published schemas say.

mod checker;

use std::fs;
use std::path::Path;

use evidence::{Derivation, check_sample, sample};
use proto::Role;
use serde_json::{Value, json};
use verifier::{CustomQuery, Options, verify};

use crate::world::World;
use checker::{mistake, parse};

const CUSTODY: &str = include_str!("../../../schemas/package/custody.schema.json");
const EVENT: &str = include_str!("../../../schemas/package/event.schema.json");
const PARAMETERS: &str = include_str!("../../../schemas/package/parameters.schema.json");
const REPORT: &str = include_str!("../../../schemas/package/report.schema.json");

fn assert_fits(schema: &str, what: &str, value: &Value) {
    assert_eq!(mistake(&parse(schema), value), None, "{what}: {value}");
}

/// Lines of a file below `data/`; how many there were.
fn assert_lines_fit(schema: &str, package: &Path, path: &str) -> usize {
    let text = fs::read_to_string(package.join("data").join(path)).unwrap();
    for line in text.lines() {
        assert_fits(schema, path, &parse(line));
    }
    text.lines().count()
}

#[test]
fn every_json_file_of_a_package_fits_its_schema() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    for role in [Role::Auditor, Role::Compliance, Role::Admin] {
        let package = dir.path().join(role.as_str());
        let mut request = world.request_of(role);
        let sql = "SELECT leaf_index FROM events".to_owned();
        request.custom_queries = vec![CustomQuery { id: "my-own_1".into(), sql }];
        world.export_as(request, &package).unwrap();
        let parameters = fs::read_to_string(package.join("data/ipe/parameters.json")).unwrap();
        assert_fits(PARAMETERS, "parameters", &parse(&parameters));
        assert!(assert_lines_fit(EVENT, &package, "population/events.ndjson") > 20);
        assert!(assert_lines_fit(CUSTODY, &package, "custody/log.ndjson") > 1);
    }
}

/// As `exhibit verify --json` completes a report.
fn report_of(world: &World, package: &Path, since: Option<String>) -> Value {
    let options = Options { since, rederive: Some(&Derivation), ..Options::default() };
    let report = verify(package, &world.keys.trust(), &options, &mut |_| ()).unwrap();
    let mut value = serde_json::to_value(&report).unwrap();
    value["ok"] = report.ok().into();
    value
}

#[test]
fn every_report_fits_its_schema() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (package, drawn) = (dir.path().join("package"), dir.path().join("sample"));
    world.export(&package);
    let good = report_of(&world, &package, None);
    assert_eq!(good["ok"], true, "{good}");
    assert_fits(REPORT, "good", &good);
    assert_fits(REPORT, "since", &report_of(&world, &package, Some("no checkpoint".into())));

    sample(&package, "CC6.1", "4711", Some(3), &drawn).unwrap();
    let found = check_sample(&drawn, &package).unwrap();
    let mut with_sample = good.clone();
    with_sample["sample"] = json!({
        "criterion": found.criterion, "nonce": found.nonce, "size": found.size,
        "population": found.population, "files": found.files, "wrong": found.wrong,
        "filled_in": found.is_filled_in
    });
    assert_fits(REPORT, "sample", &with_sample);

    for path in ["data/population/leaves.parquet", "data/proofs/checkpoint", "bagit.txt"] {
        let bytes = fs::read(package.join(path)).unwrap();
        fs::write(package.join(path), b"damaged").unwrap();
        let damaged = report_of(&world, &package, None);
        assert_eq!(damaged["ok"], false, "{path}");
        assert_fits(REPORT, path, &damaged);
        fs::write(package.join(path), bytes).unwrap();
    }
    fs::remove_file(package.join("data/ipe/parameters.json")).unwrap();
    let unread = report_of(&world, &package, None);
    assert_eq!(unread["subject"], Value::Null);
    assert_fits(REPORT, "unread", &unread);
}

#[test]
fn a_refusal_fits_the_schema_and_nothing_else_does() {
    let refusal =
        json!({ "error": { "code": "trust", "message": "the trust file cannot be read" } });
    assert_fits(REPORT, "refusal", &refusal);
    let report = parse(REPORT);
    for other in [
        json!({}),
        json!([]),
        json!({ "error": "trust" }),
        json!({ "error": { "code": "", "message": "x" } }),
        json!({ "subject": null, "checks": [], "remarks": [] }),
        json!({ "subject": null, "checks": [], "remarks": [{ "word": "FINE", "meaning": "" }], "ok": true }),
        json!({ "subject": null, "checks": [{ "id": "bag" }], "remarks": [], "ok": true }),
    ] {
        assert!(mistake(&report, &other).is_some(), "{other}");
    }
    let custody = parse(CUSTODY);
    assert!(mistake(&custody, &json!({ "leaf_index": -1 })).is_some());
}
