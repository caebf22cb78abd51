//! Is every derived file what the material gives, byte by byte?

use std::collections::BTreeSet;

use super::case::Case;
use crate::layout::{self, DATA, Files, bag};
use crate::material::{Material, Rederive};
use crate::report::{Checked, Remark, Stop, fail, fail_at};

/// What making the files again says beside its outcome.
pub(super) struct DerivedFindings {
    pub(super) checked: Checked,
    pub(super) remarks: Vec<Remark>,
}

/// Makes every file of the payload again and compares; the description of the bag likewise.
///
/// A package is made again with its own mapping, whatever this build ships, and by this version's functions, whatever
/// made it. Of another version only [presentation](layout::is_presentation) may differ. Neither goes unsaid.
pub(super) fn check(
    case: &Case<'_>,
    rederive: Option<&dyn Rederive>,
    altered: &BTreeSet<String>,
) -> DerivedFindings {
    let mut remarks = Vec::new();
    let checked = compare(case, rederive, altered, &mut remarks);
    DerivedFindings { checked, remarks }
}

fn compare(
    case: &Case<'_>,
    rederive: Option<&dyn Rederive>,
    altered: &BTreeSet<String>,
    remarks: &mut Vec<Remark>,
) -> Checked {
    let Some(rederive) = rederive else {
        return Err(Stop::NotChecked("no SQL engine was given to make the files again".to_owned()));
    };
    if let Some(path) = altered.iter().find(|path| layout::is_material(path)) {
        return Err(Stop::NotChecked(format!("{path} was altered (see the first check)")));
    }
    let Some(material) = case.opened.material() else {
        return Err(Stop::NotChecked(
            "the material cannot be read as a whole: see the checks above".to_owned(),
        ));
    };
    remarks.extend(other_mapping(&material, rederive));
    let mut expected: Files =
        layout::material_files(&material).map_err(|reason| fail("derived.material", reason))?;
    let derived = rederive.derive(&material).map_err(|reason| {
        Stop::NotChecked(format!("the derived files cannot be made again here: {reason}"))
    })?;
    let count = derived.len();
    for (path, bytes) in derived {
        let path = format!("{DATA}{path}");
        if expected.insert(path.clone(), bytes).is_some() {
            return Err(fail_at(
                "derived.material",
                path,
                "a derived file takes the place of material",
            ));
        }
    }
    let version = &material.parameters.exhibit_version;
    let other_version = version != rederive.exhibit_version();
    let presented = if other_version { take_as_found(case, &mut expected) } else { Vec::new() };
    for (path, bytes) in &expected {
        let Some(found) = case.package.file(path) else {
            return Err(fail_at(
                "derived.missing",
                path,
                "the material gives this file, but it is missing",
            ));
        };
        if found != bytes && !altered.contains(path) {
            let offset = found.iter().zip(bytes).take_while(|(found, made)| found == made).count();
            let line = bytes
                .get(..offset)
                .map_or(0, |same| same.iter().filter(|byte| **byte == b'\n').count());
            let detail = format!(
                "made again from the package's own leaves it is another file, from byte {offset} (line {}) on",
                line + 1
            );
            return Err(fail_at("derived.differs", path, detail));
        }
    }
    let surplus =
        case.package.paths().find(|path| path.starts_with(DATA) && !expected.contains_key(*path));
    if let Some(path) = surplus {
        return Err(fail_at("derived.surplus", path, "the material gives no such file"));
    }
    let info = bag::BagInfo::of_package(&material.parameters).to_text(&expected);
    if !altered.contains(bag::BAG_INFO)
        && case.package.file(bag::BAG_INFO).is_none_or(|found| found[..] != *info.as_bytes())
        && altered.is_empty()
    {
        return Err(fail_at("derived.differs", bag::BAG_INFO, "it does not describe this payload"));
    }
    let custom = material.parameters.custom_queries.len();
    let custom =
        if custom == 0 { String::new() } else { format!("; {custom} lists by CUSTOM queries") };
    if other_version {
        remarks.push(Remark {
            word: "OTHER VERSION",
            meaning: format!(
                "the package was made by exhibit {version}, this is {}. Lists, tables and coverage were made again and \
                 are equal to the byte. {}",
                rederive.exhibit_version(),
                if presented.is_empty() {
                    "So is everything else.".to_owned()
                } else {
                    format!(
                        "These are in the words of that version and were not compared: {}",
                        presented.join(", ")
                    )
                }
            ),
        });
    }
    let made = count.saturating_sub(presented.len());
    Ok(format!("{made} derived files made again, equal to the byte{custom}"))
}

/// Is the mapping of the package another than this build's own?
fn other_mapping(material: &Material, rederive: &dyn Rederive) -> Option<Remark> {
    let (theirs, own) = (&material.parameters.mapping, rederive.own_mapping());
    (theirs.sha256 != own.sha256).then(|| Remark {
        word: "OTHER MAPPING",
        meaning: format!(
            "the lists were made with the control mapping {} {} (SHA-256 {}), which the package carries as {}; this \
             verifier's own is {} {} (SHA-256 {}). The lists follow from the package's mapping: read its queries before \
             you rely on its counts",
            theirs.name,
            theirs.version,
            theirs.sha256,
            layout::MAPPING,
            own.name,
            own.version,
            own.sha256
        ),
    })
}

/// Replaces files of mere presentation by what the package has. Returns those that differ or that one of the two lacks.
fn take_as_found(case: &Case<'_>, expected: &mut Files) -> Vec<String> {
    let found = case.package.paths().filter(|path| layout::is_presentation(path));
    let paths: BTreeSet<String> = found
        .map(str::to_owned)
        .chain(expected.keys().filter(|path| layout::is_presentation(path)).cloned())
        .collect();
    let mut other = Vec::new();
    for path in paths {
        let found = case.package.file(&path);
        if found.map(|bytes| &bytes[..]) == expected.get(&path).map(Vec::as_slice) {
            continue;
        }
        match found {
            Some(bytes) => expected.insert(path.clone(), bytes.to_vec()),
            None => expected.remove(&path),
        };
        other.push(path);
    }
    other
}
