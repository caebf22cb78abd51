//! Reading a file that holds a secret, such as a signing key.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

/// Reads a file that only its owner may read: text, without the white space around it.
///
/// # Errors
/// In words that name the file and what to do; never with its content.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let about = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} is missing", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    };
    let mode = mode(&std::fs::metadata(path).map_err(about)?);
    if mode & 0o077 != 0 {
        return Err(format!(
            "{} has mode {mode:04o}, so that others may read it: chmod 600 {0}",
            path.display()
        ));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(about)?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_its_owner_may_read_it() {
        let path = std::env::temp_dir().join(format!("exhibit-secret-{}", std::process::id()));
        assert!(read_secret_file(&path).unwrap_err().ends_with("is missing"));
        fs::write(&path, " s3cret \n").unwrap();
        for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read_secret_file(&path);
            assert_eq!(read.as_deref().map(String::as_str).ok(), good.then_some("s3cret"));
            assert!(good || read.unwrap_err().contains("chmod 600"));
        }
        fs::remove_file(&path).unwrap();
    }
}
