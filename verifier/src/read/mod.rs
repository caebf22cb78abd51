//! Reading a package from outside: bounded, and never beyond its own folder.

mod folder;
mod material;
mod parameters;
mod zip;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use proto::terminal::shown;

pub(crate) use material::{Opened, Part, table_stop};
pub(crate) use parameters::parameters;

use crate::layout::{MAX_FILE_BYTES, MAX_FILES, MAX_PACKAGE_BYTES};

/// Why something cannot be read as a package at all. A damaged package is no error: its checks fail.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// Neither folder nor file.
    #[error("there is no package at {path}: {source}")]
    Missing {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder or archive without `bagit.txt`.
    #[error("{path} is no package: it has no bagit.txt (give the folder of the bag, or its .zip)")]
    NotABag {
        /// What was looked at.
        path: String,
    },
    /// A sample that was drawn from a package.
    #[error("{path} is no package but a sample: {about}")]
    Sample {
        /// What was looked at.
        path: String,
        /// What it says of itself, and how it is checked.
        about: String,
    },
    /// Not a readable ZIP archive.
    #[error("{path} is not a readable ZIP archive: {}", shown(reason))]
    Zip {
        /// The archive.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Too much.
    #[error("the package passes a bound of this verifier: {0}")]
    TooLarge(String),
    /// The disk failed.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The files of a package, as found.
#[derive(Debug)]
pub struct Package {
    files: std::collections::BTreeMap<String, Bytes>,
    irregular: BTreeSet<String>,
}

impl Package {
    /// Reads a bag folder, or a `.zip` that holds one (at its root or in one folder).
    ///
    /// Symbolic links are not followed; names that would leave the folder are not read. Bounds:
    /// [`MAX_FILES`], [`MAX_FILE_BYTES`] and [`MAX_PACKAGE_BYTES`], counted while decompressing.
    ///
    /// # Errors
    /// [`PackageError`] when there is nothing that could be checked.
    pub fn open(path: &Path) -> Result<Self, PackageError> {
        let shown = path.display().to_string();
        let metadata = std::fs::metadata(path)
            .map_err(|source| PackageError::Missing { path: shown.clone(), source })?;
        let package = if metadata.is_dir() { folder::read(path)? } else { zip::read(path)? };
        if !package.files.contains_key(crate::layout::bag::BAGIT) {
            return Err(PackageError::NotABag { path: shown });
        }
        Ok(package)
    }

    /// Bytes of a file by its path below the root.
    pub fn file(&self, path: &str) -> Option<&Bytes> {
        self.files.get(path)
    }

    /// Paths of all regular files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Symbolic links, devices, and names that lead outside.
    pub fn irregular(&self) -> &BTreeSet<String> {
        &self.irregular
    }
}

/// Counts what is read against the bounds.
#[derive(Default)]
struct Budget {
    files: usize,
    size_bytes: u64,
}

impl Budget {
    /// How many bytes the next file may have, plus one to notice that it has more.
    fn next_file(&mut self) -> Result<u64, PackageError> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(PackageError::TooLarge(format!("it has more than {MAX_FILES} files")));
        }
        Ok(MAX_FILE_BYTES.min(MAX_PACKAGE_BYTES - self.size_bytes) + 1)
    }

    fn spend(&mut self, path: &str, size_bytes: usize) -> Result<(), PackageError> {
        let size_bytes = size_bytes as u64;
        self.size_bytes += size_bytes;
        if size_bytes > MAX_FILE_BYTES || self.size_bytes > MAX_PACKAGE_BYTES {
            return Err(PackageError::TooLarge(format!(
                "at {path} it passes {MAX_FILE_BYTES} bytes in one file or {MAX_PACKAGE_BYTES} in all"
            )));
        }
        Ok(())
    }
}

/// May this be a path of a package: relative, `/` between plain names, nothing that leads elsewhere?
pub(crate) fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 512
        && path.split('/').all(|name| {
            !name.is_empty()
                && name != "."
                && name != ".."
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_are_not_plain() {
        for good in ["bagit.txt", "data/criteria/CC6.1/population-2.csv"] {
            assert!(is_plain_path(good), "{good}");
        }
        for bad in
            ["", "/etc/passwd", "../x", "data/../../x", "a//b", "a\\b", "C:x", "a/", "ü", "a b"]
        {
            assert!(!is_plain_path(bad), "{bad}");
        }
    }
}
