//! Folders that are still there after a power cut.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Creates a folder and what is missing above it, for this user alone, each entered durably in the folder that holds it.
/// One that is there is entered durably, too: who created it may have been killed before that.
///
/// # Errors
/// The operating system's.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let above = above(folder);
    if folder.is_dir() {
        return match sync(above) {
            // A folder above that may not even be read is not one that this program made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    create(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => {
            return Err(error);
        }
        _ => {}
    }
    sync(above)
}

/// The bytes of a file; none when it is not there.
///
/// # Errors
/// The operating system's, with the file's name.
pub(crate) fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

/// Replaces a file, durably: after a crash at any moment it is the one of before, or this one.
///
/// # Errors
/// The operating system's; the file is the one of before then, but for an error of the last sync.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = above(file);
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    rename(new, file)?;
    sync(folder)
}

/// Gives a file that was written its name, by the C library, whose calls the tests of crashes see. Removed on an error.
///
/// # Errors
/// The operating system's.
pub(crate) fn rename(new: tempfile::NamedTempFile, file: &Path) -> io::Result<()> {
    // Removed when it is dropped, as by an error, until it is renamed.
    let mut new = new.into_temp_path();
    fs::rename(&new, file)?;
    new.disable_cleanup(true);
    Ok(())
}

/// Keeps others out of a folder that was there before.
///
/// # Errors
/// The operating system's: somebody else owns it.
pub(crate) fn keep_private(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    tracing::info!(folder = %folder.display(), "others could read this folder; it is for this user alone now");
    Ok(())
}

/// Makes what was entered in a folder, or renamed there, durable.
///
/// # Errors
/// The operating system's.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that holds `path`.
pub(crate) fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        // The root is its own; a bare name lies in the working folder.
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_above_is_created_too() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("a/b/c");
        create(&deep).unwrap();
        create(&deep).unwrap();
        assert!(deep.is_dir());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&deep), 0o700);
        fs::set_permissions(&deep, Permissions::from_mode(0o755)).unwrap();
        keep_private(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        fs::write(scratch.path().join("file"), "").unwrap();
        assert!(create(&scratch.path().join("file")).is_err());
        assert!(create(&scratch.path().join("file/below")).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        for text in ["one", "two, which is longer", ""] {
            replace(&file, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        // A folder of that name cannot be replaced by a file.
        fs::create_dir(scratch.path().join("folder")).unwrap();
        assert!(replace(&scratch.path().join("folder"), b"x").is_err());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
    }

    /// Break it: let `read` pass on the operating system's error as it is.
    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        assert_eq!(read(&file).unwrap(), None);
        fs::write(&file, [0xff]).unwrap();
        assert_eq!(read(&file).unwrap(), Some(vec![0xff]));
        fs::create_dir(scratch.path().join("folder")).unwrap();
        let error = read(&scratch.path().join("folder")).unwrap_err();
        assert!(error.to_string().contains("/folder: "), "{error}");
    }

    #[test]
    fn every_path_has_a_folder_above() {
        assert_eq!(above(Path::new("data/ledger")), Path::new("data"));
        assert_eq!(above(Path::new("ledger")), Path::new("."));
        assert_eq!(above(Path::new("/")), Path::new("/"));
    }
}
