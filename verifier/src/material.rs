//! What a package's files are functions of.

use proto::v1::{MediaType, Slot};
use proto::{Role, disclosure};
use serde::{Deserialize, Serialize};
use tlog::{Hash, RangeProof, TlogProof};

use crate::layout::Files;

/// Everything that the log and the request contribute to a package. Two equal materials make the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// What was asked for, and of which log.
    pub parameters: Parameters,
    /// The control mapping, verbatim; the parameters name its SHA-256.
    pub mapping: String,
    /// The leaves `[start, end)`, in order.
    pub leaves: Vec<LeafRow>,
    /// One row for each commitment of `leaves`, by index and slot.
    pub disclosures: Vec<DisclosureRow>,
    /// Leaves from outside the range that the checks need, by index.
    pub context: Vec<ContextLeaf>,
    /// One row for each commitment of `context`, by index and slot.
    pub context_disclosures: Vec<DisclosureRow>,
    /// Proof that `leaves` are complete; holds the checkpoint.
    pub proof: RangeProof,
    /// Older checkpoints, by size, each at most once.
    pub earlier: Vec<EarlierCheckpoint>,
}

/// Makes the derived files of a package. The exporter makes them with it, the verifier makes them again.
pub trait Rederive {
    /// Every file of the package that is not material, by its path below `data/`.
    ///
    /// # Errors
    /// A sentence that says why they cannot be made here, such as a mapping that this version cannot read.
    fn derive(&self, material: &Material) -> Result<Files, String>;

    /// The version of Exhibit whose functions these are.
    fn exhibit_version(&self) -> &str;

    /// The control mapping that this build ships. A package is derived with its own; that it is another is remarked.
    fn own_mapping(&self) -> Mapping;
}

/// A leaf: its position and the exact bytes that were hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRow {
    /// Position in the log.
    pub index: u64,
    /// The serialized `Entry`.
    pub bytes: bytes::Bytes,
}

/// A leaf from outside the range, with its proof.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextLeaf {
    /// The leaf.
    pub row: LeafRow,
    /// Its inclusion in the package's checkpoint.
    pub proof: TlogProof,
}

/// An older checkpoint of the same log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierCheckpoint {
    /// Its size.
    pub size: u64,
    /// The signed note, with its cosignatures.
    pub note: String,
    /// Consistency of it with the package's checkpoint, in the order of RFC 6962.
    pub consistency: Vec<Hash>,
}

/// What became of a commitment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Salt and bytes are in the package.
    Disclosed,
    /// The role of the export may not see this slot.
    Withheld,
    /// The bytes were erased; a `DisclosureErased` leaf says so.
    Erased,
}

impl Status {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Disclosed => "disclosed",
            Status::Withheld => "withheld",
            Status::Erased => "erased",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Status::Disclosed, Status::Withheld, Status::Erased]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// A commitment and, when disclosed, what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisclosureRow {
    /// The leaf that commits.
    pub index: u64,
    /// What it commits to.
    pub slot: Slot,
    /// Type of the bytes, as the leaf says.
    pub media_type: MediaType,
    /// What became of it.
    pub status: Status,
    /// Salt and bytes; there exactly when `status` is [`Status::Disclosed`].
    pub opening: Option<Opening>,
}

impl DisclosureRow {
    /// Name of the slot, such as `MESSAGE`.
    pub fn slot_name(&self) -> &'static str {
        disclosure::slot_name(self.slot.into())
    }

    /// The disclosed bytes, if they are there.
    pub fn content(&self) -> Option<&bytes::Bytes> {
        self.opening.as_ref().map(|opening| &opening.content)
    }
}

/// What opens a commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Key of the commitment's BLAKE3 hash.
    pub salt: [u8; 32],
    /// The disclosed bytes.
    pub content: bytes::Bytes,
}

/// Roles that may export; a package for another role is none.
pub const EXPORT_ROLES: [Role; 3] = [Role::Auditor, Role::Compliance, Role::Admin];

/// What was asked for, of which log: `data/ipe/parameters.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// [`Parameters::FORMAT`].
    pub format: String,
    /// Version of Exhibit whose functions made the derived files.
    pub exhibit_version: String,
    /// The log's origin.
    pub origin: String,
    /// vkey of the key that signs the package. Whether to believe it is for the reader's trust file to say.
    pub signer: String,
    /// The period, both in RFC 3339, UTC: `from` is inside, `to` is not.
    pub from: jiff::Timestamp,
    /// First instant after the period.
    pub to: jiff::Timestamp,
    /// The log has no leaf at or after `to` yet, and the requester accepted that.
    pub open: bool,
    /// Whose eyes the package is for; decides what is withheld.
    pub role: String,
    /// The leaves of the package.
    pub range: Range,
    /// What they are proved against.
    pub checkpoint: CheckpointId,
    /// The control mapping whose queries made the criteria lists.
    pub mapping: Mapping,
    /// Ids of the criteria, sorted.
    pub criteria: Vec<String>,
    /// Queries of the requester, not of the mapping, sorted by id.
    pub custom_queries: Vec<CustomQuery>,
    /// Accesses to the evidence after the range that are not among the context leaves, for their number or size.
    pub custody_omitted: u64,
}

/// A run of leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Index of the first leaf.
    pub start: u64,
    /// Index after the last leaf.
    pub end: u64,
}

/// Size and root of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointId {
    /// Number of leaves.
    pub size: u64,
    /// Root, in base64.
    pub root: String,
}

/// Identity of a control mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Its name, such as `soc2`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its file, in hex.
    pub sha256: String,
}

/// A query that the requester brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomQuery {
    /// Names the file `data/criteria/custom-<id>/population.csv`.
    pub id: String,
    /// One SELECT.
    pub sql: String,
}

impl Parameters {
    /// The format's name, first in the file.
    pub const FORMAT: &str = "exhibit/package@v1";

    /// The file: indented JSON and a newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("a struct of strings, numbers and times always serializes");
        text.push('\n');
        text
    }

    /// Nanoseconds of the period's start since 1970. A package whose times are not [countable](is_countable) is not
    /// read; elsewhere they are clamped.
    pub fn from_ns(&self) -> u64 {
        nanoseconds(self.from)
    }

    /// Nanoseconds of the period's end since 1970; as [`from_ns`](Self::from_ns).
    pub fn to_ns(&self) -> u64 {
        nanoseconds(self.to)
    }

    /// The role; `None` when this version does not know it.
    pub fn role(&self) -> Option<Role> {
        self.role.parse().ok()
    }
}

/// Can a leaf have this time: is it in the years 1970 to 2262, as the columns of the tables count them?
pub fn is_countable(time: jiff::Timestamp) -> bool {
    (0..=i128::from(i64::MAX)).contains(&time.as_nanosecond())
}

fn nanoseconds(time: jiff::Timestamp) -> u64 {
    let nanoseconds = time.as_nanosecond().max(0);
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}
