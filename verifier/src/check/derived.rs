//! Is every derived file what the material gives, byte by byte?

use super::Options;
use super::case::Case;
use super::run::Found;
use crate::layout::{self, DATA, Files, bag};
use crate::material::{Material, Rederive};
use crate::report::{Checked, Remark, Stop, fail, fail_at};

/// Makes every file of the payload again and compares; the description of the bag likewise.
///
/// A package is made again with its own mapping, whatever this build ships, and by this version's functions, whatever
/// made it. Of another version, files [for reading](layout::is_presentation) may be others: then the check is not made,
/// unless the reader said that they do not matter. Neither goes unsaid.
///
/// Queries and policies are run for this: only when the material is `proved` to be the log's.
pub(super) fn check(case: &Case<'_>, options: &Options<'_>, proved: bool) -> Found {
    let mut remarks = Vec::new();
    let checked = if proved {
        compare(case, options, &mut remarks)
    } else {
        let reason = "not made again: leaves, context and disclosures must hold first (see the checks above)";
        Err(Stop::NotChecked(reason.to_owned()))
    };
    Found { checked, remarks }
}

fn compare(case: &Case<'_>, options: &Options<'_>, remarks: &mut Vec<Remark>) -> Checked {
    let Some(rederive) = options.rederive else {
        return Err(Stop::NotChecked("no SQL engine was given to make the files again".to_owned()));
    };
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
    let is_other = version != rederive.exhibit_version();
    let unvouched = if is_other { take_as_found(case, &mut expected) } else { Vec::new() };
    same_files(case, &expected)?;
    let info = bag::BagInfo::of_package(&material.parameters).to_text(&expected);
    if case.package.file(bag::BAG_INFO).is_none_or(|found| found[..] != *info.as_bytes()) {
        return Err(fail_at("derived.differs", bag::BAG_INFO, "it does not describe this payload"));
    }
    if is_other {
        remarks.push(other_version(version, rederive.exhibit_version(), &unvouched));
    }
    if !unvouched.is_empty() && !options.allow_other_version {
        return Err(Stop::NotChecked(format!(
            "exhibit {version} made the package, and these are not the files that {} makes, so that nothing shows what \
             they say to be true: {}. Lists, tables and coverage are equal to the byte. Verify with exhibit {version}, or \
             with --allow-other-version and do not rely on these files",
            rederive.exhibit_version(),
            unvouched.join(", ")
        )));
    }
    let custom = material.parameters.custom_queries.len();
    let custom =
        if custom == 0 { String::new() } else { format!("; {custom} lists by CUSTOM queries") };
    let made = count.saturating_sub(unvouched.len());
    Ok(format!("{made} derived files made again, equal to the byte{custom}"))
}

/// The payload is just these files.
fn same_files(case: &Case<'_>, expected: &Files) -> Result<(), Stop> {
    for (path, bytes) in expected {
        let Some(found) = case.package.file(path) else {
            return Err(fail_at(
                "derived.missing",
                path,
                "the material gives this file, but it is missing",
            ));
        };
        if found != bytes {
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
    match surplus {
        Some(path) => Err(fail_at("derived.surplus", path, "the material gives no such file")),
        None => Ok(()),
    }
}

fn other_version(theirs: &str, own: &str, unvouched: &[String]) -> Remark {
    let rest = if unvouched.is_empty() {
        "So is everything else.".to_owned()
    } else {
        format!(
            "These are not what this version makes and nothing vouches for what they say; do not rely on them, and run \
             none of them: {}",
            unvouched.join(", ")
        )
    };
    Remark {
        word: "OTHER VERSION",
        meaning: format!(
            "the package was made by exhibit {theirs}, this is {own}. Lists, tables and coverage were made again and are \
             equal to the byte. {rest}"
        ),
    }
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

/// Puts what the package has in the place of those files for reading that differ, and returns their paths. A file that
/// only one of the two has stays as it is: that fails.
fn take_as_found(case: &Case<'_>, expected: &mut Files) -> Vec<String> {
    let mut others = Vec::new();
    for (path, bytes) in expected.iter_mut().filter(|(path, _)| layout::is_presentation(path)) {
        if let Some(found) = case.package.file(path)
            && found != bytes
        {
            *bytes = found.to_vec();
            others.push(path.clone());
        }
    }
    others
}
