//! Where a moment of the store stands while it is copied into a backup: hard links within the data folder, beside the store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder within the data folder.
const MOMENT: &str = "snapshot";

/// Where a moment of the store is put.
pub(crate) fn moment_in(data_dir: &Path) -> PathBuf {
    data_dir.join(MOMENT)
}

/// Whether a moment of the store stands in the data folder: other names of files that may be gone from the store.
pub(crate) fn holds_moment(data_dir: &Path) -> bool {
    names(data_dir).iter().any(|moment| moment.exists())
}

/// The second name is the engine's, until the moment is whole.
fn names(data_dir: &Path) -> [PathBuf; 2] {
    [moment_in(data_dir), data_dir.join(format!("{MOMENT}.tmp"))]
}

/// Removes what a backup that was cut off left in the data folder: links that would keep tables, and what was erased
/// from them, on the disk.
///
/// # Errors
/// The operating system's.
pub(crate) fn remove_leftovers(data_dir: &Path) -> io::Result<()> {
    for moment in names(data_dir) {
        match fs::remove_dir_all(moment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break it: leave the second name out of `names`.
    #[test]
    fn a_moment_is_seen_and_removed_under_either_name() {
        let data_dir = tempfile::tempdir().unwrap();
        remove_leftovers(data_dir.path()).unwrap();
        for name in names(data_dir.path()) {
            assert!(!holds_moment(data_dir.path()));
            fs::create_dir(&name).unwrap();
            fs::write(name.join("000007.sst"), b"table").unwrap();
            assert!(holds_moment(data_dir.path()), "{}", name.display());
            remove_leftovers(data_dir.path()).unwrap();
            assert!(!name.exists());
        }
    }
}
