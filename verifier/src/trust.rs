//! The trust file: whose word counts. It comes from outside a package; copies inside prove nothing.
//!
//! Lines of [C2SP tlog-policy](https://c2sp.org/tlog-policy) (`log`, `witness`, `group`, `quorum`), and
//!
//! ```text
//! signer <vkey>      a key that may sign packages
//! recorder <vkey>    a recorder of the log; its name is the recorder's id
//! ```

use std::path::Path;

use tlog::{KeyError, Policy, PolicyError, VerifyingKey};

use crate::layout::sshsig;

/// Most `signer` lines, and most `recorder` lines.
pub const MAX_KEYS: usize = 1024;

/// Whose word counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Logs, witnesses and the quorum.
    pub policy: Policy,
    /// Keys that may sign packages.
    pub signers: Vec<VerifyingKey>,
    /// Keys of recorders; names are unique unless a key was rotated.
    pub recorders: Vec<VerifyingKey>,
}

/// Why a trust file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("the trust file {path} cannot be read: {source}")]
    Unreadable {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("the trust file is not usable: {0}")]
    Policy(#[from] PolicyError),
    /// Nobody is trusted for something that every package needs.
    #[error("the trust file has no `{0} <vkey>` line; nothing could be verified without one")]
    Missing(&'static str),
}

impl Trust {
    /// Reads a trust file.
    ///
    /// # Errors
    /// When it cannot be read or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        let text = std::fs::read_to_string(path).map_err(|source| TrustError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads the text of a trust file.
    ///
    /// # Errors
    /// With the first line that is wrong, or the kind of line that is missing.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let (mut signers, mut recorders) = (Vec::new(), Vec::new());
        let policy = Policy::parse_with(text, |_, word, rest| {
            let keys = match word {
                "signer" => &mut signers,
                "recorder" => &mut recorders,
                _ => return Ok(false),
            };
            if keys.len() == MAX_KEYS {
                return Err(format!("more than {MAX_KEYS} `{word}` lines"));
            }
            let key = VerifyingKey::parse(rest).map_err(|error: KeyError| {
                format!("the form of this line is `{word} <vkey>`: {error}")
            })?;
            if keys.contains(&key) {
                return Err("this key is already named by an earlier line".to_owned());
            }
            keys.push(key);
            Ok(true)
        })?;
        for (word, keys) in [("log", &policy.logs), ("signer", &signers), ("recorder", &recorders)]
        {
            if keys.is_empty() {
                return Err(TrustError::Missing(word));
            }
        }
        Ok(Self { policy, signers, recorders })
    }

    /// The `allowed_signers` file with which `ssh-keygen -Y verify` checks packages.
    ///
    /// # Errors
    /// When a key cannot be encoded.
    pub fn allowed_signers(&self) -> Result<String, String> {
        let lines = self.signers.iter().map(sshsig::allowed_signer);
        Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n") + "\n")
    }

    /// The trusted keys of this recorder.
    pub fn recorder(&self, id: &str) -> impl Iterator<Item = &VerifyingKey> {
        self.recorders.iter().filter(move |key| key.name() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vkey(name: &str, seed: u8) -> String {
        tlog::SigningKey::from_seed(name, [seed; 32]).unwrap().verifying_key().to_string()
    }

    #[test]
    fn all_kinds_of_line_are_read() {
        let text = format!(
            "# ours\nlog {}\nquorum none\nsigner {}\nrecorder {}\nrecorder {}\n",
            vkey("log.example", 1),
            vkey("packages.example", 2),
            vkey("gateway-1", 3),
            vkey("ledger", 4),
        );
        let trust = Trust::parse(&text).unwrap();
        assert_eq!(trust.recorder("gateway-1").count(), 1);
        assert_eq!(trust.recorder("gateway-2").count(), 0);
        assert!(trust.allowed_signers().unwrap().contains("ssh-ed25519"));
    }

    #[test]
    fn the_wrong_line_is_named() {
        let base = format!("log {}\nquorum none\n", vkey("log.example", 1));
        let error = |extra: &str| Trust::parse(&format!("{base}{extra}")).unwrap_err().to_string();
        assert!(error("signer nonsense\n").contains("line 3"));
        assert!(error("singer x\n").contains("unknown directive"));
        assert!(error("").contains("`signer <vkey>`"));
        let twice = format!("signer {0}\nsigner {0}\n", vkey("p", 2));
        assert!(error(&twice).contains("already named"));
    }
}
