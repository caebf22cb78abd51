//! Reading a key file: whichever of its forms it has.

use std::path::Path;
use std::sync::Arc;

use tlog::{KeyError, Signer, SigningKey};
use zeroize::Zeroizing;

use crate::agent::{self, AgentKey};
use crate::passphrase;
use crate::sealed::{self, OpenSealedError};

/// A signing key, by where it is kept.
#[derive(Debug)]
pub enum Key {
    /// In the memory of this process.
    Held(SigningKey),
    /// In an ssh-agent.
    Agent(AgentKey),
}

impl Key {
    /// The key as something that signs.
    pub fn into_signer(self) -> Arc<dyn Signer> {
        match self {
            Self::Held(key) => Arc::new(key),
            Self::Agent(key) => Arc::new(key),
        }
    }
}

/// Why a key file cannot be used. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It is missing, unreadable, or others may read it.
    #[error("{0}")]
    File(String),
    /// It holds nothing.
    #[error(
        "{0} is empty: a key file has one line, which `exhibit keygen` makes; was its writing cut off?"
    )]
    Empty(String),
    /// What it holds is no key.
    #[error("{path}: {source}; `exhibit keygen` makes key files")]
    Form {
        /// The file.
        path: String,
        /// What is wrong with its line.
        source: KeyError,
    },
    /// The line that names a key of an agent is wrong.
    #[error("{path}: {reason}")]
    AgentLine {
        /// The file.
        path: String,
        /// What is wrong with its line.
        reason: String,
    },
    /// It is encrypted, and no passphrase can be had.
    #[error("{path} is encrypted, and {reason}")]
    NoPassphrase {
        /// The file.
        path: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// It is encrypted, and could not be opened.
    #[error("{path}: {source}")]
    Sealed {
        /// The file.
        path: String,
        /// Why not.
        source: OpenSealedError,
    },
    /// The key has to be in a file here, and is in an agent.
    #[error(
        "{0} names a key of an ssh-agent, and this place needs the key itself: name a file made by `exhibit keygen`"
    )]
    InAgent(String),
}

/// Opens a key file. Nobody is asked yet when the key is in an agent.
///
/// # Errors
/// [`KeyFileError`] names the file, what is wrong with it and what to do.
pub fn read(path: &Path) -> Result<Key, KeyFileError> {
    let line = identity::read_secret_file(path).map_err(KeyFileError::File)?;
    if agent::is_agent_line(&line) {
        let parsed = AgentKey::parse(&line);
        return parsed.map(Key::Agent).map_err(|reason| KeyFileError::AgentLine {
            path: shown(path),
            reason: reason.to_string(),
        });
    }
    let text = opened(path, line)?;
    let key = SigningKey::parse(&text);
    key.map(Key::Held).map_err(|source| KeyFileError::Form { path: shown(path), source })
}

/// Opens a file whose key must be in it.
///
/// # Errors
/// As [`read`], and [`KeyFileError::InAgent`].
pub fn read_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    match read(path)? {
        Key::Held(key) => Ok(key),
        Key::Agent(_) => Err(KeyFileError::InAgent(shown(path))),
    }
}

/// The line `PRIVATE+KEY+…` of a file, decrypted when it is encrypted: for keys of other types than a log's, such as a
/// witness's.
///
/// # Errors
/// As [`read_key`]; whether the line is a key is for the caller to see.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let line = identity::read_secret_file(path).map_err(KeyFileError::File)?;
    if agent::is_agent_line(&line) {
        return Err(KeyFileError::InAgent(shown(path)));
    }
    opened(path, line)
}

fn opened(path: &Path, line: Zeroizing<String>) -> Result<Zeroizing<String>, KeyFileError> {
    if line.is_empty() {
        return Err(KeyFileError::Empty(shown(path)));
    }
    if !sealed::is_sealed(&line) {
        return Ok(line);
    }
    let passphrase = passphrase::of_key_file(path)
        .map_err(|reason| KeyFileError::NoPassphrase { path: shown(path), reason })?;
    sealed::open(&line, &passphrase)
        .map_err(|source| KeyFileError::Sealed { path: shown(path), source })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn written(dir: &Path, name: &str, line: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, format!("{line}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn each_form_is_told_by_its_first_word() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let vkey = key.verifying_key();
        let plain = written(dir.path(), "plain.key", &key.encode());
        assert!(matches!(read(&plain).unwrap(), Key::Held(read) if read.verifying_key() == vkey));
        let line = agent::line(&vkey, Some(&dir.path().join("socket")));
        let agent = written(dir.path(), "agent.key", &line);
        let read_key_of_agent = read_key(&agent).unwrap_err().to_string();
        assert!(read_key_of_agent.contains("ssh-agent"), "{read_key_of_agent}");
        let signer = read(&agent).unwrap().into_signer();
        assert_eq!(signer.verifying_key(), vkey);
        let none = written(dir.path(), "none.key", "no key at all");
        assert!(matches!(read(&none), Err(KeyFileError::Form { .. })));
        let empty = written(dir.path(), "empty.key", "");
        assert!(matches!(read(&empty), Err(KeyFileError::Empty(_))));
        assert!(matches!(read_text(&empty), Err(KeyFileError::Empty(_))));
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&plain).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn an_encrypted_key_without_a_passphrase_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap();
        let line = sealed::seal(&key.encode(), "correct horse").unwrap();
        let path = written(dir.path(), "log.key", &line);
        // The tests' environment names no passphrase.
        let refused = read(&path).unwrap_err();
        assert!(matches!(refused, KeyFileError::NoPassphrase { .. }), "{refused}");
        assert!(refused.to_string().contains(crate::PASSPHRASE_FILE), "{refused}");
    }
}
