//! Refusals that were counted: one row, and as many attempts as it stands for.

use std::fs;

use proto::Role;

use crate::export::{check, list};
use crate::world::{World, snapshot};

#[test]
fn a_row_says_how_many_attempts_it_stands_for() {
    let world = World::counted(&snapshot(false), 4980);
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export_as(world.request_of(Role::Auditor), &package).unwrap();
    let report = check(&world, &package);
    assert!(report.ok(), "{report}");
    let attempts = |path: &str| -> Vec<String> {
        let rows = list(&package, path);
        rows.iter().map(|row| row["attempts"].clone()).filter(|cell| !cell.is_empty()).collect()
    };
    // A refused credential is of both; a refused message without a request only of the anomalies.
    assert_eq!(attempts("criteria/CC6.1/population.csv"), ["4980"]);
    assert_eq!(attempts("criteria/CC6.1/exceptions.csv"), ["4980"]);
    assert_eq!(attempts("criteria/CC7.2/population.csv"), ["4980", "4980"]);
    assert_eq!(attempts("criteria/CC7.2/exceptions.csv"), ["4980"]);
    let page = fs::read_to_string(package.join("data/report.html")).unwrap();
    // Two calls beside; one of them was denied.
    assert!(page.contains("1 exception of 3"), "{page}");
    assert!(page.contains("the exceptions stand for 4980 of 4982."), "{page}");
    assert!(page.contains(">1 (4980 attempts)<") && page.contains(">3 (4982 attempts)<"), "{page}");
    assert!(page.contains("the exceptions stand for 4981 of 9964."), "{page}");
}

#[test]
fn where_nothing_was_counted_nothing_is_said_of_it() {
    let world = World::sealed(&snapshot(false));
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    world.export(&package);
    let page = fs::read_to_string(package.join("data/report.html")).unwrap();
    assert!(!page.contains("stand for several attempts") && !page.contains(" attempts)"), "{page}");
}
