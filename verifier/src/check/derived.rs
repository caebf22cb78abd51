//! Is every derived file what the material gives, byte by byte?

use std::collections::BTreeSet;

use super::case::Case;
use crate::layout::{self, DATA, Files, bag};
use crate::material::Rederive;
use crate::report::{Checked, Stop, fail, fail_at};

/// Makes every file of the payload again and compares; the description of the bag likewise.
pub(super) fn check(
    case: &Case<'_>,
    rederive: Option<&dyn Rederive>,
    altered: &BTreeSet<String>,
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
    Ok(format!("{count} derived files made again, equal to the byte{custom}"))
}
