//! Where the passphrase of an encrypted key file comes from when a component starts: never from the command line, and
//! never from the value of an environment variable, which other processes and crash reports may show.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The environment variable that names a file with the passphrase of all encrypted key files.
pub const PASSPHRASE_FILE: &str = "EXHIBIT_KEY_PASSPHRASE_FILE";
/// Where systemd puts a unit's credentials (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The passphrase in a file: its text without the white space around it. Only the file's owner may have access to it.
///
/// # Errors
/// In words that name the file and what to do; also when it is empty.
pub fn read_passphrase_file(path: &Path) -> Result<Zeroizing<String>, String> {
    not_empty(identity::read_secret_file(path)?, path)
}

/// The passphrase of a key file: the unit's credential `<name of the key file>.passphrase`, or else the file that
/// [`PASSPHRASE_FILE`] names.
pub(crate) fn of_key_file(key_file: &Path) -> Result<Zeroizing<String>, String> {
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    let named = std::env::var_os(PASSPHRASE_FILE).map(PathBuf::from);
    from(key_file, credentials.as_deref(), named.as_deref())
}

fn from(
    key_file: &Path,
    credentials: Option<&Path>,
    named: Option<&Path>,
) -> Result<Zeroizing<String>, String> {
    let credential = credential_name(key_file);
    if let Some(path) = credentials.map(|folder| folder.join(&credential))
        && path.exists()
    {
        return read_credential(&path);
    }
    match named {
        Some(path) => read_passphrase_file(path),
        None => Err(format!(
            "nobody says its passphrase: name a file with it in the environment variable {PASSPHRASE_FILE}, or give the \
             systemd unit the credential {credential}"
        )),
    }
}

fn credential_name(key_file: &Path) -> String {
    let name = key_file.file_name().unwrap_or_default();
    format!("{}.passphrase", name.to_string_lossy())
}

/// systemd alone can put files into that folder, and gives access by an ACL that the mode does not show as such.
fn read_credential(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = Zeroizing::new(text);
    not_empty(Zeroizing::new(text.trim().to_owned()), path)
}

fn not_empty(passphrase: Zeroizing<String>, path: &Path) -> Result<Zeroizing<String>, String> {
    if passphrase.is_empty() {
        return Err(format!("{} holds no passphrase", path.display()));
    }
    Ok(passphrase)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_credential_of_the_key_comes_before_the_file_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("log.key");
        let all = dir.path().join("all");
        fs::write(&all, "for all\n").unwrap();
        fs::set_permissions(&all, fs::Permissions::from_mode(0o600)).unwrap();
        let read = |credentials, named| from(&key, credentials, named);
        assert!(read(Some(dir.path()), None).unwrap_err().contains("log.key.passphrase"));
        assert_eq!(*read(Some(dir.path()), Some(&all)).unwrap(), "for all");
        // systemd's show a mode for the group, which is the mask of an ACL.
        fs::write(dir.path().join("log.key.passphrase"), "for the log\n").unwrap();
        assert_eq!(*read(Some(dir.path()), Some(&all)).unwrap(), "for the log");
        fs::set_permissions(&all, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(None, Some(&all)).unwrap_err().contains("chmod 600"));
        fs::write(&all, " \n").unwrap();
        fs::set_permissions(&all, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(None, Some(&all)).unwrap_err().contains("no passphrase"));
    }
}
