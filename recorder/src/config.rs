//! What a recorder needs to know, and its bounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tlog::{Signer, VerifyingKey};

use crate::address::LedgerAddress;

/// What a recorder needs to know.
#[derive(Debug)]
pub struct RecorderConfig {
    /// Where the ledger is.
    pub ledger: LedgerAddress,
    /// Key of the log that must sign its checkpoints.
    pub log: VerifyingKey,
    /// The recorder's own key, wherever it is kept; its name is the recorder id.
    pub key: Arc<dyn Signer>,
    /// File, this recorder's alone, that keeps the newest checkpoint it verified: after a restart the log must
    /// continue it, or nothing is recorded. Its folder must exist. Without a file a restart begins to watch anew.
    pub checkpoint_file: Option<PathBuf>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of waits and queues.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long [`crate::Recorder::start`] tries to reach the ledger.
    pub start_timeout: Duration,
    /// How long [`crate::Recorder::record`] waits until the event is durable.
    pub record_timeout: Duration,
    /// How long an acknowledged head may be missing from published checkpoints.
    pub publication_timeout: Duration,
    /// Calls of `record` that may wait.
    pub queued: usize,
    /// Events that may be on their way at once.
    pub in_flight: usize,
    /// Bytes of events and disclosures that may wait or be on their way.
    pub budget_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(10),
            record_timeout: Duration::from_secs(5),
            publication_timeout: Duration::from_secs(10),
            queued: 4_096,
            in_flight: 4_096,
            budget_bytes: 96 << 20,
        }
    }
}
