//! Everything that decides, as one canonical file with one digest.
//!
//! The file is JSON in UTF-8 with member names ascending, no spaces and one line feed at its end, version 1:
//!
//! `{"detectors":"<TOML>","engine":"cedar-policy 4.14.1","masking":{"disabled":["email"]},"policies":`
//! `[{"name":"billing.cedar","text":"…"}],"rules":"exhibit-masking 1","schema":"…",`
//! `"servers":[{"name":"db","open":false}],"version":1}`
//!
//! Policies and servers ascend by name, disabled detectors ascend. The snapshot's digest is the SHA-256 of
//! these bytes.

mod error;
mod file;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proto::names::is_leaf_name;
use proto::v1::{Fact, MaskCount, MediaType};
use sha2::{Digest, Sha256};

use crate::decision::{Decision, DecisionInput, Engine, PolicyFile};
use crate::detect::{DEFAULT_DETECTORS, Detector, DetectorSet};
use crate::facts;
use crate::json::Document;
use crate::mask::{self, MaskError, Masked, MaskedText, RULES};

pub use error::{Mistake, SnapshotError};
pub use file::{MaskingConfig, NamedText, Server};

use file::SnapshotFile;

/// The policy engine of this build, as it stands in a snapshot.
pub const ENGINE: &str = "cedar-policy 4.14.1";

/// The Cedar schema that Exhibit ships.
pub const DEFAULT_SCHEMA: &str = include_str!("../../../schemas/cedar/exhibit.cedarschema");

/// What a snapshot is made of.
#[derive(Debug, Clone, Default)]
pub struct SnapshotSource {
    /// Policy files, `<stem>.cedar`. A policy's id is its `@id("…")`, else `<stem>:<n>`, counted from 1.
    pub policies: Vec<NamedText>,
    /// The configured MCP servers.
    pub entities: Vec<Server>,
    /// Detector data; the default detectors when absent.
    pub detectors: Option<String>,
    /// How detectors are used.
    pub masking: MaskingConfig,
}

/// Compiled policies, schema, detectors and masking rules; cheap to clone.
#[derive(Clone)]
pub struct Snapshot(Arc<Inner>);

struct Inner {
    bytes: Bytes,
    digest: [u8; 32],
    file: SnapshotFile,
    detectors: DetectorSet,
    engine: Engine,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest: String = self.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "Snapshot({digest})")
    }
}

impl Snapshot {
    /// Compiles a snapshot for this build's engine and schema.
    ///
    /// # Errors
    /// [`SnapshotError::Mistakes`] names every mistake with file, line and column.
    pub fn build(source: SnapshotSource) -> Result<Self, SnapshotError> {
        let SnapshotSource { mut policies, entities: mut servers, detectors, mut masking } = source;
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        servers.sort_by(|a, b| a.name.cmp(&b.name));
        masking.disabled.sort_unstable();
        masking.disabled.dedup();
        Self::compile(SnapshotFile {
            detectors: detectors.unwrap_or_else(|| DEFAULT_DETECTORS.to_owned()),
            engine: ENGINE.to_owned(),
            masking,
            policies,
            rules: RULES.to_owned(),
            schema: DEFAULT_SCHEMA.to_owned(),
            servers,
            version: file::VERSION,
        })
    }

