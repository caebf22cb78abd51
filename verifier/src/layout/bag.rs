//! Writing a BagIt 1.0 bag: payload, manifests, signature.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tlog::Signer;

use super::{Files, sshsig};
use crate::material::Parameters;

/// Declares a bag.
pub const BAGIT: &str = "bagit.txt";
/// What the bag is about, for people and repositories.
pub const BAG_INFO: &str = "bag-info.txt";
/// SHA-256 of every payload file.
pub const MANIFEST: &str = "manifest-sha256.txt";
/// SHA-256 of every file above; what is signed.
pub const TAG_MANIFEST: &str = "tagmanifest-sha256.txt";
/// SSHSIG over [`TAG_MANIFEST`].
pub const SIGNATURE: &str = "tagmanifest-sha256.txt.sig";
/// Exact content of [`BAGIT`].
pub const DECLARATION: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

/// A bag that is ready to be written.
#[derive(Debug)]
pub struct Bag {
    files: Files,
}

impl Bag {
    /// Wraps payload files (paths below `data/`) with manifests and a signature. The same payload,
    /// description and key give the same bytes.
    ///
    /// # Errors
    /// When the key does not sign, or the signature cannot be encoded.
    pub fn seal(payload: Files, info: &BagInfo, signer: &dyn Signer) -> Result<Self, String> {
        let mut bag = Self::unsigned(payload, info);
        let tag_manifest = bag.files.get(TAG_MANIFEST).map(Vec::as_slice).unwrap_or_default();
        let signature = sshsig::sign(signer, tag_manifest)?;
        bag.files.insert(SIGNATURE.to_owned(), signature.into_bytes());
        Ok(bag)
    }

    /// Wraps payload files with manifests only.
    pub fn unsigned(payload: Files, info: &BagInfo) -> Self {
        let mut files = payload;
        let info = info.to_text(&files);
        let manifest = manifest(&files);
        let tags = Files::from([
            (BAGIT.to_owned(), DECLARATION.as_bytes().to_vec()),
            (BAG_INFO.to_owned(), info.into_bytes()),
            (MANIFEST.to_owned(), manifest.into_bytes()),
        ]);
        let tag_manifest = self::manifest(&tags).into_bytes();
        files.extend(tags);
        files.insert(TAG_MANIFEST.to_owned(), tag_manifest);
        Self { files }
    }

    /// All files, tag files included.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// SHA-256 of [`TAG_MANIFEST`]: the identity of a package.
    pub fn digest(&self) -> [u8; 32] {
        // Every bag is made with it.
        let tag_manifest = self.files.get(TAG_MANIFEST).map(Vec::as_slice).unwrap_or_default();
        Sha256::digest(tag_manifest).into()
    }

    /// Writes all files below `folder`, each synced, so that a rename of the folder releases it whole. A new folder is for this
    /// user alone: what is in it was disclosed to whoever asked for it.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for (path, bytes) in &self.files {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = fs::File::create_new(&path)?;
            io::Write::write_all(&mut file, bytes)?;
            file.sync_all()?;
        }
        Ok(())
    }
}

/// Lines of [`BAG_INFO`], besides the size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BagInfo {
    /// One sentence.
    pub description: String,
    /// Names the bag among others of the same log.
    pub identifier: String,
    /// Version of Exhibit.
    pub exhibit_version: String,
}

impl BagInfo {
    /// Of a package with these parameters.
    pub fn of_package(parameters: &Parameters) -> Self {
        let Parameters { origin, range, from, to, exhibit_version, .. } = parameters;
        Self {
            description: format!("Evidence of the log {origin} for the period {from} to {to}"),
            identifier: format!("{origin}#{}-{}", range.start, range.end),
            exhibit_version: exhibit_version.clone(),
        }
    }

    /// The file, given the payload that it counts.
    pub fn to_text(&self, payload: &Files) -> String {
        let octets: usize = payload.values().map(Vec::len).sum();
        let streams = payload.len();
        format!(
            "Bag-Software-Agent: exhibit {}\nExternal-Description: {}\nExternal-Identifier: {}\nPayload-Oxum: {octets}.{streams}\n",
            self.exhibit_version, self.description, self.identifier
        )
    }
}

/// Lines `<sha256 hex>  <path>`, by path.
pub fn manifest(files: &Files) -> String {
    files.iter().fold(String::new(), |mut text, (path, bytes)| {
        writeln!(text, "{}  {path}", hex::encode(Sha256::digest(bytes)))
            .expect("writing to a String cannot fail");
        text
    })
}
