//! The search for values that must be nowhere: every byte of every file, and every disclosure in the clear.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DemoError;

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Residue {
    /// Files that were read.
    pub files: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// Places where one of the values stood: file and value's number, never the value.
    pub found: Vec<(PathBuf, usize)>,
}

/// Reads every file below `folders` and looks for every one of `values`.
///
/// # Errors
/// When a file cannot be read; one that vanished meanwhile (a store compacts itself) is passed over.
pub fn search(folders: &[&Path], values: &[String]) -> Result<Residue, DemoError> {
    let mut residue = Residue::default();
    for folder in folders {
        walk(folder, values, &mut residue)?;
    }
    Ok(residue)
}

fn walk(folder: &Path, values: &[String], residue: &mut Residue) -> Result<(), DemoError> {
    for entry in fs::read_dir(folder).map_err(DemoError::file(folder))? {
        let entry = entry.map_err(DemoError::file(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(DemoError::file(&path))?;
        if kind.is_dir() {
            walk(&path, values, residue)?;
        } else if kind.is_file() {
            let bytes = match fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.map_err(DemoError::file(&path))?,
            };
            residue.files += 1;
            residue.bytes += bytes.len() as u64;
            let found = matches(&bytes, values);
            residue.found.extend(found.map(|value| (path.clone(), value)));
        }
    }
    Ok(())
}

/// Numbers of the values that stand in `bytes`.
pub(crate) fn matches<'a>(
    bytes: &'a [u8],
    values: &'a [String],
) -> impl Iterator<Item = usize> + 'a {
    let stands = |value: &String| {
        let value = value.as_bytes();
        !value.is_empty() && bytes.windows(value.len()).any(|window| window == value)
    };
    values.iter().enumerate().filter(move |(_, value)| stands(value)).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_counts_what_it_read() {
        let folder = std::env::temp_dir().join(format!("exhibit-residue-{}", std::process::id()));
        let inner = folder.join("inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(folder.join("a"), b"nothing").unwrap();
        fs::write(inner.join("b"), b"\x00\xffsecret-1\x00").unwrap();
        let values = ["secret-2".to_owned(), "secret-1".to_owned(), String::new()];
        let residue = search(&[&folder], &values).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((residue.files, residue.bytes), (2, 18));
        assert_eq!(residue.found, [(inner.join("b"), 1)]);
        assert!(search(&[Path::new("/no/such/folder")], &values).is_err());
    }
}
