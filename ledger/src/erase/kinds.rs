//! What the kind of an event says to an erasure.

use proto::kind::{Kind, call_of};
use proto::v1::evidence_accessed::Door;

/// Whether the disclosures of a kind may be erased. What the log says of itself stays: which policies decided, who was let
/// in, who had what erased and held, and why.
pub(super) fn may_be_erased(kind: &Kind) -> bool {
    match kind {
        Kind::EvidenceAccessed(access) => access.door != i32::from(Door::Orders),
        Kind::SessionOpened(_)
        | Kind::SessionClosed(_)
        | Kind::RequestReceived(_)
        | Kind::ResponseReturned(_)
        | Kind::StreamMessage(_)
        | Kind::CallDenied(_)
        | Kind::CallBlocked(_)
        | Kind::ApprovalRequested(_)
        | Kind::ApprovalGranted(_)
        | Kind::ApprovalDenied(_)
        | Kind::ApprovalExpired(_)
        | Kind::CallReleased(_)
        | Kind::Cancelled(_)
        | Kind::AuthenticationFailed(_) => true,
        Kind::ToolInventoryObserved(_)
        | Kind::PolicyActivated(_)
        | Kind::RecorderStarted(_)
        | Kind::RecorderSeal(_)
        | Kind::RecorderStopped(_)
        | Kind::KeyIntroduced(_)
        | Kind::KeyRetired(_)
        | Kind::DisclosureErased(_)
        | Kind::HoldPlaced(_)
        | Kind::HoldReleased(_)
        | Kind::ClockStepped(_)
        | Kind::RecorderConflict(_)
        | Kind::LogMark(_)
        | Kind::LogContinued(_) => false,
    }
}

/// The server that a kind names, if it names one.
pub(super) fn server_of(kind: &Kind) -> Option<&str> {
    let server = match kind {
        Kind::SessionOpened(session) => &session.server,
        Kind::SessionClosed(session) => &session.server,
        Kind::AuthenticationFailed(failure) => &failure.server,
        other => &call_of(other)?.server,
    };
    (!server.is_empty()).then_some(server)
}
