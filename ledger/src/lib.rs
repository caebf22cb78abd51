//! The ledger: one log, sequenced, durable before it is acknowledged, signed, served.
//!
//! ```text
//! recorder ──Append──▶ intake ──▶ sequencer ──▶ store ──▶ acknowledgement
//!                                     │
//!                                     ▼
//!                                 publisher ──▶ checkpoint file ──▶ /checkpoint, Subscribe, tiles
//! ```
//!
//! [`Ledger::start`] recovers a log, or begins one, and [`Ledger::router`] is all of its doors; the caller
//! binds the port. [`fsck()`] checks a stopped ledger's folder.

mod clock;
mod config;
mod door;
mod folder;
pub mod fsck;
mod health;
mod intake;
mod own;
mod publish;
mod registry;
mod sequencer;
mod start;
pub mod store;
mod tree;
mod vault;

#[cfg(test)]
mod tests;

pub use clock::ClockStep;
pub use config::{ConfigError, LedgerConfig, default_listen};
pub use fsck::{Finding, FsckReport, fsck};
pub use publish::PublishError;
pub use sequencer::Fatal;
pub use start::{Ledger, Options, StartError};
pub use tree::TreeReader;
