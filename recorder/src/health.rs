//! Whether the recorder can record, and if not, why.

use tokio::sync::watch;

use crate::error::RecordError;

/// State of the way to the ledger.
#[derive(Debug, Clone)]
pub(crate) enum Health {
    /// Not connected; the last reason why.
    Connecting(String),
    /// Events flow.
    Connected,
    /// Events flow, but what was acknowledged is not being published.
    Unverified { seconds: u64 },
    /// Ledger and recorder disagree: over for good.
    Refused { code: String, message: String },
    /// Stopped on request.
    Stopped,
}

impl Health {
    /// Must a new event be turned away at once?
    pub(crate) fn turns_away(&self) -> Option<RecordError> {
        match self {
            Health::Connecting(_) | Health::Connected => None,
            Health::Unverified { seconds } => Some(RecordError::Unverified { seconds: *seconds }),
            Health::Refused { code, message } => {
                Some(RecordError::Refused { code: code.clone(), message: message.clone() })
            }
            Health::Stopped => Some(RecordError::Stopped),
        }
    }

    /// Why a new event would not be durable now, if so.
    pub(crate) fn readiness(&self) -> Result<(), RecordError> {
        match self {
            Health::Connected => Ok(()),
            other => Err(other.error()),
        }
    }

    /// The error for a call whose event was on its way when its wait ended.
    pub(crate) fn unacknowledged(&self) -> RecordError {
        match self.error() {
            known @ (RecordError::Unavailable { .. } | RecordError::Refused { .. }) => known,
            other => RecordError::Unavailable { reason: other.to_string() },
        }
    }

    /// The error for a call that waited too long.
    pub(crate) fn error(&self) -> RecordError {
        self.turns_away().unwrap_or_else(|| RecordError::Unavailable {
            reason: match self {
                Health::Connecting(reason) => reason.clone(),
                _ => "it is connected, but slow".to_owned(),
            },
        })
    }
}

pub(crate) type HealthSender = watch::Sender<Health>;
pub(crate) type HealthReceiver = watch::Receiver<Health>;