    /// Reads a snapshot back from its canonical file. It may name another engine or other masking rules than
    /// this build's: see [`Snapshot::engine_matches`] and [`Snapshot::rules_match`].
    ///
    /// # Errors
    /// [`SnapshotError`] when the bytes are not a canonical snapshot, or its parts no longer compile.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let file = SnapshotFile::read(bytes)?;
        let snapshot = Self::compile(file)?;
        let differs = snapshot.bytes().iter().zip(bytes).position(|(ours, theirs)| ours != theirs);
        if differs.is_some() || snapshot.bytes().len() != bytes.len() {
            let offset = differs.unwrap_or_else(|| bytes.len().min(snapshot.bytes().len()));
            return Err(SnapshotError::NotCanonical { offset });
        }
        Ok(snapshot)
    }

    fn compile(file: SnapshotFile) -> Result<Self, SnapshotError> {
        let mut mistakes = file.mistakes();
        let detectors = DetectorSet::load(&file.detectors, &file.masking.disabled);
        let open = file.servers.iter().filter(|server| server.open);
        let open: BTreeSet<String> = open.map(|server| server.name.clone()).collect();
        let files: Vec<PolicyFile<'_>> = file
            .policies
            .iter()
            .map(|policy| PolicyFile { name: &policy.name, text: &policy.text })
            .collect();
        let engine = Engine::new(&files, &file.schema, open);
        match &detectors {
            Ok(set) => mistakes.extend(file.unknown_disabled(set.detectors())),
            Err(found) => mistakes.extend(found.iter().map(|mistake| {
                Mistake::at(file::DETECTORS, &file.detectors, mistake.offset, &mistake.message)
            })),
        }
        if let Err(found) = &engine {
            mistakes.extend(found.iter().map(|mistake| match mistake.file {
                Some(index) => {
                    let NamedText { name, text } = &file.policies[index];
                    Mistake::at(name, text, mistake.offset, &mistake.message)
                }
                None => Mistake::at(file::SCHEMA, &file.schema, mistake.offset, &mistake.message),
            }));
        }
        match (detectors, engine) {
            (Ok(detectors), Ok(engine)) if mistakes.is_empty() => {
                let bytes = Bytes::from(file.to_bytes());
                let digest = Sha256::digest(&bytes).into();
                Ok(Snapshot(Arc::new(Inner { bytes, digest, file, detectors, engine })))
            }
            _ => Err(SnapshotError::Mistakes(mistakes)),
        }
    }

    /// The canonical file.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// SHA-256 of the canonical file.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// Name and version of the policy engine that the snapshot was made for.
    pub fn engine(&self) -> &str {
        &self.0.file.engine
    }

    /// Was the snapshot made for the engine of this build? Otherwise a decision performed again may differ
    /// for that reason.
    pub fn engine_matches(&self) -> bool {
        self.engine() == ENGINE
    }

    /// Name and version of the masking rules that the snapshot was made for.
    pub fn rules(&self) -> &str {
        &self.0.file.rules
    }

    /// Was the snapshot made for the masking rules of this build? Otherwise [`Snapshot::residue`] may find what
    /// the rules of then did not look for.
    pub fn rules_match(&self) -> bool {
        self.rules() == RULES
    }

    /// The snapshot as files that a person can read: path and content.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.0.file.readable()
    }

    /// The configured servers, by name.
    pub fn servers(&self) -> &[Server] {
        &self.0.file.servers
    }

    /// Detectors of the snapshot, disabled ones included.
    pub fn detectors(&self) -> &[Detector] {
        self.0.detectors.detectors()
    }

    /// Masks a JSON-RPC message, or a batch of them, for the record.
    ///
    /// Everything is masked, except for two members of the envelope: `jsonrpc` when it is "2.0" and `method` when
    /// MCP defines it. An `id`, text or number, and `requestState` are masked as all else is: a record may not
    /// hold what they may carry.
    ///
    /// # Errors
    /// [`MaskError`]: the message may be neither recorded nor passed on.
    pub fn mask_message(&self, message: &[u8]) -> Result<Masked, MaskError> {
        mask::for_record(&self.0.detectors, message)
    }

    /// Masks a message for the peer that it goes to: like [`Snapshot::mask_message`], but `id` and
    /// `result.requestState` pass byte by byte, because the exchange cannot go on without them.
    ///
    /// # Errors
    /// As [`Snapshot::mask_message`].
    pub fn mask_for_caller(&self, message: &[u8]) -> Result<Masked, MaskError> {
        mask::for_caller(&self.0.detectors, message)
    }

    /// Masks a text that is not JSON, such as SQL or a header.
    pub fn mask_text(&self, text: &str) -> MaskedText {
        mask::plain(&self.0.detectors, text)
    }

    /// Facts of a raw message, sorted by kind and label: what masking found in it, and the kinds of SQL
    /// statements in its arguments.
    pub fn facts(&self, message: &Document<'_>, masked: &Masked) -> Vec<Fact> {
        facts::of_message(message, &masked.counts)
    }

    /// Decides on a call: a function of this snapshot and [`DecisionInput::bytes`], and of nothing else.
    pub fn authorize(&self, input: &DecisionInput) -> Decision {
        self.0.engine.decide(input)
    }

    /// What detectors still find in recorded bytes of this type, sorted by detector: nothing, when they were
    /// masked by this snapshot and this build's rules.
    pub fn residue(&self, recorded: &[u8], media_type: MediaType) -> Vec<MaskCount> {
        match media_type {
            MediaType::Text => mask::text_findings(&self.0.detectors, recorded),
            _ => mask::findings(&self.0.detectors, recorded),
        }
    }
}

/// May a route be called so?
fn is_server_name(name: &str) -> bool {
    is_leaf_name(name) && !name.contains('/')
}

#[cfg(test)]
mod tests;
