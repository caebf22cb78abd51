//! Rules of an Event's fields that the protobuf schema cannot state.

use tlog::{Checkpoint, Note};

use crate::disclosure::MIN_SIZE_CLASS;
use crate::kind::{Kind, call_of};
use crate::names;
use crate::v1::{Call, Disclosure, Event, MediaType, Recorder, Slot};

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

fn kind_fields(kind: &Kind) -> Result<(), ShapeError> {
    match kind {
        Kind::RecorderSeal(seal) => {
            length("recorder_seal.hash", &seal.hash, &[32], "32")?;
            length("recorder_seal.checkpoint_root", &seal.checkpoint_root, &[32], "32")?;
            length("recorder_seal.key_id", &seal.key_id, &[4], "4")?;
            length("recorder_seal.signature", &seal.signature, &[64], "64")
        }
        Kind::PolicyActivated(policy) => {
            length("policy_activated.snapshot_digest", &policy.snapshot_digest, &[32], "32")
        }
        Kind::ToolInventoryObserved(inventory) => {
            for tool in &inventory.tools {
                if !names::is_leaf_name(&tool.name) {
                    return Err(ShapeError::ForeignText("tool_inventory_observed.tools.name"));
                }
                length("tool_inventory_observed.tools.digest", &tool.digest, &[32], "32")?;
            }
            server_name("tool_inventory_observed.server", &inventory.server)
        }
        Kind::SessionOpened(session) => server_name("session_opened.server", &session.server),
        Kind::SessionClosed(session) => server_name("session_closed.server", &session.server),
        Kind::AuthenticationFailed(failure) if !failure.server.is_empty() => {
            server_name("authentication_failed.server", &failure.server)
        }
        Kind::EvidenceAccessed(access) if !access.role.is_empty() => {
            server_name("evidence_accessed.role", &access.role)
        }
        Kind::DisclosureErased(erased) => {
            length("disclosure_erased.event_id", &erased.event_id, &[16], "16")?;
            length("disclosure_erased.erasure_id", &erased.erasure_id, &[0, 16], "none or 16")
        }
        Kind::HoldPlaced(hold) => length("hold_placed.hold_id", &hold.hold_id, &[16], "16"),
        Kind::HoldReleased(hold) => length("hold_released.hold_id", &hold.hold_id, &[16], "16"),
        Kind::LogContinued(continued) => log_continued(&continued.checkpoint),
        _ => Ok(()),
    }
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

fn server_name(field: &'static str, name: &str) -> Result<(), ShapeError> {
    if names::is_leaf_name(name) { Ok(()) } else { Err(ShapeError::ForeignText(field)) }
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
