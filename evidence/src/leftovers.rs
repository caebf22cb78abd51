//! Packages that a process left in its folder when it was killed: they hold disclosures in the clear, and nobody waits for
//! them.

use std::io;
use std::path::Path;

/// Letters of the random name of a package that is being made.
const ID_LETTERS: usize = 32;

/// Removes every package that was being made in the folder. Only one process may make packages there, and it calls this
/// before it begins. What has another kind of name stays.
///
/// # Errors
/// The operating system's. A folder that is not there holds none.
pub fn remove_leftovers(dir: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(is_of_package) {
            continue;
        }
        // The folder itself, never what a link leads to.
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
        tracing::warn!(path = %entry.path().display(), "a package that was left over is removed");
    }
    Ok(())
}

/// `<id>`, `<id>.zip`, or `.<id>.<id>.partial`.
fn is_of_package(name: &str) -> bool {
    let is_id =
        |text: &str| text.len() == ID_LETTERS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let partial = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
    match partial.and_then(|ids| ids.split_once('.')) {
        Some((package, staging)) => is_id(package) && is_id(staging),
        None => is_id(name.strip_suffix(".zip").unwrap_or(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_over_goes_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let id = || recorder::random_id().to_string();
        let staging = format!(".{}.{}.partial", id(), id());
        for gone in [id(), staging] {
            std::fs::create_dir(dir.path().join(&gone)).unwrap();
            std::fs::write(dir.path().join(gone).join("leaves"), "evidence").unwrap();
        }
        std::fs::write(dir.path().join(format!("{}.zip", id())), "evidence").unwrap();
        let kept = ["march", "march.zip", ".hidden", "a.partial", &format!("{}x", id())];
        for name in kept {
            std::fs::write(dir.path().join(name), "mine").unwrap();
        }
        remove_leftovers(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), kept.len());
        remove_leftovers(&dir.path().join("nowhere")).unwrap();
    }
}
