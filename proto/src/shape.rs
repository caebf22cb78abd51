//! Rules of an Event's fields that the protobuf schema cannot state.

use tlog::{Checkpoint, Note};

use crate::disclosure::MIN_SIZE_CLASS;
use crate::kind::{Kind, call_of};
use crate::names;
use crate::v1::{
    Call, Disclosure, DisclosureErased, Event, LogMark, MaskCount, MediaType, Recorder, Slot,
};

/// The first rule that an event's fields break.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShapeError {
    /// A field has the wrong length.
    #[error("{field} has {size_bytes} bytes; {expected} expected")]
    Length {
        /// Path of the field.
        field: &'static str,
        /// Length found.
        size_bytes: usize,
        /// What may stand there.
        expected: &'static str,
    },
    /// A required field is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Disclosures out of order, or two of one slot.
    #[error("disclosures must ascend by slot, one per slot")]
    DisclosureOrder,
    /// An enum field holds a number this version does not know.
    #[error("{field} holds {value}, which this version does not know")]
    UnknownNumber {
        /// Path of the field.
        field: &'static str,
        /// Number found.
        value: i64,
    },
    /// A size class is not a power of two of at least 256.
    #[error("size class {0} is not a power of two of at least {MIN_SIZE_CLASS}")]
    SizeClass(u32),
    /// Text that may not stand in a leaf.
    #[error("{0} holds text that may not stand in a leaf")]
    ForeignText(&'static str),
}

pub(crate) fn check(event: &Event) -> Result<(), ShapeError> {
    length("event_id", &event.event_id, &[16], "16")?;
    length("session_id", &event.session_id, &[0, 16], "none or 16")?;
    length("exchange_id", &event.exchange_id, &[0, 16], "none or 16")?;
    length("trace_id", &event.trace_id, &[0, 16], "none or 16")?;
    recorder(event.recorder.as_ref().ok_or(ShapeError::Missing("recorder"))?)?;
    disclosures(&event.disclosures)?;
    let kind = event.kind.as_ref().ok_or(ShapeError::Missing("kind"))?;
    if let Some(subject) = call_of(kind) {
        call(subject)?;
    }
    kind_fields(kind)
}

fn recorder(recorder: &Recorder) -> Result<(), ShapeError> {
    if !names::is_leaf_name(&recorder.recorder_id) {
        return Err(ShapeError::ForeignText("recorder.recorder_id"));
    }
    length("recorder.epoch", &recorder.epoch, &[16], "16")?;
    if recorder.sequence == 0 {
        length("recorder.previous_hash", &recorder.previous_hash, &[0], "none at sequence 0")
    } else {
        length("recorder.previous_hash", &recorder.previous_hash, &[32], "32")
    }
}

fn disclosures(disclosures: &[Disclosure]) -> Result<(), ShapeError> {
    let mut last = 0;
    for disclosure in disclosures {
        if Slot::try_from(disclosure.slot).is_err() {
            return Err(ShapeError::UnknownNumber {
                field: "disclosures.slot",
                value: i64::from(disclosure.slot),
            });
        }
        if disclosure.slot <= last {
            return Err(ShapeError::DisclosureOrder);
        }
        last = disclosure.slot;
        if MediaType::try_from(disclosure.media_type).is_err() {
            return Err(ShapeError::UnknownNumber {
                field: "disclosures.media_type",
                value: i64::from(disclosure.media_type),
            });
        }
        if disclosure.size_class < MIN_SIZE_CLASS || !disclosure.size_class.is_power_of_two() {
            return Err(ShapeError::SizeClass(disclosure.size_class));
        }
        length("disclosures.commitment", &disclosure.commitment, &[32], "32")?;
    }
    Ok(())
}

fn call(call: &Call) -> Result<(), ShapeError> {
    let empty_or = |text: &str, allowed: fn(&str) -> bool| text.is_empty() || allowed(text);
    if !empty_or(&call.server, names::is_leaf_name) {
        return Err(ShapeError::ForeignText("call.server"));
    }
    if !empty_or(&call.method, names::is_known_method) {
        return Err(ShapeError::ForeignText("call.method"));
    }
    if !empty_or(&call.name, names::is_leaf_name) {
        return Err(ShapeError::ForeignText("call.name"));
    }
    if !call.policy_ids.iter().all(|id| names::is_leaf_name(id)) {
        return Err(ShapeError::ForeignText("call.policy_ids"));
    }
    if !call.facts.iter().all(|fact| names::is_leaf_name(&fact.label)) {
        return Err(ShapeError::ForeignText("call.facts.label"));
    }
    if !call.masks.iter().all(|mask| names::is_leaf_name(&mask.rule)) {
        return Err(ShapeError::ForeignText("call.masks.rule"));
    }
    length("call.definition_digest", &call.definition_digest, &[0, 32], "none or 32")?;
    length("call.snapshot_digest", &call.snapshot_digest, &[0, 32], "none or 32")
}

