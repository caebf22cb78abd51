//! What the leaf columns tell of an event, each as text or a number; null where the event has no such thing.

use proto::kind::{Kind, call_of};
use proto::v1::{self, Call, Fact, MaskCount};

pub(super) fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn hex(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| hex::encode(bytes))
}

/// `VERDICT_BLOCK` reads `block`; the unspecified value is null.
pub(crate) fn lower(value: i32, name: Option<&'static str>, prefix: &str) -> Option<String> {
    let name = name.map(|name| name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase());
    (value != 0).then(|| name.unwrap_or_else(|| value.to_string()))
}

macro_rules! name_of {
    ($type:ty, $prefix:literal, $value:expr) => {{
        let value: i32 = $value;
        $crate::rows::values::lower(
            value,
            <$type>::try_from(value).ok().map(|known| known.as_str_name()),
            $prefix,
        )
    }};
}
pub(crate) use name_of;

pub(super) fn server(kind: &Kind) -> Option<String> {
    match kind {
        Kind::SessionOpened(event) => text(&event.server),
        Kind::SessionClosed(event) => text(&event.server),
        Kind::AuthenticationFailed(event) => text(&event.server),
        Kind::ToolInventoryObserved(event) => text(&event.server),
        other => call_of(other).and_then(|call| text(&call.server)),
    }
}

pub(super) fn verdict(call: &Call) -> Option<String> {
    name_of!(v1::Verdict, "VERDICT_", call.verdict)
}

pub(super) fn snapshot_digest(kind: &Kind) -> Option<String> {
    match kind {
        Kind::PolicyActivated(event) => hex(&event.snapshot_digest),
        other => call_of(other).and_then(|call| hex(&call.snapshot_digest)),
    }
}

pub(super) fn auth_method(kind: &Kind) -> Option<String> {
    let method = match kind {
        Kind::SessionOpened(event) => event.auth_method,
        other => call_of(other)?.auth_method,
    };
    name_of!(v1::AuthMethod, "AUTH_METHOD_", method)
}

pub(super) fn era(kind: &Kind) -> Option<String> {
    let era = match kind {
        Kind::SessionOpened(event) => event.era,
        other => call_of(other)?.era,
    };
    name_of!(v1::Era, "ERA_", era)
}

pub(super) fn facts(facts: &[Fact]) -> Option<String> {
    let one = |fact: &Fact| {
        let kind = name_of!(v1::FactKind, "FACT_KIND_", fact.kind).unwrap_or_default();
        format!("{kind}:{}={}", fact.label, fact.count)
    };
    text(&facts.iter().map(one).collect::<Vec<_>>().join(","))
}

pub(super) fn masks(masks: &[MaskCount]) -> Option<String> {
    let one = |mask: &MaskCount| format!("{}={}", mask.rule, mask.count);
    text(&masks.iter().map(one).collect::<Vec<_>>().join(","))
}

pub(super) fn outcome(kind: &Kind) -> Option<String> {
    let Kind::ResponseReturned(event) = kind else { return None };
    name_of!(v1::Outcome, "OUTCOME_", event.outcome)
}

pub(super) fn error_code(kind: &Kind) -> Option<i32> {
    let Kind::ResponseReturned(event) = kind else { return None };
    (event.error_code != 0).then_some(event.error_code)
}

pub(super) fn http_status(kind: &Kind) -> Option<u32> {
    let status = match kind {
        Kind::ResponseReturned(event) => event.http_status,
        Kind::CallDenied(event) => event.http_status,
        Kind::AuthenticationFailed(event) => event.http_status,
        _ => 0,
    };
    (status != 0).then_some(status)
}

/// How many attempts an event stands for that may stand for several.
pub(crate) fn attempts(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::AuthenticationFailed(event) => Some(event.count.max(1)),
        Kind::CallDenied(event) => Some(event.count.max(1)),
        _ => None,
    }
}

