//! Why something could not be recorded.

use std::path::PathBuf;

use proto::EventError;

/// Why [`crate::Recorder::record`] failed. Whether the event is in the log all the same, or will be:
/// [`RecordError::may_come`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordError {
    /// The ledger cannot be reached, or did not acknowledge in time. Retryable.
    #[error("the ledger did not acknowledge the event: {reason}")]
    Unavailable {
        /// What is known of the cause.
        reason: String,
    },
    /// Too much waits to be recorded already. Retryable.
    #[error("too many events wait to be recorded; try again shortly")]
    Overloaded,
    /// A disclosure is larger than [`proto::MAX_MESSAGE_BYTES`].
    #[error(
        "a disclosure of {size_bytes} bytes is too large; at most {} are recorded",
        proto::MAX_MESSAGE_BYTES
    )]
    TooLarge {
        /// Its length.
        size_bytes: usize,
    },
    /// The event breaks a rule of the format.
    #[error(transparent)]
    Invalid(std::sync::Arc<EventError>),
    /// The ledger refuses this recorder, or contradicts what it acknowledged. Recording has ended.
    #[error("the ledger and this recorder disagree ({code}): {message}")]
    Refused {
        /// Stable name.
        code: String,
        /// What happened.
        message: String,
    },
    /// Acknowledged events do not appear in published checkpoints. Recording waits until they do.
    #[error(
        "events acknowledged {seconds} s ago are in no published checkpoint; nothing more is recorded until they \
         are"
    )]
    Unverified {
        /// Age of the oldest.
        seconds: u64,
    },
    /// The recorder was stopped.
    #[error("the recorder has been stopped")]
    Stopped,
}

impl RecordError {
    /// Stable name of the error.
    pub fn code(&self) -> &str {
        match self {
            RecordError::Unavailable { .. } => "ledger_unavailable",
            RecordError::Overloaded => "recorder_overloaded",
            RecordError::TooLarge { .. } => "disclosure_too_large",
            RecordError::Invalid(_) => "event_invalid",
            RecordError::Refused { code, .. } => code,
            RecordError::Unverified { .. } => "publication_overdue",
            RecordError::Stopped => "recorder_stopped",
        }
    }

    /// Is the log not what this recorder verified before? That is evidence, not a failure of a service.
    pub fn is_contradiction(&self) -> bool {
        let RecordError::Refused { code, .. } = self else { return false };
        ["ledger_lost_events", "checkpoint_contradicted", "acknowledged_event_missing"]
            .contains(&code.as_str())
    }

    /// May the event be in the log all the same, now or later? Otherwise it is not, and never will be.
    pub fn may_come(&self) -> bool {
        matches!(self, RecordError::Unavailable { .. } | RecordError::Refused { .. })
    }

    /// May the same call succeed later without anybody's help?
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            RecordError::Unavailable { .. }
                | RecordError::Overloaded
                | RecordError::Unverified { .. }
        )
    }
}

/// Why a recorder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key's name may not stand in a leaf.
    #[error("the recorder key's name {0:?} may not stand in a leaf; use A-Z a-z 0-9 _ - . / : + @")]
    Name(String),
    /// The checkpoint file, or its folder, cannot be read.
    #[error("the checkpoint file {}: {source}; its folder must be there, for this process to write", path.display())]
    CheckpointFile {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// The checkpoint file is of another log, or damaged.
    #[error(
        "{} holds no checkpoint of log {log}: {source}. Look why; only if events are to go to another log now, \
         remove the file", path.display()
    )]
    CheckpointContent {
        /// The file.
        path: PathBuf,
        /// The log's origin.
        log: String,
        /// What is wrong with it.
        source: tlog::CheckpointError,
    },
    /// The first event was not recorded.
    #[error("could not start recording at {url}: {source}")]
    Record {
        /// The ledger.
        url: String,
        /// Why.
        source: RecordError,
    },
}

#[cfg(test)]
mod tests {
    use crate::health::Health;

    #[test]
    fn what_was_on_its_way_may_come_whatever_the_state() {
        let refused = Health::Refused { code: "fork".into(), message: "no".into() };
        let connecting = Health::Connecting("away".into());
        let states = [
            connecting,
            Health::Connected,
            Health::Unverified { seconds: 9 },
            refused,
            Health::Stopped,
        ];
        for state in states {
            assert!(state.unacknowledged().may_come(), "{state:?}");
        }
        assert!(!super::RecordError::Overloaded.may_come());
    }
}