/// The rules of each kind beyond those of its `call`. No kind and no field is left out: a new one does not compile until
/// it stands here, and the test below holds the fields of text and bytes against the schema.
fn kind_fields(kind: &Kind) -> Result<(), ShapeError> {
    match kind {
        Kind::SessionOpened(session) => name("session_opened.server", &session.server),
        Kind::SessionClosed(session) => name("session_closed.server", &session.server),
        Kind::RequestReceived(_) => Ok(()),
        Kind::ResponseReturned(response) => {
            masks("response_returned.masks.rule", &response.masks)?;
            id("response_returned.request_event_id", &response.request_event_id)
        }
        Kind::StreamMessage(message) => {
            masks("stream_message.masks.rule", &message.masks)?;
            id("stream_message.request_event_id", &message.request_event_id)
        }
        Kind::CallDenied(denied) => id("call_denied.request_event_id", &denied.request_event_id),
        Kind::CallBlocked(blocked) => {
            id("call_blocked.request_event_id", &blocked.request_event_id)
        }
        Kind::Cancelled(cancelled) => id("cancelled.request_event_id", &cancelled.request_event_id),
        Kind::ApprovalRequested(_)
        | Kind::ApprovalGranted(_)
        | Kind::ApprovalDenied(_)
        | Kind::ApprovalExpired(_)
        | Kind::CallReleased(_) => approval(kind),
        Kind::AuthenticationFailed(failure) => {
            name_or_none("authentication_failed.server", &failure.server)
        }
        Kind::ToolInventoryObserved(inventory) => {
            for tool in &inventory.tools {
                name("tool_inventory_observed.tools.name", &tool.name)?;
                length("tool_inventory_observed.tools.digest", &tool.digest, &[32], "32")?;
            }
            name("tool_inventory_observed.server", &inventory.server)
        }
        Kind::PolicyActivated(policy) => {
            length("policy_activated.snapshot_digest", &policy.snapshot_digest, &[32], "32")?;
            hash("policy_activated.previous_digest", &policy.previous_digest)
        }
        Kind::RecorderStarted(started) => {
            name_or_none("recorder_started.version", &started.version)?;
            id("recorder_started.previous_epoch", &started.previous_epoch)?;
            hash("recorder_started.previous_hash", &started.previous_hash)
        }
        Kind::RecorderSeal(seal) => {
            length("recorder_seal.hash", &seal.hash, &[32], "32")?;
            length("recorder_seal.checkpoint_root", &seal.checkpoint_root, &[32], "32")?;
            length("recorder_seal.key_id", &seal.key_id, &[4], "4")?;
            length("recorder_seal.signature", &seal.signature, &[64], "64")
        }
        Kind::RecorderStopped(_) | Kind::ClockStepped(_) => Ok(()),
        Kind::KeyIntroduced(key) => vkey("key_introduced.vkey", &key.vkey),
        Kind::KeyRetired(key) => vkey("key_retired.vkey", &key.vkey),
        Kind::EvidenceAccessed(access) => {
            name_or_none("evidence_accessed.role", &access.role)?;
            hash("evidence_accessed.output_digest", &access.output_digest)
        }
        Kind::DisclosureErased(erased) => disclosure_erased(erased),
        Kind::HoldPlaced(hold) => length("hold_placed.hold_id", &hold.hold_id, &[16], "16"),
        Kind::HoldReleased(hold) => length("hold_released.hold_id", &hold.hold_id, &[16], "16"),
        Kind::RecorderConflict(conflict) => {
            name_or_none("recorder_conflict.recorder_id", &conflict.recorder_id)?;
            id("recorder_conflict.epoch", &conflict.epoch)?;
            hash("recorder_conflict.expected_hash", &conflict.expected_hash)?;
            hash("recorder_conflict.claimed_hash", &conflict.claimed_hash)?;
            hash("recorder_conflict.event_hash", &conflict.event_hash)
        }
        Kind::LogMark(mark) => log_mark(mark),
        Kind::LogContinued(continued) => log_continued(&continued.checkpoint),
    }
}

