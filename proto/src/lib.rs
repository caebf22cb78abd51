//! The messages of Exhibit and the pure rules of an event.
//!
//! Everything here is a function of bytes: no I/O, no clock, no randomness. A recorder uses it to make
//! events, the ledger to refuse bad ones, the verifier to check them years later. `docs/format.md` is the
//! prose of these rules.

pub mod access;
pub mod append;
pub mod canonical;
pub mod chain;
pub mod disclosure;
pub mod duty;
pub mod entry;
pub mod erasure;
pub mod ids;
pub mod kind;
pub mod names;
pub mod seal;
mod shape;
pub mod terminal;

pub use access::Role;
pub use canonical::{EventError, MAX_EVENT_BYTES, decode_event};
pub use chain::{ChainHead, event_hash};
pub use duty::Duty;
pub use entry::{EntryError, MAX_ENTRY_BYTES, decode_entry, encode_entry};

/// The generated types of package `exhibit.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/exhibit.v1.rs"));
}

/// The schema of a leaf, as shipped in every package for `protoc --decode`.
pub const ENTRY_PROTO: &str = include_str!("../exhibit/v1/entry.proto");

/// Largest MCP message, disclosure and gRPC message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
