//! The canonical file of a snapshot.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::{Mistake, SnapshotError};
use super::is_server_name;
use crate::detect::Detector;
use crate::json::Document;
use proto::names::is_leaf_name;

pub(super) const VERSION: u64 = 1;

pub(super) const DETECTORS: &str = "detectors.toml";
pub(super) const SCHEMA: &str = "schema.cedarschema";
const MASKING: &str = "masking.json";
const ENTITIES: &str = "entities.json";

/// A file by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedText {
    /// File name without a folder.
    pub name: String,
    /// Content.
    pub text: String,
}

/// A configured MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Name of the route.
    pub name: String,
    /// Does the route ask for no credential?
    pub open: bool,
}

/// How detectors are used.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskingConfig {
    /// Ids of detectors that do not run.
    pub disabled: Vec<String>,
}

/// Fields ascend by name: their order is the order of the bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotFile {
    pub(super) detectors: String,
    pub(super) engine: String,
    pub(super) masking: MaskingConfig,
    pub(super) policies: Vec<NamedText>,
    pub(super) rules: String,
    pub(super) schema: String,
    pub(super) servers: Vec<Server>,
    pub(super) version: u64,
}

impl SnapshotFile {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let refused = |error: String| SnapshotError::NotASnapshot(error);
        let document = Document::parse(bytes).map_err(|error| refused(error.to_string()))?;
        let version = document.root().get("version").map(|version| version.raw_str().parse());
        match version {
            Some(Ok(VERSION)) => {}
            Some(Ok(version)) => return Err(SnapshotError::UnknownVersion(version)),
            _ => return Err(refused("it has no version".to_owned())),
        }
        serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        line(self)
    }

    /// Mistakes that need no compiler.
    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        let mut wrong =
            |file: &str, message: String| mistakes.push(Mistake::at(file, "", 0, &message));
        let mut names = BTreeSet::new();
        for NamedText { name, .. } in &self.policies {
            let stem = name.strip_suffix(".cedar").unwrap_or_default();
            if !is_leaf_name(stem) || stem.contains('/') || stem.starts_with('.') {
                let rule =
                    "a policy file is named <stem>.cedar, the stem of A-Z a-z 0-9 _ - . : + @";
                wrong(name, rule.to_owned());
            }
            if !names.insert(name) {
                wrong(name, "there are two policy files of this name".to_owned());
            }
        }
        let mut names = BTreeSet::new();
        for Server { name, .. } in &self.servers {
            if !is_server_name(name) {
                wrong(
                    ENTITIES,
                    format!("server name `{name}`: use 1 to 128 of A-Z a-z 0-9 _ - . : + @"),
                );
            }
            if !names.insert(name) {
                wrong(ENTITIES, format!("there are two servers named `{name}`"));
            }
        }
        mistakes
    }

    pub(super) fn unknown_disabled(&self, detectors: &[Detector]) -> Vec<Mistake> {
        let unknown = self
            .masking
            .disabled
            .iter()
            .filter(|id| !detectors.iter().any(|detector| detector.id == **id));
        unknown
            .map(|id| {
                let known: Vec<&str> = detectors.iter().map(|one| one.id.as_str()).collect();
                let message =
                    format!("no detector `{id}` to disable; there are {}", known.join(", "));
                Mistake::at(MASKING, "", 0, &message)
            })
            .collect()
    }

    /// Files for people and for stock Cedar tools.
    pub(super) fn readable(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = self
            .policies
            .iter()
            .map(|policy| (format!("policies/{}", policy.name), policy.text.clone().into_bytes()))
            .collect();
        files.push((DETECTORS.to_owned(), self.detectors.clone().into_bytes()));
        files.push((ENTITIES.to_owned(), line(&self.entities())));
        files.push((MASKING.to_owned(), line(&self.masking)));
        files.push((SCHEMA.to_owned(), self.schema.clone().into_bytes()));
        files
    }

    /// The servers in Cedar's JSON form of entities.
    fn entities(&self) -> Vec<EntityText<'_>> {
        self.servers
            .iter()
            .map(|server| EntityText {
                attrs: Attributes { open: server.open },
                parents: [],
                uid: Uid { id: &server.name, kind: "Server" },
            })
            .collect()
    }
}

#[derive(Serialize)]
struct EntityText<'a> {
    attrs: Attributes,
    parents: [Uid<'a>; 0],
    uid: Uid<'a>,
}

#[derive(Serialize)]
struct Attributes {
    open: bool,
}

#[derive(Serialize)]
struct Uid<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Compact JSON and a line feed. Text and Booleans only, so serialization cannot fail.
fn line(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
