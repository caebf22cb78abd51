//! A package as one file: a ZIP with the same bytes for the same folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Writes the bag folder `package` as the ZIP file `into`, below one folder called `name`: entries by path, times
/// fixed, deflated.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write_zip(package: &Path, name: &str, into: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    list(package, &mut paths)?;
    paths.sort();
    let mut zip = ZipWriter::new(BufWriter::new(File::create_new(into)?));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for path in paths {
        let below = path.strip_prefix(package).map_err(io::Error::other)?;
        let entry = format!("{name}/{}", below.to_string_lossy());
        let large = fs::metadata(&path)?.len() >= u64::from(u32::MAX);
        zip.start_file(entry, options.large_file(large)).map_err(io::Error::other)?;
        io::copy(&mut File::open(&path)?, &mut zip)?;
    }
    let mut file = zip.finish().map_err(io::Error::other)?;
    file.flush()
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}
