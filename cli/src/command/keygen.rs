//! `exhibit keygen`: a signing key for one role.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;
use tlog::SigningKey;

use crate::failure::{self, Failure};
use crate::say::say;

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// Name of the key: the log's origin, or the recorder's id
    name: String,
    /// File for the signing key; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Keygen {
    pub(crate) fn run(self, json: bool) -> Result<(), Failure> {
        let vkey = write_key(&self.name, &self.out)?;
        if json {
            say!("{}", serde_json::json!({ "vkey": vkey, "file": self.out }));
        } else {
            say!("{vkey}");
        }
        Ok(())
    }
}

/// Makes a key, writes it to a new file of mode 0600, and returns its vkey.
pub(crate) fn write_key(name: &str, path: &std::path::Path) -> Result<String, Failure> {
    if !proto::names::is_leaf_name(name) {
        return Err(Failure::unusable(
            "key_name",
            format!("{name:?} cannot name a key: use 1 to 128 of A-Z a-z 0-9 _ - . / : @"),
        ));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failure::failed("randomness", error))?;
    let key =
        SigningKey::from_seed(name, seed).map_err(|error| Failure::unusable("key_name", error))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(
        |error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::unusable(
                "place_taken",
                format!("{} exists; a key is never overwritten: name another file", path.display()),
            ),
            _ => failure::file(path, &error),
        },
    )?;
    writeln!(file, "{}", *key.encode()).map_err(|error| failure::file(path, &error))?;
    file.sync_all().map_err(|error| failure::file(path, &error))?;
    Ok(key.verifying_key().to_string())
}
