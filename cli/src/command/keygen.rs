//! `exhibit keygen`: a signing key for one role, in the form in which it is to be kept.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use console::Term;
use tlog::{SigningKey, WitnessSigningKey};
use zeroize::Zeroizing;

use crate::failure::{self, Failure};
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Name of the key: the log's origin, the recorder's id, or the witness's name
    #[arg(required_unless_present_any = ["from", "show"])]
    name: Option<String>,
    /// Only print the vkey of the key in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "witness", "out", "from", "encrypt", "openssh"])]
    show: Option<PathBuf>,
    /// A witness's key, for cosignatures (type 0x04)
    #[arg(long)]
    witness: bool,
    /// File for the signing key; it must not exist
    #[arg(long, value_name = "FILE", required_unless_present = "show")]
    out: Option<PathBuf>,
    /// Write the key of this file in another form, in place of a new one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "witness"])]
    from: Option<PathBuf>,
    /// Encrypt the file under a passphrase, which is asked for on the terminal unless a file holds it
    #[arg(long)]
    encrypt: bool,
    /// File with the passphrase. Left out: the one that EXHIBIT_KEY_PASSPHRASE_FILE names
    #[arg(long, value_name = "FILE", requires = "encrypt")]
    passphrase_file: Option<PathBuf>,
    /// Write the key as an OpenSSH private key to this file, for ssh-add; the file of --out then only names the key, which
    /// an ssh-agent must hold
    #[arg(long, value_name = "FILE", conflicts_with_all = ["encrypt", "witness"])]
    openssh: Option<PathBuf>,
    /// Path of the agent's socket, written into the file of --out. Left out: where SSH_AUTH_SOCK says when the key is used
    #[arg(long, value_name = "PATH", requires = "openssh")]
    agent_socket: Option<PathBuf>,
}

impl Keygen {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        if let Some(file) = &self.show {
            let vkey = vkey_of(file)?;
            if json {
                say!("{}", serde_json::json!({ "vkey": vkey, "file": file }));
            } else {
                say!("{vkey}");
            }
            return Ok(());
        }
        let Some(out) = &self.out else {
            return Err(Failure::unusable("usage", "where to? give --out FILE"));
        };
        let made = match (&self.from, &self.name) {
            (Some(from), _) => Made::read(from)?,
            (None, Some(name)) if self.witness => Made::new_witness(name)?,
            (None, Some(name)) => Made::new(name)?,
            (None, None) => return Err(Failure::unusable("key_name", "a key needs a name")),
        };
        self.write(&made, out)?;
        let vkey = &made.vkey;
        if json {
            say!("{}", serde_json::json!({ "vkey": vkey, "file": out }));
        } else {
            say!("{vkey}");
        }
        Ok(())
    }

    fn write(&self, made: &Made, out: &Path) -> Result<(), Failure> {
        match &self.openssh {
            Some(openssh) => {
                let key = made.signing_key()?;
                let pem = keys::openssh::private_key(&key)
                    .map_err(|error| Failure::failed("key_form", error))?;
                let line = keys::agent::line(&key.verifying_key(), self.agent_socket.as_deref());
                write_secret(openssh, pem.trim_end())?;
                write_secret(out, &line).inspect_err(|_| {
                    // Made by this very call; nobody knows it yet.
                    std::fs::remove_file(openssh).unwrap_or_default();
                })
            }
            None if self.encrypt => {
                let passphrase = self.passphrase()?;
                let sealed = keys::sealed::seal(&made.line, &passphrase)
                    .map_err(|error| Failure::failed("key_encryption", error))?;
                write_secret(out, &sealed)
            }
            None => write_secret(out, &made.line),
        }
    }

    fn passphrase(&self) -> Result<Zeroizing<String>, Failure> {
        let named = std::env::var_os(keys::PASSPHRASE_FILE).map(PathBuf::from);
        if let Some(file) = self.passphrase_file.as_ref().or(named.as_ref()) {
            return keys::read_passphrase_file(file)
                .map_err(|what| Failure::unusable("passphrase", what));
        }
        let terminal = Term::stderr();
        if !terminal.is_term() {
            let message =
                "no terminal to ask for the passphrase on: give a file with --passphrase-file";
            return Err(Failure::unusable("passphrase", message));
        }
        let first = asked(&terminal, "Passphrase: ")?;
        let second = asked(&terminal, "The same again: ")?;
        if first.is_empty() || first != second {
            let message = "the two passphrases differ, or are empty: nothing was written";
            return Err(Failure::unusable("passphrase", message));
        }
        Ok(first)
    }
}

