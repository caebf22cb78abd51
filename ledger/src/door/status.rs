//! Refusals as gRPC statuses: the code that programs read stands in the metadata `exhibit-code`.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::intake::Refusal;
use crate::registry::Refused;
use crate::sequencer::Stopped;
use crate::store::StoreError;

/// A status with its stable code.
pub(super) fn status(kind: Code, code: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(kind, message);
    status.metadata_mut().insert("exhibit-code", MetadataValue::from_static(code));
    status
}

pub(super) fn refused(refused: &Refused) -> Status {
    let kind = match refused {
        Refused::Unknown(_) => Code::Unauthenticated,
        Refused::AlreadyOpen(_) => Code::AlreadyExists,
        Refused::Suspended(_) => Code::PermissionDenied,
    };
    status(kind, refused.code(), refused.to_string())
}

pub(super) fn refusal(refusal: &Refusal) -> Status {
    status(Code::InvalidArgument, refusal.code(), refusal.to_string())
}

pub(super) fn stopped(stopped: Stopped) -> Status {
    status(Code::Unavailable, "ledger_stopped", stopped.to_string())
}

pub(super) fn store(error: &StoreError) -> Status {
    tracing::error!(%error, "a read failed");
    status(Code::Internal, "store_failed", "the ledger could not read its store; see its log")
}

pub(super) fn protocol(message: &'static str) -> Status {
    status(Code::InvalidArgument, "protocol", message)
}
