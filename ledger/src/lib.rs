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

mod backup;
#[doc(hidden)]
pub mod bench;
mod clock;
mod config;
mod door;
mod erase;
mod folder;
pub mod fsck;
#[doc(hidden)]
pub mod fuzz;
mod health;
mod hold;
mod intake;
mod known_keys;
mod limits;
mod log_keys;
mod own;
mod publish;
mod recent;
mod registry;
mod retention;
mod sequencer;
mod signing;
mod start;
pub mod store;
mod tree;
mod vault;
mod witnessing;

#[cfg(test)]
mod tests;

pub use backup::{
    Backup, BackupConfig, BackupError, BackupKeys, BackupListed, BackupMade, ReadBack, Restore,
    Restored, UnreadableBackup, Verdict, backup_stopped, backups_in, backups_made, restore,
    restored_checkpoint,
};
pub use clock::{ClockBehind, ClockStep};
pub use config::{ConfigError, LedgerConfig, default_listen};
pub use erase::{Masker, approved_with};
pub use fsck::{Finding, FsckRefusal, FsckReport, MAX_FINDINGS_OF_A_KIND, fsck, may_check};
pub use limits::Limits;
pub use publish::PublishError;
pub use retention::{Always, Keep, RetentionClass};
pub use sequencer::Fatal;
pub use start::{Ledger, Options, StartError};
pub use tree::{TreeNodes, TreeReader};
pub use witnessing::{WitnessConfig, WitnessRefusal};
