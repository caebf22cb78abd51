//! Reads an evidence package and checks it offline; defines its layout.
//!
//! [`verify`] needs the package and a [`Trust`] file from outside, and nothing else: no network, no server, no
//! word of whoever made the package. It recomputes the log's root from the exact leaves, follows the recorders'
//! chains, opens every commitment, and performs every policy decision again. What needs SQL it asks of a
//! [`Rederive`] that the caller supplies.
//!
//! [`layout`] is the one definition of a package's files: the exporter writes with it, the verifier reads with it.

mod check;
mod compile;
pub mod layout;
mod material;
mod read;
mod report;
mod trust;

pub use check::{Options, read_material, verify, verify_opened};
pub use material::{
    CheckpointId, ContextLeaf, CustomQuery, DisclosureRow, EXPORT_ROLES, EarlierCheckpoint,
    LeafRow, Mapping, Material, Opening, Parameters, Range, Rederive, Status, is_countable,
};
pub use read::{Package, PackageError};
pub use report::{Check, Outcome, Remark, Report, Subject};
pub use trust::{MAX_KEYS, Trust, TrustError};
