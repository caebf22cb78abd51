//! A package's way onto the disk: whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use verifier::layout::bag::Bag;

use super::ExportError;

/// A package that is on disk, but not yet at its place. Dropped without release, it is removed.
pub(super) struct Staged {
    staging: PathBuf,
    into: PathBuf,
    released: bool,
}

impl Staged {
    pub(super) fn write(bag: &Bag, into: &Path) -> Result<Self, ExportError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Io { path, source }
        };
        let mut name = std::ffi::OsString::from(".");
        name.push(into.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", recorder::random_id()));
        let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(io(parent))?;
        let staging = parent.join(name);
        let staged = Self { staging: staging.clone(), into: into.to_owned(), released: false };
        bag.write(&staging).map_err(io(&staging))?;
        Ok(staged)
    }

    pub(super) fn release(mut self) -> Result<(), ExportError> {
        let io = |source| ExportError::Io { path: self.into.clone(), source };
        if self.into.exists() {
            return Err(ExportError::Exists(self.into.clone()));
        }
        std::fs::rename(&self.staging, &self.into).map_err(io)?;
        self.released = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.released
            && let Err(error) = std::fs::remove_dir_all(&self.staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.staging.display(), %error, "an unreleased package could not be removed");
        }
    }
}