fn approval(kind: &Kind) -> Result<(), ShapeError> {
    match kind {
        Kind::ApprovalRequested(asked) => {
            id("approval_requested.approval_id", &asked.approval_id)?;
            hash("approval_requested.call_hash", &asked.call_hash)?;
            for group in &asked.groups {
                name("approval_requested.groups", group)?;
            }
            id("approval_requested.request_event_id", &asked.request_event_id)
        }
        Kind::ApprovalGranted(granted) => {
            id("approval_granted.approval_id", &granted.approval_id)?;
            hash("approval_granted.call_hash", &granted.call_hash)?;
            name_or_none("approval_granted.group", &granted.group)
        }
        Kind::ApprovalDenied(denied) => {
            id("approval_denied.approval_id", &denied.approval_id)?;
            hash("approval_denied.call_hash", &denied.call_hash)
        }
        Kind::ApprovalExpired(expired) => {
            id("approval_expired.approval_id", &expired.approval_id)?;
            hash("approval_expired.call_hash", &expired.call_hash)
        }
        Kind::CallReleased(released) => {
            id("call_released.approval_id", &released.approval_id)?;
            hash("call_released.call_hash", &released.call_hash)?;
            id("call_released.request_event_id", &released.request_event_id)
        }
        _ => Ok(()),
    }
}

fn disclosure_erased(erased: &DisclosureErased) -> Result<(), ShapeError> {
    length("disclosure_erased.event_id", &erased.event_id, &[16], "16")?;
    id("disclosure_erased.erasure_id", &erased.erasure_id)?;
    length("disclosure_erased.leaf_hash", &erased.leaf_hash, &[32], "32")?;
    match erased.slots.iter().find(|slot| Slot::try_from(**slot).is_err()) {
        None => Ok(()),
        Some(slot) => {
            let (field, value) = ("disclosure_erased.slots", i64::from(*slot));
            Err(ShapeError::UnknownNumber { field, value })
        }
    }
}

fn log_mark(mark: &LogMark) -> Result<(), ShapeError> {
    for head in &mark.recorders {
        name_or_none("log_mark.recorders.recorder_id", &head.recorder_id)?;
        vkey("log_mark.recorders.vkey", &head.vkey)?;
        id("log_mark.recorders.epoch", &head.epoch)?;
        hash("log_mark.recorders.hash", &head.hash)?;
    }
    for digest in &mark.snapshot_digests {
        length("log_mark.snapshot_digests", digest, &[32], "32")?;
    }
    mark.vkeys.iter().try_for_each(|key| vkey("log_mark.vkeys", key))
}

/// A note over a checkpoint, of keys whose names may stand in a leaf. Who signed it is for those to check who know the
/// old log's key.
fn log_continued(note: &str) -> Result<(), ShapeError> {
    let is_checkpoint = Note::parse(note).is_ok_and(|note| {
        let are_names = note.signatures().iter().all(|line| names::is_leaf_name(&line.name));
        let of_a_log = Checkpoint::parse_text(note.text())
            .is_ok_and(|checkpoint| names::is_leaf_name(&checkpoint.origin));
        are_names && of_a_log
    });
    if is_checkpoint { Ok(()) } else { Err(ShapeError::ForeignText("log_continued.checkpoint")) }
}

fn masks(field: &'static str, masks: &[MaskCount]) -> Result<(), ShapeError> {
    masks.iter().try_for_each(|mask| name(field, &mask.rule))
}

fn name(field: &'static str, text: &str) -> Result<(), ShapeError> {
    if names::is_leaf_name(text) { Ok(()) } else { Err(ShapeError::ForeignText(field)) }
}

fn name_or_none(field: &'static str, text: &str) -> Result<(), ShapeError> {
    if text.is_empty() { Ok(()) } else { name(field, text) }
}

/// A key, or none.
fn vkey(field: &'static str, text: &str) -> Result<(), ShapeError> {
    let may_stand = text.is_empty() || names::is_vkey(text);
    if may_stand { Ok(()) } else { Err(ShapeError::ForeignText(field)) }
}

fn id(field: &'static str, bytes: &[u8]) -> Result<(), ShapeError> {
    length(field, bytes, &[0, 16], "none or 16")
}

fn hash(field: &'static str, bytes: &[u8]) -> Result<(), ShapeError> {
    length(field, bytes, &[0, 32], "none or 32")
}

fn length(
    field: &'static str,
    bytes: &[u8],
    allowed: &[usize],
    expected: &'static str,
) -> Result<(), ShapeError> {
    if allowed.contains(&bytes.len()) {
        Ok(())
    } else {
        Err(ShapeError::Length { field, size_bytes: bytes.len(), expected })
    }
}

#[cfg(test)]
mod tests;
