//! The auditor's sample.

use std::fs;

use evidence::{SampleError, sample};
use tlog::TlogProof;

use crate::export::files;
use crate::world::World;

#[test]
fn a_sample_is_drawn_again_by_anyone() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    world.export(&at("package"));
    let draw = |nonce: &str, out: &str| sample(&at("package"), "CC6.1", nonce, Some(3), &at(out));
    let first = draw("2026-02-01 4711", "one").unwrap();
    assert_eq!((first.leaves.len(), first.population), (3, 8));
    assert_eq!(draw("2026-02-01 4711", "two").unwrap().leaves, first.leaves);
    assert_eq!(files(&at("one")), files(&at("two")));
    assert_ne!(files(&at("one")), {
        draw("another", "three").unwrap();
        files(&at("three"))
    });

    for index in &first.leaves {
        let folder = at("one").join(format!("data/items/{index}"));
        for file in ["call.json", "identity.json", "decision.json", "approval.json", "result.json"]
        {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        let leaf = fs::read(folder.join(format!("{index}.leaf"))).unwrap();
        let proof = fs::read_to_string(folder.join(format!("{index}.tlog-proof"))).unwrap();
        let proof = TlogProof::parse(&proof).unwrap();
        assert_eq!(proof.index.0, *index);
        proof.verify(&tlog::leaf_hash(&leaf), &world.keys.log.verifying_key()).unwrap();
    }
}

#[test]
fn a_sample_that_cannot_be_drawn_says_why() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package");
    let mut request = world.request_of(proto::Role::Auditor);
    request.criteria = vec!["CC6.1".into()];
    world.export_as(request, &package).unwrap();
    let out = dir.path().join("out");
    let code = |criterion: &str, nonce: &str, size| {
        sample(&package, criterion, nonce, size, &out).map_err(|error| error.code()).unwrap_err()
    };
    assert_eq!(code("CC0.0", "n", None), "criterion_unknown");
    assert_eq!(code("PI1.3", "n", None), "criterion_not_exported");
    assert_eq!(code("CC6.1", "", None), "sample_request");
    assert_eq!(code("CC6.1", "n", Some(0)), "sample_request");
    assert!(!out.exists());
    let nowhere = sample(dir.path(), "CC6.1", "n", None, &out).unwrap_err();
    assert!(matches!(nowhere, SampleError::Package(_)));
}
