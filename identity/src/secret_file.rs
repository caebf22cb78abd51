//! Reading a file that holds a secret, such as a signing key.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Reads a file that only its owner has access to, who is this user or root: text, without the white space around it.
///
/// # Errors
/// In words that name the file and what to do; never with its content.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let about = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} is missing", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    };
    let mut file = File::open(path).map_err(about)?;
    // Of the file that is read, not of one that may take its place meanwhile.
    let found = Found::of(&file.metadata().map_err(about)?);
    if let Some(what) = found.objection(user_of_process()) {
        return Err(format!("{} {what} {0}", path.display()));
    }
    let mut text = Zeroizing::new(String::with_capacity(found.size));
    file.read_to_string(&mut text).map_err(about)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// The user, by number, as whom this process reads and writes files.
pub fn user_of_process() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// What matters of an open file.
struct Found {
    mode: u32,
    owner: u32,
    /// Room for all of it, so that no part is left behind where the text grew. Bounded, as what a stranger may write is.
    size: usize,
}

impl Found {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(64 << 10);
        Self { mode: metadata.mode() & 0o7777, owner: metadata.uid(), size }
    }

    /// Why this user should not believe or use the file, and a command that mends it but for the file's name.
    fn objection(&self, user: u32) -> Option<String> {
        if self.owner != user && self.owner != 0 {
            return Some(format!(
                "belongs to user {}, who is neither the user of this process ({user}) nor root, and could put another \
                 secret in its place: chown {user}",
                self.owner
            ));
        }
        (self.mode & 0o077 != 0).then(|| {
            format!("has mode {:04o}, so that others may have access to it: chmod 600", self.mode)
        })
    }
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

    #[test]
    fn only_this_user_and_root_may_own_it() {
        let found = |owner, mode| Found { mode, owner, size: 0 }.objection(1000);
        assert_eq!(found(1000, 0o600), None);
        assert_eq!(found(0, 0o400), None);
        assert!(found(1001, 0o600).unwrap().ends_with("chown 1000"));
        assert!(found(0, 0o640).unwrap().ends_with("chmod 600"));
    }
}