fn asked(terminal: &Term, prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let ask = || {
        terminal.write_str(prompt)?;
        terminal.read_secure_line()
    };
    ask().map(Zeroizing::new).map_err(|error| Failure::failed("terminal", error))
}

/// A key as the line of its file.
struct Made {
    vkey: String,
    line: Zeroizing<String>,
}

impl Made {
    fn new(name: &str) -> Result<Self, Failure> {
        let key = SigningKey::from_seed(name, seed(name)?)
            .map_err(|error| Failure::unusable("key_name", error))?;
        Ok(Self { vkey: key.verifying_key().to_string(), line: key.encode() })
    }

    fn new_witness(name: &str) -> Result<Self, Failure> {
        let key = WitnessSigningKey::from_seed(name, seed(name)?)
            .map_err(|error| Failure::unusable("key_name", error))?;
        Ok(Self { vkey: key.witness_key().to_string(), line: key.encode() })
    }

    /// The key of a file, of whichever type.
    fn read(path: &Path) -> Result<Self, Failure> {
        let line = keys::read_text(path).map_err(|error| Failure::unusable("key", error))?;
        let vkey = match (SigningKey::parse(&line), WitnessSigningKey::parse(&line)) {
            (Ok(key), _) => key.verifying_key().to_string(),
            (_, Ok(key)) => key.witness_key().to_string(),
            (Err(error), _) => {
                return Err(Failure::unusable("key", format!("{}: {error}", path.display())));
            }
        };
        Ok(Self { vkey, line })
    }

    fn signing_key(&self) -> Result<SigningKey, Failure> {
        SigningKey::parse(&self.line).map_err(|error| {
            let message = format!("an ssh-agent cannot sign with this key: {error}");
            Failure::unusable("key", message)
        })
    }
}

/// The vkey of a file, whatever its form and type.
fn vkey_of(path: &Path) -> Result<String, Failure> {
    match keys::read(path) {
        Ok(key) => Ok(key.into_signer().verifying_key().to_string()),
        // A witness's is of another type.
        Err(_) => Made::read(path).map(|made| made.vkey),
    }
}

/// Makes a key, writes it to a new file of mode 0600, and returns its vkey.
pub(crate) fn write_key(name: &str, path: &Path) -> Result<String, Failure> {
    let made = Made::new(name)?;
    write_secret(path, &made.line)?;
    Ok(made.vkey)
}

/// Fresh randomness for a key of this name.
fn seed(name: &str) -> Result<[u8; 32], Failure> {
    if !proto::names::is_leaf_name(name) {
        return Err(Failure::unusable(
            "key_name",
            format!("{name:?} cannot name a key: use 1 to 128 of A-Z a-z 0-9 _ - . / : @"),
        ));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::failed("randomness", error))?;
    Ok(seed)
}

fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(
        |error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::unusable(
                "place_taken",
                format!("{} exists; a key is never overwritten: name another file", path.display()),
            ),
            _ => failure::file(path, &error),
        },
    )?;
    writeln!(file, "{text}").map_err(|error| failure::file(path, &error))?;
    file.sync_all().map_err(|error| failure::file(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vkey_of_every_kind_of_file_is_shown_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let vkey = write_key("log.example", &path("plain")).unwrap();
        assert_eq!(vkey_of(&path("plain")).unwrap(), vkey);
        let key = SigningKey::parse(&keys::read_text(&path("plain")).unwrap()).unwrap();
        let line = keys::agent::line(&key.verifying_key(), Some(&path("socket")));
        write_secret(&path("agent"), &line).unwrap();
        assert_eq!(vkey_of(&path("agent")).unwrap(), vkey);
        let witness = Made::new_witness("witness.example").unwrap();
        write_secret(&path("witness"), &witness.line).unwrap();
        assert_eq!(vkey_of(&path("witness")).unwrap(), witness.vkey);
        write_secret(&path("none"), "no key").unwrap();
        assert!(vkey_of(&path("none")).is_err());
    }
}
