//! The kinds of event: their names, and what they have in common.

use bytes::Bytes;

pub use crate::v1::event::Kind;
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