pub(super) fn latency_ns(kind: &Kind) -> Option<u64> {
    if let Kind::ResponseReturned(event) = kind { Some(event.latency_ns) } else { None }
}

pub(super) fn size_class(kind: &Kind) -> Option<u32> {
    match kind {
        Kind::ResponseReturned(event) => Some(event.size_class),
        Kind::StreamMessage(event) => Some(event.size_class),
        _ => None,
    }
}

pub(super) fn response_masks(kind: &Kind) -> Option<String> {
    match kind {
        Kind::ResponseReturned(event) => masks(&event.masks),
        Kind::StreamMessage(event) => masks(&event.masks),
        _ => None,
    }
}

pub(super) fn refusal(kind: &Kind) -> Option<String> {
    let Kind::CallDenied(event) = kind else { return None };
    name_of!(v1::Refusal, "REFUSAL_", event.refusal)
}

pub(super) fn direction(kind: &Kind) -> Option<String> {
    let Kind::StreamMessage(event) = kind else { return None };
    name_of!(v1::Direction, "DIRECTION_", event.direction)
}

pub(super) fn notification(kind: &Kind) -> Option<bool> {
    if let Kind::RequestReceived(event) = kind { Some(event.notification) } else { None }
}

pub(super) fn answer(kind: &Kind) -> Option<bool> {
    if let Kind::RequestReceived(event) = kind { Some(event.answer) } else { None }
}

pub(super) fn approval_id(kind: &Kind) -> Option<String> {
    match kind {
        Kind::ApprovalRequested(event) => hex(&event.approval_id),
        Kind::ApprovalGranted(event) => hex(&event.approval_id),
        Kind::ApprovalDenied(event) => hex(&event.approval_id),
        Kind::ApprovalExpired(event) => hex(&event.approval_id),
        Kind::CallReleased(event) => hex(&event.approval_id),
        _ => None,
    }
}

pub(super) fn call_hash(kind: &Kind) -> Option<String> {
    match kind {
        Kind::ApprovalRequested(event) => hex(&event.call_hash),
        Kind::ApprovalGranted(event) => hex(&event.call_hash),
        Kind::ApprovalDenied(event) => hex(&event.call_hash),
        Kind::ApprovalExpired(event) => hex(&event.call_hash),
        Kind::CallReleased(event) => hex(&event.call_hash),
        _ => None,
    }
}

pub(super) fn door(kind: &Kind) -> Option<String> {
    let Kind::EvidenceAccessed(event) = kind else { return None };
    name_of!(v1::evidence_accessed::Door, "DOOR_", event.door)
}

pub(super) fn result(kind: &Kind) -> Option<String> {
    let Kind::EvidenceAccessed(event) = kind else { return None };
    name_of!(v1::evidence_accessed::Result, "RESULT_", event.result)
}

pub(super) fn role(kind: &Kind) -> Option<String> {
    if let Kind::EvidenceAccessed(event) = kind { text(&event.role) } else { None }
}

pub(super) fn checkpoint_size(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::EvidenceAccessed(event) => Some(event.checkpoint_size),
        Kind::RecorderSeal(event) => Some(event.checkpoint_size),
        _ => None,
    }
}

pub(super) fn delivered(kind: &Kind) -> Option<(u64, u64)> {
    match kind {
        Kind::EvidenceAccessed(event) if event.end_index != 0 => {
            Some((event.first_index, event.end_index))
        }
        Kind::HoldPlaced(event) if event.end_index != 0 => {
            Some((event.first_index, event.end_index))
        }
        _ => None,
    }
}

pub(super) fn reason_code(kind: &Kind) -> Option<String> {
    match kind {
        Kind::AuthenticationFailed(event) => {
            name_of!(v1::authentication_failed::Reason, "REASON_", event.reason)
        }
        Kind::SessionClosed(event) => {
            name_of!(v1::session_closed::Reason, "REASON_", event.reason)
        }
        _ => None,
    }
}
