//! A bag in a ZIP archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use super::{Budget, Package, PackageError, is_plain_path};
use crate::layout::bag::BAGIT;

pub(super) fn read(path: &Path) -> Result<Package, PackageError> {
    let shown = path.display().to_string();
    let io = |source| PackageError::Io { path: shown.clone(), source };
    let wrong = |reason: String| PackageError::Zip { path: shown.clone(), reason };
    let file = BufReader::new(File::open(path).map_err(io)?);
    let mut archive = ::zip::ZipArchive::new(file).map_err(|error| wrong(error.to_string()))?;
    if archive.has_duplicate_names() {
        // Tools disagree on which of the two counts.
        return Err(wrong("two entries have one name".to_owned()));
    }
    let names = archive.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
    let root = bag_root(names).ok_or_else(|| PackageError::NotABag { path: shown.clone() })?;
    let mut package = Package { files: BTreeMap::new(), irregular: BTreeSet::new() };
    let mut budget = Budget::default();
    for at in 0..archive.len() {
        let limit = budget.next_file()?;
        let mut entry = archive.by_index(at).map_err(|error| wrong(error.to_string()))?;
        if entry.is_dir() {
            continue;
        }
        let full = entry.name().map_err(|error| wrong(error.to_string()))?.into_owned();
        let Some(name) = full.strip_prefix(&root).filter(|name| is_plain_path(name)) else {
            package.irregular.insert(full);
            continue;
        };
        if !entry.is_file() {
            package.irregular.insert(full);
            continue;
        }
        let mut bytes = Vec::new();
        (&mut entry)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| wrong(format!("{name}: {error}")))?;
        budget.spend(name, bytes.len())?;
        package.files.insert(name.to_owned(), bytes.into());
    }
    Ok(package)
}

/// The folder in the archive that holds `bagit.txt`, with its `/`: the root, or one folder below it.
fn bag_root<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let roots = names.filter_map(|name| name.strip_suffix(BAGIT));
    let roots = roots.filter(|root| root.is_empty() || root.ends_with('/'));
    roots
        .min_by_key(|root| root.len())
        .filter(|root| root.matches('/').count() <= 1)
        .map(str::to_owned)
}
