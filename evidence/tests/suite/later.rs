//! What callers do after a period does not keep anybody from exporting it.

use std::fs;
use std::path::Path;

use evidence::Exported;
use proto::Role;

use crate::doctored::remark;
use crate::export::{check, list};
use crate::world::{World, snapshot};

fn exported(world: &World, package: &Path) -> Exported {
    let exported = world.export_as(world.request_of(Role::Auditor), package).unwrap();
    let report = check(world, package);
    assert!(report.ok(), "{report}");
    exported
}

#[test]
fn later_questions_are_bounded_by_their_size() {
    let mut world = World::new();
    let question = |number: u32| format!("SELECT {number} --{}", "x".repeat((1 << 20) - 40));
    for number in 0..40 {
        world.ask(&question(number));
    }
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let exported = exported(&world, &package);
    let log = fs::read_to_string(package.join("data/custody/log.ndjson")).unwrap();
    let asked: Vec<u64> = log
        .lines()
        .filter_map(|line| {
            line.split_once(r#""query":"SELECT "#)?.1.split_once(" --")?.0.parse().ok()
        })
        .collect();
    // The newest are there, and those in the period anyway; of the later ones one was not of these.
    assert!((20..40).contains(&asked.len()), "{}", asked.len());
    assert_eq!(asked, (40 - asked.len() as u64..40).collect::<Vec<_>>());
    let omitted = exported.parameters.custody_omitted;
    assert_eq!(omitted, 41 - asked.len() as u64);
    assert!(log.contains("SELECT * FROM events"));
    let page = fs::read_to_string(package.join("data/report.html")).unwrap();
    let said = format!("the exporter says that it left out {omitted} for their number or size");
    assert!(page.contains(&said), "{page}");
}

#[test]
fn later_calls_before_a_seal_are_bounded_by_their_size() {
    let context = |size_bytes| {
        let world = World::sealed_behind(&snapshot(false), size_bytes);
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("package");
        exported(&world, &package);
        let unsealed = remark(&check(&world, &package), "UNSEALED").is_some();
        let counts = list(&package, "ipe/row_counts.csv");
        let leaves = counts.iter().find(|row| row["file"] == "context/leaves.parquet").unwrap();
        (leaves["rows"].clone(), unsealed)
    };
    // What a seal covers is shown with it: an answer, a message, and the seals of both recorders.
    assert_eq!(context(1 << 20), ("4".to_owned(), false));
    // More than is carried for that: then the end of the chain shows as unsealed.
    assert_eq!(context(65 << 20), ("1".to_owned(), true));
}
