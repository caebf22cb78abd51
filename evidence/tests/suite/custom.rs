//! Queries of a requester: bounded in the exporter and in the verifier, ended with what asked them, and the same when
//! they are asked again.

use std::sync::mpsc;
use std::time::Duration;

use evidence::{Derivation, ExportRequest};
use proto::Role;
use verifier::{CustomQuery, Package, Rederive, read_material};

use crate::export::check;
use crate::world::{Notebook, World};

/// Of some fifty leaves it has millions of rows, each with leaves.
const WIDE: &str = "SELECT a.leaf_index, a.leaf, b.leaf AS l2, c.leaf_index AS c FROM events a, events b, events c, events d";
const ENDLESS: &str = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM t) SELECT max(n) AS leaf_index FROM t";

fn asking(world: &World, sql: &str) -> ExportRequest {
    let custom_queries = vec![CustomQuery { id: "x".into(), sql: sql.into() }];
    ExportRequest {
        custom_queries,
        criteria: vec!["CC6.1".into()],
        ..world.request_of(Role::Auditor)
    }
}

#[test]
fn an_answer_without_bound_is_refused() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let error = world.export_as(asking(&world, WIDE), &dir.path().join("package")).unwrap_err();
    assert_eq!(error.code(), "custom_query_too_large", "{error}");
    assert!(
        error.is_callers_fault() && error.to_string().contains("custom query \"x\""),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_made_again_is_refused_before_it_is_recorded() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    for sql in [
        "SELECT leaf_index, now() AS at FROM events",
        "SELECT leaf_index FROM events ORDER BY random()",
        "SELECT uuid() AS leaf_index",
        "SELECT leaf_index FROM events WHERE recorded_at < current_date",
        "EXPLAIN ANALYZE SELECT leaf_index FROM events",
    ] {
        let notebook = Notebook::default();
        let place = dir.path().join("package");
        let error = world.export_into(&notebook, asking(&world, sql), &place).unwrap_err();
        assert_eq!(error.code(), "custom_query", "{sql}: {error}");
        assert!(error.is_callers_fault() && error.to_string().contains("list"), "{error}");
        assert!(notebook.releases.lock().unwrap().is_empty(), "{sql}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{sql}");
    }
}

#[test]
fn a_list_without_an_order_of_its_own_verifies() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("package");
    let sql = "SELECT leaf_index, kind FROM events UNION ALL SELECT leaf_index, slot FROM disclosures LIMIT 60";
    world.export_as(asking(&world, sql), &place).unwrap();
    let report = check(&world, &place);
    assert!(report.ok(), "{report}");
}

#[test]
fn a_package_that_asks_for_it_is_not_made_again() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export_as(asking(&world, "SELECT leaf_index FROM events"), &package).unwrap();
    let mut material = read_material(&Package::open(&package).unwrap()).unwrap();
    Derivation.derive(&material).unwrap();
    material.parameters.custom_queries[0].sql = WIDE.into();
    let told = Derivation.derive(&material).unwrap_err();
    assert!(told.contains("custom query \"x\""), "{told}");
    // The same as the requester of an export is told.
    assert!(told.contains("larger than") || told.contains("more memory"), "{told}");
}

#[test]
fn a_query_ends_with_the_export_and_the_process() {
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        let world = World::new();
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("package");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let request = asking(&world, ENDLESS);
        let left = runtime.block_on(async {
            let notebook = Notebook::default();
            let signer = &world.keys.signer;
            let export = evidence::export_from(&world, &notebook, signer, request, &place);
            tokio::time::timeout(Duration::from_secs(2), export).await.is_err()
        });
        // Waits for every blocking task, as the end of the process does.
        drop(runtime);
        ended.send(left).unwrap();
    });
    let left = end.recv_timeout(Duration::from_secs(30)).expect("the process would not end");
    assert!(left, "the export was to last longer");
}
