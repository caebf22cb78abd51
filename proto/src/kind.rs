//! The kinds of event: their names, and what they have in common.

use bytes::Bytes;

pub use crate::v1::event::Kind;
use crate::v1::evidence_accessed::Door;
use crate::v1::{Call, Verdict};

/// Name of a verdict: that of the schema in lower case, without its prefix; empty when there was none.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unspecified => "",
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Block => "block",
        Verdict::Hold => "hold",
    }
}

/// Name of a kind as it stands in SQL, feeds and packages: the protobuf message name.
pub fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::SessionOpened(_) => "SessionOpened",
        Kind::SessionClosed(_) => "SessionClosed",
        Kind::RequestReceived(_) => "RequestReceived",
        Kind::ResponseReturned(_) => "ResponseReturned",
        Kind::StreamMessage(_) => "StreamMessage",
        Kind::CallDenied(_) => "CallDenied",
        Kind::CallBlocked(_) => "CallBlocked",
        Kind::ApprovalRequested(_) => "ApprovalRequested",
        Kind::ApprovalGranted(_) => "ApprovalGranted",
        Kind::ApprovalDenied(_) => "ApprovalDenied",
        Kind::ApprovalExpired(_) => "ApprovalExpired",
        Kind::CallReleased(_) => "CallReleased",
        Kind::Cancelled(_) => "Cancelled",
        Kind::AuthenticationFailed(_) => "AuthenticationFailed",
        Kind::ToolInventoryObserved(_) => "ToolInventoryObserved",
        Kind::PolicyActivated(_) => "PolicyActivated",
        Kind::RecorderStarted(_) => "RecorderStarted",
        Kind::RecorderSeal(_) => "RecorderSeal",
        Kind::RecorderStopped(_) => "RecorderStopped",
        Kind::KeyIntroduced(_) => "KeyIntroduced",
        Kind::KeyRetired(_) => "KeyRetired",
        Kind::EvidenceAccessed(_) => "EvidenceAccessed",
        Kind::DisclosureErased(_) => "DisclosureErased",
        Kind::HoldPlaced(_) => "HoldPlaced",
        Kind::HoldReleased(_) => "HoldReleased",
        Kind::ClockStepped(_) => "ClockStepped",
        Kind::RecorderConflict(_) => "RecorderConflict",
        Kind::LogMark(_) => "LogMark",
        Kind::LogContinued(_) => "LogContinued",
    }
}

/// The call that an event tells of, if it tells of one.
pub fn call_of(kind: &Kind) -> Option<&Call> {
    match kind {
        Kind::RequestReceived(event) => event.call.as_ref(),
        Kind::ResponseReturned(event) => event.call.as_ref(),
        Kind::StreamMessage(event) => event.call.as_ref(),
        Kind::CallDenied(event) => event.call.as_ref(),
        Kind::CallBlocked(event) => event.call.as_ref(),
        Kind::ApprovalRequested(event) => event.call.as_ref(),
        Kind::CallReleased(event) => event.call.as_ref(),
        Kind::Cancelled(event) => event.call.as_ref(),
        _ => None,
    }
}

/// The request that an event belongs to, if it names one.
pub fn request_event_id(kind: &Kind) -> Option<&Bytes> {
    let id = match kind {
        Kind::ResponseReturned(event) => &event.request_event_id,
        Kind::StreamMessage(event) => &event.request_event_id,
        Kind::CallDenied(event) => &event.request_event_id,
        Kind::CallBlocked(event) => &event.request_event_id,
        Kind::ApprovalRequested(event) => &event.request_event_id,
        Kind::CallReleased(event) => &event.request_event_id,
        Kind::Cancelled(event) => &event.request_event_id,
        _ => return None,
    };
    (!id.is_empty()).then_some(id)
}

/// Does this kind end an exchange? Every request that was decided has exactly one such event.
pub fn closes_exchange(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::ResponseReturned(_) | Kind::CallDenied(_) | Kind::CallBlocked(_) | Kind::Cancelled(_)
    )
}

/// Is it alone in its exchange by its nature? Somebody was turned away, or a message refused, before anything was decided; or
/// evidence was accessed. Nothing follows it.
pub fn is_alone(kind: &Kind) -> bool {
    match kind {
        Kind::AuthenticationFailed(_) | Kind::EvidenceAccessed(_) => true,
        Kind::CallDenied(denied) => denied.request_event_id.is_empty(),
        _ => false,
    }
}

/// Does it begin an exchange? Nothing is disclosed in an exchange before such an event.
pub fn begins_exchange(kind: &Kind) -> bool {
    matches!(kind, Kind::RequestReceived(_)) || is_alone(kind)
}

/// Whether the disclosures of a kind may be erased. What the log says of itself stays: which policies decided, who was let
/// in, who had what erased and held, and why.
pub fn may_be_erased(kind: &Kind) -> bool {
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
