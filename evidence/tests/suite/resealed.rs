//! A sample's own manifests: as they were drawn, or as they follow from a sheet that was filled in.

use std::fs;
use std::path::Path;

use evidence::{SampleCheck, check_sample, sample};
use verifier::layout::bag::{BAG_INFO, BAGIT, MANIFEST, TAG_MANIFEST, manifest};

use crate::export::files;
use crate::world::World;

const SHEET: &str = "data/sample.csv";

/// Makes the manifests of a bag anew, as a tool of an auditor would.
fn reseal(bag: &Path) {
    let mut found = files(bag);
    let payload = found.clone().into_iter().filter(|(path, _)| path.starts_with("data/")).collect();
    let octets: usize = std::collections::BTreeMap::values(&payload).map(Vec::len).sum();
    let info = String::from_utf8(found[BAG_INFO].clone()).unwrap();
    let oxum = format!("Payload-Oxum: {octets}.{}\n", payload.len());
    let rest = info.lines().filter(|line| !line.starts_with("Payload-Oxum"));
    let info: String = rest.map(|line| format!("{line}\n")).chain([oxum]).collect();
    found.insert(BAG_INFO.into(), info.into_bytes());
    found.insert(MANIFEST.into(), manifest(&payload).into_bytes());
    let tags = [BAGIT, BAG_INFO, MANIFEST].map(|name| (name.to_owned(), found[name].clone()));
    found.insert(TAG_MANIFEST.into(), manifest(&tags.into()).into_bytes());
    for name in [BAG_INFO, MANIFEST, TAG_MANIFEST] {
        fs::write(bag.join(name), &found[name]).unwrap();
    }
}

#[test]
fn what_follows_from_the_sheet_is_compared_too() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (package, drawn) = (dir.path().join("package"), dir.path().join("sample"));
    world.export(&package);
    sample(&package, "CC6.1", "4711", Some(3), &drawn).unwrap();
    let check = || -> SampleCheck { check_sample(&drawn, &package).unwrap() };
    let tags = [BAG_INFO, MANIFEST, TAG_MANIFEST];
    let as_drawn = tags.map(|name| fs::read(drawn.join(name)).unwrap());

    // Nothing else may stand there, filled in or not.
    let spoilt = |is_filled_in: bool| {
        for name in tags {
            let good = fs::read(drawn.join(name)).unwrap();
            fs::write(drawn.join(name), "Contact-Name: somebody\n").unwrap();
            let found = check();
            assert_eq!(found.is_filled_in, is_filled_in);
            assert_eq!(found.wrong.len(), 1, "{name}: {found:?}");
            assert!(found.wrong[0].starts_with(name), "{found:?}");
            fs::write(drawn.join(name), good).unwrap();
        }
    };
    spoilt(false);
    let sheet = fs::read_to_string(drawn.join(SHEET)).unwrap();
    fs::write(drawn.join(SHEET), sheet.replacen(",,,\r\n", ",kim,good,\r\n", 1)).unwrap();
    // As they were drawn, and as they follow.
    assert!(check().wrong.is_empty());
    spoilt(true);
    reseal(&drawn);
    assert_ne!(tags.map(|name| fs::read(drawn.join(name)).unwrap()), as_drawn);
    let found = check();
    assert!(found.wrong.is_empty() && found.is_filled_in, "{found:?}");
    spoilt(true);
}

#[test]
fn names_of_files_cannot_speak_to_a_terminal() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (package, drawn) = (dir.path().join("package"), dir.path().join("sample"));
    world.export(&package);
    sample(&package, "CC6.1", "4711", Some(3), &drawn).unwrap();
    fs::write(drawn.join("data/\u{1b}[2Jgood\u{202e}"), "x").unwrap();
    let wrong = check_sample(&drawn, &package).unwrap().wrong;
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].contains("\\u{1b}[2Jgood\\u{202e}"), "{wrong:?}");
}
