//! Refusals as gRPC statuses: the code that programs read stands in the metadata `exhibit-code`.

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::intake::Refusal;
use crate::registry::Refused;
use crate::sequencer::Stopped;
use crate::store::StoreError;
use crate::vault::NotSealed;

/// When a stream of the same recorder may have ended.
const STREAM_PAUSE: Duration = Duration::from_secs(2);

/// A status with its stable code.
pub(super) fn status(kind: Code, code: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(kind, message);
    status.metadata_mut().insert("exhibit-code", MetadataValue::from_static(code));
    status
}

/// There is more than the ledger takes now: the same may pass after `pause`, which gRPC's clients, ours among them, read
/// in `grpc-retry-pushback-ms`.
pub(super) fn later(code: &'static str, message: impl Into<String>, pause: Duration) -> Status {
    let mut status = status(Code::ResourceExhausted, code, message);
    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
    status.metadata_mut().insert("grpc-retry-pushback-ms", pause_ms.into());
    status
}

pub(super) fn refused(refused: &Refused) -> Status {
    let kind = match refused {
        Refused::Unknown(_) => Code::Unauthenticated,
        Refused::AlreadyOpen(_) => Code::AlreadyExists,
        Refused::Suspended(_) => Code::PermissionDenied,
        Refused::TooManyStreams { .. } => {
            return later(refused.code(), refused.to_string(), STREAM_PAUSE);
        }
    };
    status(kind, refused.code(), refused.to_string())
}

pub(super) fn refusal(refusal: &Refusal) -> Status {
    status(Code::InvalidArgument, refusal.code(), refusal.to_string())
}

pub(super) fn not_sealed(error: &NotSealed) -> Status {
    match error {
        NotSealed::Store(error) => store(error),
        NotSealed::Begun { .. } => {
            status(Code::InvalidArgument, "exchange_begun", error.to_string())
        }
    }
}

pub(super) fn stopped(stopped: Stopped) -> Status {
    status(Code::Unavailable, "ledger_stopped", stopped.to_string())
}

/// Of a ledger that only shows a copy.
pub(super) fn read_only(reason: &str) -> Status {
    status(Code::FailedPrecondition, "read_only", reason)
}

pub(super) fn store(error: &StoreError) -> Status {
    tracing::error!(%error, "a read failed");
    status(Code::Internal, "store_failed", "the ledger could not read its store; see its log")
}

pub(super) fn protocol(message: &'static str) -> Status {
    status(Code::InvalidArgument, "protocol", message)
}
