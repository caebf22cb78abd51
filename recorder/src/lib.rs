//! Makes events and gets them into the ledger. Whoever records anything does it through here.
//!
//! A [`Recorder`] numbers events into one chain, commits to their disclosures, sends them over the Append
//! stream, and answers each [`Recorder::record`] only when the ledger has made it durable. Behind that it
//! resends after a broken stream, seals its head, and checks that the head stands in the published log: every
//! recorder is a watcher of the log. Whatever it cannot reconcile makes it refuse from then on.

mod address;
mod away;
mod chain;
mod config;
mod connection;
mod draft;
mod error;
mod frames;
mod health;
mod memory;
mod recorder;
mod session;
mod signing;
mod unacknowledged;
mod watch;

pub use address::{LedgerAddress, root_cause, root_cause_in_clear};
pub use config::{Limits, RecorderConfig};
pub use draft::{Draft, random_id};
pub use error::{RecordError, StartError};
pub use recorder::{Place, Receipt, Recorder};
