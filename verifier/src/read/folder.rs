//! A bag that is a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Budget, Package, PackageError, is_plain_path};

/// Deepest nesting of folders; a package has four.
const MAX_DEPTH: usize = 16;

pub(super) fn read(root: &Path) -> Result<Package, PackageError> {
    let mut package = Package { files: BTreeMap::new(), irregular: BTreeSet::new() };
    let mut budget = Budget::default();
    let mut folders: Vec<(PathBuf, String)> = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let io = |source| PackageError::Io { path: folder.display().to_string(), source };
        for entry in fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // Not following links: `file_type` is of the entry itself.
            let kind = entry.file_type().map_err(io)?;
            let plain = is_plain_path(&name) && name.split('/').count() <= MAX_DEPTH;
            if kind.is_dir() && plain {
                folders.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() && plain {
                let bytes = read_file(&entry.path(), &name, &mut budget)?;
                package.files.insert(name, bytes);
            } else {
                budget.next_file()?;
                package.irregular.insert(name);
            }
        }
    }
    Ok(package)
}

fn read_file(path: &Path, name: &str, budget: &mut Budget) -> Result<Bytes, PackageError> {
    let limit = budget.next_file()?;
    let io = |source| PackageError::Io { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(io)?.take(limit).read_to_end(&mut bytes).map_err(io)?;
    budget.spend(name, bytes.len())?;
    Ok(bytes.into())
}
