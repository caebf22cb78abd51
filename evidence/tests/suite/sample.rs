//! The auditor's sample.

use std::fs;

use evidence::{SampleError, check_sample, sample};
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
    let inside = sample(&package, "CC6.1", "n", None, &package.join("data/../sample")).unwrap_err();
    assert_eq!(inside.code(), "place_inside_package");
    assert!(!package.join("sample").exists());
    let list = package.join("data/criteria/CC6.1/population.csv");
    fs::write(&list, "leaf_index\nnone\n").unwrap();
    let damaged = sample(&package, "CC6.1", "n", None, &out).unwrap_err().to_string();
    assert!(damaged.starts_with("verify the package first"), "{damaged}");
    let nowhere = sample(dir.path(), "CC6.1", "n", None, &out).unwrap_err();
    assert!(matches!(nowhere, SampleError::Package(_)));
}

#[test]
fn a_sample_is_recognised_and_compared_with_its_package() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (package, drawn) = (dir.path().join("package"), dir.path().join("sample"));
    world.export(&package);
    sample(&package, "CC6.1", "4711", Some(3), &drawn).unwrap();
    let options = verifier::Options::default();
    let error = verifier::verify(&drawn, &world.keys.trust(), &options, &mut |_| ()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("3 of 8 rows") && said.contains("--of PACKAGE"), "{said}");

    let found = check_sample(&drawn, &package).unwrap();
    assert!(found.wrong.is_empty() && !found.is_filled_in, "{found:?}");
    // What the auditor fills in is the auditor's.
    let sheet = drawn.join("data/sample.csv");
    let text = fs::read_to_string(&sheet).unwrap();
    fs::write(&sheet, text.replacen(",,,\r\n", ",kim,good,\r\n", 1)).unwrap();
    let found = check_sample(&drawn, &package).unwrap();
    assert!(found.wrong.is_empty() && found.is_filled_in, "{found:?}");
    // What was drawn is not.
    fs::write(&sheet, text.replacen("RequestReceived", "CallReleased", 1)).unwrap();
    let found = check_sample(&drawn, &package).unwrap();
    assert_eq!(found.wrong.len(), 1, "{found:?}");
    fs::write(&sheet, &text).unwrap();
    fs::write(drawn.join("data/more.txt"), "x").unwrap();
    assert_eq!(check_sample(&drawn, &package).unwrap().wrong.len(), 1);
    // Of another package.
    let other = dir.path().join("other");
    world.export_as(world.request_of(proto::Role::Compliance), &other).unwrap();
    assert_eq!(check_sample(&drawn, &other).unwrap_err().code(), "sample_not_of_package");
    assert_eq!(check_sample(&package, &package).unwrap_err().code(), "sample_not_of_package");
}

#[test]
fn an_item_says_what_is_to_be_tested() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (package, drawn) = (dir.path().join("package"), dir.path().join("sample"));
    world.export(&package);
    let sampled = sample(&package, "CC7.2", "n", Some(100), &drawn).unwrap();
    let json = |index: u64, name: &str| -> serde_json::Value {
        let path = drawn.join(format!("data/items/{index}/{name}"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let of = |wanted: &dyn Fn(&serde_json::Value) -> bool| {
        let found = sampled.leaves.iter().find(|index| wanted(&json(**index, "call.json")));
        *found.unwrap()
    };
    let failed = of(&|call| call["kind"] == "AuthenticationFailed");
    let call = json(failed, "call.json");
    assert_eq!(
        (&call["reason_code"], &call["http_status"]),
        (&"bad_signature".into(), &401.into())
    );
    assert_eq!(call["server"], "db");
    let denied = of(&|call| call["verdict"] == "deny");
    assert_eq!(json(denied, "result.json")[0]["refusal"], "no_policy");
    let sheet = fs::read_to_string(drawn.join("data/sample.csv")).unwrap();
    let header = sheet.lines().next().unwrap();
    for column in ["subject", "server", "reason_code", "score", "tested_by"] {
        assert!(header.split(',').any(|name| name == column), "{column}: {header}");
    }
    let readme = fs::read_to_string(drawn.join("data/README.md")).unwrap();
    assert!(readme.contains("`score` is"), "{readme}");
}
