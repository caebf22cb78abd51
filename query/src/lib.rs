//! A query node: follows the log and verifies it, keeps its rows in columns, and answers SQL and SIEM pulls.
//!
//! It trusts the log's key and nothing else: every leaf is hashed, every checkpoint must be the root of exactly the
//! leaves that were read. Only rows under a verified checkpoint are shown; at the first contradiction it stops, for
//! good, and keeps the evidence. Every access is recorded in the log before it is answered.
//!
//! * [`Query`] is a running node: [`Query::router`] its HTTP doors, [`Query::archive`] what is verified.
//! * [`Workbench`] is the same SQL over given leaves, offline.
//! * [`Chain`] is what a follower believes, as a pure function of what it was sent.

mod archive;
mod config;
mod door;
mod engine;
mod exported;
mod feed;
mod follower;
mod journal;
mod masking;
mod rows;
mod start;
#[cfg(test)]
mod tests;

pub use archive::{Archive, ProofError};
pub use config::{Limits, QueryConfig};
pub use door::access::{Accessed, Visitor};
pub use door::body::read_body;
pub use door::error::DoorError;
pub use engine::SqlError;
pub use engine::allowance::{Allowance, Bounds};
pub use engine::guard::MAX_SQL_BYTES;
pub use engine::workbench::{Table, Workbench, events_batch};
pub use follower::copy::OpenError;
pub use follower::{Accepted, Chain, Contradiction, ContradictionKind, Nodes};
pub use rows::RowError;
pub use start::{Query, StartError};

/// The versions of Arrow and Parquet that batches of this crate are made of.
pub use {arrow, parquet};
