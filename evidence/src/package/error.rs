//! Why there is no package, each reason with its stable name.

use std::io;
use std::path::PathBuf;

use proto::Role;
use verifier::layout::{MAX_FILE_BYTES, MAX_PACKAGE_BYTES};

use super::since::SinceError;
use crate::collect::CollectError;
use crate::criteria::UnknownCriterion;
use crate::derive::DeriveError;
use crate::journal::Unrecorded;
use crate::period::PeriodError;

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The period has none.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The role may not export.
    #[error("the role {0} may not export evidence; auditor, compliance and admin may")]
    Role(Role),
    /// No such criterion.
    #[error(transparent)]
    Criterion(#[from] UnknownCriterion),
    /// A custom query cannot be used.
    #[error("custom query {id:?}: {reason}")]
    CustomQuery {
        /// Its id.
        id: String,
        /// Which kind of wrong, stable.
        code: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A kept checkpoint is none that this log goes on from.
    #[error(transparent)]
    Since(#[from] SinceError),
    /// A list of the mapping passes a bound.
    #[error("{0}: export shorter periods")]
    ListTooLarge(String),
    /// The log does not give the material.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The files cannot be made.
    #[error("the package cannot be made: {0}")]
    Derive(String),
    /// Larger than a verifier reads.
    #[error(
        "the package would pass the size that a verifier reads ({MAX_PACKAGE_BYTES} bytes, {MAX_FILE_BYTES} a file): export shorter periods"
    )]
    TooLarge,
    /// The node stops.
    #[error("the export was ended, since this node stops: ask again when it is back")]
    Stopped,
    /// The place is taken.
    #[error("{0} exists already; choose another place, nothing is overwritten")]
    Exists(PathBuf),
    /// The disk failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The export could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
}

impl ExportError {
    /// Stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Period(PeriodError::Reversed { .. }) => "period_reversed",
            Self::Period(PeriodError::OutOfTime(_)) => "period_out_of_time",
            Self::Period(PeriodError::Empty { .. }) => "period_empty",
            Self::Period(PeriodError::NotClosed { .. }) => "period_not_closed",
            Self::Period(PeriodError::Source(_)) | Self::Collect(CollectError::Source(_)) => {
                "log_unreadable"
            }
            Self::Role(_) => "role_required",
            Self::Criterion(_) => "criterion_unknown",
            Self::CustomQuery { code, .. } => code,
            Self::Since(error) => error.code(),
            Self::Collect(CollectError::Leaf { .. }) => "log_unreadable",
            Self::Collect(CollectError::Undisclosed { .. }) => "disclosure_not_here",
            Self::Collect(CollectError::TooLarge { .. })
            | Self::TooLarge
            | Self::ListTooLarge(_) => "period_too_large",
            Self::Stopped => "stopping",
            Self::Derive(_) => "package_not_made",
            Self::Exists(_) => "place_taken",
            Self::Io { .. } => "disk",
            Self::Unrecorded(_) => "access_not_recorded",
        }
    }

    /// Is it something that the requester can put right?
    pub fn is_callers_fault(&self) -> bool {
        !matches!(
            self.code(),
            "log_unreadable"
                | "disclosure_not_here"
                | "package_not_made"
                | "disk"
                | "stopping"
                | "since_forked"
                | "access_not_recorded"
        )
    }
}

impl From<DeriveError> for ExportError {
    fn from(error: DeriveError) -> Self {
        match error {
            DeriveError::CustomQuery { id, code, reason } => Self::CustomQuery { id, code, reason },
            DeriveError::ListTooLarge(reason) => Self::ListTooLarge(reason),
            DeriveError::Ended => Self::Stopped,
            DeriveError::Failed(reason) => Self::Derive(reason),
        }
    }
}
