//! What is asked for, and what comes of it.

use std::path::PathBuf;

use bytes::Bytes;
use proto::Role;
use verifier::{CustomQuery, Parameters};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// First instant of the period.
    pub from: jiff::Timestamp,
    /// First instant after it.
    pub to: jiff::Timestamp,
    /// Whose eyes it is for.
    pub role: Role,
    /// Accept a period that is not over.
    pub open: bool,
    /// Ids of criteria; none = all of the mapping.
    pub criteria: Vec<String>,
    /// The requester's own queries; marked as such.
    pub custom_queries: Vec<CustomQuery>,
    /// Checkpoints that the requester kept from earlier, as signed notes or in a tlog-proof each: the package shall
    /// prove that the log only grew from there.
    pub since: Vec<String>,
    /// Who asks, as JSON: recorded as the access's PRINCIPAL.
    pub requester: Bytes,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The folder of the bag.
    pub path: PathBuf,
    /// SHA-256 of its tag manifest, as recorded.
    pub digest: [u8; 32],
    /// What it says of itself.
    pub parameters: Parameters,
    /// Rows by list, such as `("CC6.1/exceptions", 3)`: sorted by path.
    pub row_counts: Vec<(String, u64)>,
}
