//! What a backup consists of: one JSON file, whose name holds its own digest.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First words of every manifest: the form of what follows.
const FORMAT: &str = "exhibit/backup@v1";

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: String,
    pub(super) backup: u64,
    /// Unix nanoseconds, by the ledger's clock.
    pub(super) made_at_ns: u64,
    /// Who wrote it. The engine's version stands in the store's own OPTIONS file.
    exhibit_version: String,
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: String,
    /// The checkpoint that was published then: the signed note, verbatim.
    pub(super) checkpoint: String,
    /// What the log had been told of keys (the file `keys` of the data folder); empty when nothing.
    pub(super) keys: String,
    /// Which backups may exist (the file `backups` of the data folder), this one among them, as one that is whole.
    #[serde(default)]
    pub(super) backups: String,
    pub(super) files: Vec<StoredFile>,
}

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredFile {
    /// Its name in the store.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// SHA-256 of its bytes, lower-case hex: its name in the depot.
    pub(super) sha256: String,
    /// When the store had written it: a table of the same name, length and time is the same table.
    pub(super) modified_ns: u64,
}

impl Manifest {
    pub(super) fn new(
        backup: u64,
        made_at_ns: u64,
        checkpoint: &tlog::Checkpoint,
        note: &str,
        keys: String,
        files: Vec<StoredFile>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            backup,
            made_at_ns,
            exhibit_version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: checkpoint.origin.clone(),
            size: checkpoint.size.0,
            root: checkpoint.root.to_string(),
            checkpoint: note.to_owned(),
            keys,
            backups: String::new(),
            files,
        }
    }

    /// The same, with the list of the backups that may exist.
    pub(super) fn with_backups(self, backups: String) -> Self {
        Self { backups, ..self }
    }

    /// Name and bytes of its file.
    pub(super) fn encode(&self) -> Result<(String, Vec<u8>), serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok((format!("{:010}.{}.json", self.backup, digest(&bytes)), bytes))
    }

    /// Reads the file of this name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Self, String> {
        let (backup, of) = parse_name(name).ok_or("its name is none of a manifest")?;
        if digest(bytes) != of {
            return Err("its bytes do not have the SHA-256 that its name says".to_owned());
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("its format is {:?}, not {FORMAT}", manifest.format));
        }
        if manifest.backup != backup {
            return Err(format!("it is of backup {}", manifest.backup));
        }
        if let Some(odd) = manifest.files.iter().find(|file| !file.is_sound()) {
            return Err(format!("{:?} is no file of a store", odd.name));
        }
        Ok(manifest)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

impl StoredFile {
    /// Neither name leads anywhere else: what was read from a backup is put where it says.
    fn is_sound(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_name = self.name.bytes().all(plain) && !self.name.starts_with('.');
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_digest = self.sha256.len() == 64 && self.sha256.bytes().all(is_hex);
        !self.name.is_empty() && is_name && is_digest
    }
}

/// The number and digest in the name of a manifest.
pub(super) fn parse_name(name: &str) -> Option<(u64, &str)> {
    let (number, digest) = name.strip_suffix(".json")?.split_once('.')?;
    Some((number.parse().ok()?, digest))
}

pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::{Checkpoint, Hash, TreeSize};

    fn manifest(name: &str) -> Manifest {
        let checkpoint =
            Checkpoint { origin: "log.example".into(), size: TreeSize(7), root: Hash([1; 32]) };
        let sha256 = digest(b"table");
        let file = StoredFile { name: name.into(), bytes: 5, sha256, modified_ns: 1 };
        Manifest::new(3, 9, &checkpoint, "note", String::new(), vec![file])
    }

    #[test]
    fn a_manifest_reads_back_and_no_byte_of_it_may_change() {
        let written = manifest("000007.sst").with_backups("a list\n".into());
        let (name, bytes) = written.encode().unwrap();
        assert!(name.starts_with("0000000003."));
        assert_eq!(Manifest::decode(&name, &bytes), Ok(written));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Manifest::decode(&name, &changed).is_err(), "byte {at}");
        }
        let renamed = name.replacen("3.", "4.", 1);
        assert!(Manifest::decode(&renamed, &bytes).unwrap_err().contains("backup 3"));
    }

    #[test]
    fn no_name_in_a_manifest_leads_out_of_the_store() {
        for hostile in ["../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b", "a\\b", ".hidden"]
        {
            let (name, bytes) = manifest(hostile).encode().unwrap();
            assert!(Manifest::decode(&name, &bytes).is_err(), "{hostile:?}");
        }
    }
}
