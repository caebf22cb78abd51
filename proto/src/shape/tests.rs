//! Every field of text or bytes that the schema of a leaf has, and that none takes what somebody else wrote.

use std::collections::BTreeSet;

use super::*;
use crate::v1::{
    self, ApprovalDenied, ApprovalExpired, ApprovalGranted, ApprovalRequested,
    AuthenticationFailed, CallBlocked, CallDenied, CallReleased, Cancelled, Definition,
    EvidenceAccessed, Fact, HoldPlaced, HoldReleased, KeyIntroduced, KeyRetired, LogContinued,
    PolicyActivated, RecorderConflict, RecorderHead, RecorderSeal, RecorderStarted,
    RequestReceived, ResponseReturned, SessionClosed, SessionOpened, StreamMessage,
    ToolInventoryObserved,
};

/// What a person might write, of a length that no id and no hash has; of names, hidden characters too.
const FOREIGN: &str = "Alice\u{202e} <alice@example.com>";

fn event(kind: Kind) -> Event {
    Event {
        event_id: vec![1; 16].into(),
        recorder: Some(recorder_of(0)),
        kind: Some(kind),
        ..Event::default()
    }
}

fn recorder_of(sequence: u64) -> Recorder {
    let epoch = vec![2; 16].into();
    Recorder { recorder_id: "gateway".into(), epoch, sequence, ..Recorder::default() }
}

fn requested(change: impl FnOnce(&mut Call)) -> Event {
    let mut call = Call::default();
    change(&mut call);
    event(Kind::RequestReceived(RequestReceived { call: Some(call), ..Default::default() }))
}

/// An event of a kind in which one thing is foreign.
macro_rules! of {
    ($kind:ident, $($rest:tt)*) => {
        event(Kind::$kind($kind { $($rest)*, ..Default::default() }))
    };
}

fn text() -> String {
    FOREIGN.to_owned()
}

fn octets() -> bytes::Bytes {
    bytes::Bytes::from_static(FOREIGN.as_bytes())
}

fn foreign_masks() -> Vec<MaskCount> {
    vec![MaskCount { rule: text(), count: 1 }]
}

fn marked(change: impl FnOnce(&mut RecorderHead)) -> Event {
    let mut head = RecorderHead { recorder_id: "gateway".into(), ..RecorderHead::default() };
    change(&mut head);
    of!(LogMark, recorders: vec![head])
}

fn disclosing(change: impl FnOnce(&mut Disclosure)) -> Event {
    let mut disclosure =
        Disclosure { slot: 1, media_type: 1, size_class: 256, commitment: vec![0; 32].into() };
    change(&mut disclosure);
    Event { disclosures: vec![disclosure], ..requested(|_| {}) }
}

fn seal(change: impl FnOnce(&mut RecorderSeal)) -> Event {
    let bytes = |length: usize| vec![0; length].into();
    let mut seal = RecorderSeal {
        hash: bytes(32),
        checkpoint_root: bytes(32),
        key_id: bytes(4),
        signature: bytes(64),
        ..RecorderSeal::default()
    };
    change(&mut seal);
    event(Kind::RecorderSeal(seal))
}

fn erased(change: impl FnOnce(&mut DisclosureErased)) -> Event {
    let (event_id, leaf_hash) = (vec![0; 16].into(), vec![0; 32].into());
    let mut erased = DisclosureErased { event_id, leaf_hash, ..DisclosureErased::default() };
    change(&mut erased);
    event(Kind::DisclosureErased(erased))
}

fn inventory(change: impl FnOnce(&mut Definition)) -> Event {
    let mut tool = Definition { name: "query".into(), digest: vec![0; 32].into() };
    change(&mut tool);
    of!(ToolInventoryObserved, server: "db".into(), tools: vec![tool])
}

/// Message and field of the schema, and an event that is good but for it.
fn foreign() -> Vec<(&'static str, Event)> {
    let with_head = |change: fn(&mut Event)| {
        let mut event = requested(|_| {});
        change(&mut event);
        event
    };
    let chained = |change: fn(&mut Recorder)| {
        let mut recorder = recorder_of(0);
        change(&mut recorder);
        Event { recorder: Some(recorder), ..requested(|_| {}) }
    };
    vec![
        ("Event.event_id", with_head(|event| event.event_id = octets())),
        ("Event.session_id", with_head(|event| event.session_id = octets())),
        ("Event.exchange_id", with_head(|event| event.exchange_id = octets())),
        ("Event.trace_id", with_head(|event| event.trace_id = octets())),
        ("Recorder.recorder_id", chained(|recorder| recorder.recorder_id = text())),
        ("Recorder.epoch", chained(|recorder| recorder.epoch = octets())),
        ("Recorder.previous_hash", chained(|recorder| recorder.previous_hash = octets())),
        ("Disclosure.commitment", disclosing(|disclosure| disclosure.commitment = octets())),
        (
            "Fact.label",
            requested(|call| call.facts = vec![Fact { label: text(), ..Fact::default() }]),
        ),
        ("MaskCount.rule", requested(|call| call.masks = foreign_masks())),
        ("MaskCount.rule", of!(ResponseReturned, masks: foreign_masks())),
        ("MaskCount.rule", of!(StreamMessage, masks: foreign_masks())),
        ("Call.server", requested(|call| call.server = text())),
        ("Call.method", requested(|call| call.method = text())),
        ("Call.name", requested(|call| call.name = text())),
        ("Call.definition_digest", requested(|call| call.definition_digest = octets())),
        ("Call.policy_ids", requested(|call| call.policy_ids = vec![text()])),
        ("Call.snapshot_digest", requested(|call| call.snapshot_digest = octets())),
        ("SessionOpened.server", of!(SessionOpened, server: text())),
        ("SessionClosed.server", of!(SessionClosed, server: text())),
        ("ResponseReturned.request_event_id", of!(ResponseReturned, request_event_id: octets())),
        ("StreamMessage.request_event_id", of!(StreamMessage, request_event_id: octets())),
        ("CallDenied.request_event_id", of!(CallDenied, request_event_id: octets())),
        ("CallBlocked.request_event_id", of!(CallBlocked, request_event_id: octets())),
        ("ApprovalRequested.approval_id", of!(ApprovalRequested, approval_id: octets())),
        ("ApprovalRequested.call_hash", of!(ApprovalRequested, call_hash: octets())),
        ("ApprovalRequested.groups", of!(ApprovalRequested, groups: vec![text()])),
        ("ApprovalRequested.request_event_id", of!(ApprovalRequested, request_event_id: octets())),
        ("ApprovalGranted.approval_id", of!(ApprovalGranted, approval_id: octets())),
        ("ApprovalGranted.call_hash", of!(ApprovalGranted, call_hash: octets())),
        ("ApprovalGranted.group", of!(ApprovalGranted, group: text())),
        ("ApprovalDenied.approval_id", of!(ApprovalDenied, approval_id: octets())),
        ("ApprovalDenied.call_hash", of!(ApprovalDenied, call_hash: octets())),
        ("ApprovalExpired.approval_id", of!(ApprovalExpired, approval_id: octets())),
        ("ApprovalExpired.call_hash", of!(ApprovalExpired, call_hash: octets())),
        ("CallReleased.approval_id", of!(CallReleased, approval_id: octets())),
        ("CallReleased.call_hash", of!(CallReleased, call_hash: octets())),
        ("CallReleased.request_event_id", of!(CallReleased, request_event_id: octets())),
        ("Cancelled.request_event_id", of!(Cancelled, request_event_id: octets())),
        ("AuthenticationFailed.server", of!(AuthenticationFailed, server: text())),
        ("ToolInventoryObserved.server", of!(ToolInventoryObserved, server: text())),
        ("Definition.name", inventory(|tool| tool.name = text())),
        ("Definition.digest", inventory(|tool| tool.digest = octets())),
        ("PolicyActivated.snapshot_digest", of!(PolicyActivated, snapshot_digest: octets())),
        (
            "PolicyActivated.previous_digest",
            event(Kind::PolicyActivated(PolicyActivated {
                snapshot_digest: vec![0; 32].into(),
                previous_digest: octets(),
            })),
        ),
        ("RecorderStarted.version", of!(RecorderStarted, version: text())),
        ("RecorderStarted.previous_epoch", of!(RecorderStarted, previous_epoch: octets())),
        ("RecorderStarted.previous_hash", of!(RecorderStarted, previous_hash: octets())),
        ("RecorderSeal.hash", seal(|seal| seal.hash = octets())),
        ("RecorderSeal.checkpoint_root", seal(|seal| seal.checkpoint_root = octets())),
        ("RecorderSeal.key_id", seal(|seal| seal.key_id = octets())),
        ("RecorderSeal.signature", seal(|seal| seal.signature = octets())),
        ("KeyIntroduced.vkey", of!(KeyIntroduced, vkey: text())),
        ("KeyRetired.vkey", of!(KeyRetired, vkey: text())),
        ("EvidenceAccessed.role", of!(EvidenceAccessed, role: text())),
        ("EvidenceAccessed.output_digest", of!(EvidenceAccessed, output_digest: octets())),
        ("DisclosureErased.event_id", erased(|erased| erased.event_id = octets())),
        ("DisclosureErased.erasure_id", erased(|erased| erased.erasure_id = octets())),
        ("DisclosureErased.leaf_hash", erased(|erased| erased.leaf_hash = octets())),
        ("HoldPlaced.hold_id", of!(HoldPlaced, hold_id: octets())),
        ("HoldReleased.hold_id", event(Kind::HoldReleased(HoldReleased { hold_id: octets() }))),
        ("RecorderConflict.recorder_id", of!(RecorderConflict, recorder_id: text())),
        ("RecorderConflict.epoch", of!(RecorderConflict, epoch: octets())),
        ("RecorderConflict.expected_hash", of!(RecorderConflict, expected_hash: octets())),
        ("RecorderConflict.claimed_hash", of!(RecorderConflict, claimed_hash: octets())),
        ("RecorderConflict.event_hash", of!(RecorderConflict, event_hash: octets())),
        ("RecorderHead.recorder_id", marked(|head| head.recorder_id = text())),
        ("RecorderHead.vkey", marked(|head| head.vkey = text())),
        ("RecorderHead.epoch", marked(|head| head.epoch = octets())),
        ("RecorderHead.hash", marked(|head| head.hash = octets())),
        ("LogMark.snapshot_digests", of!(LogMark, snapshot_digests: vec![octets()])),
        ("LogMark.vkeys", of!(LogMark, vkeys: vec![text()])),
        ("LogContinued.checkpoint", of!(LogContinued, checkpoint: text())),
    ]
}

/// Message and field of each field of text or bytes below an Event. The schema's text has one field a line.
fn fields_of_the_schema() -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let mut message = "";
    for line in crate::ENTRY_PROTO.lines().map(str::trim) {
        if let Some(named) = line.strip_prefix("message ") {
            message = named.trim_end_matches(" {");
        }
        let field = line.strip_prefix("repeated ").unwrap_or(line);
        let named = field.strip_prefix("string ").or_else(|| field.strip_prefix("bytes "));
        if let Some((name, _)) = named.and_then(|named| named.split_once(" = "))
            && message != "Entry"
        {
            fields.insert(format!("{message}.{name}"));
        }
    }
    fields
}

/// Break it: leave any check of `shape.rs` out, or add a field to the schema.
#[test]
fn no_field_of_a_leaf_takes_foreign_text() {
    let mut tried = BTreeSet::new();
    for (field, event) in foreign() {
        assert!(check(&event).is_err(), "{field} takes {FOREIGN:?}");
        tried.insert(field.to_owned());
    }
    assert_eq!(tried, fields_of_the_schema());
}

#[test]
fn what_stands_in_good_leaves_passes() {
    let key = "example.com/log+0a1b2c3d+AbCdEfGhIjKlMnOpQrStUvWxYz0123456789+/AbCdE=";
    for event in [
        requested(|_| {}),
        disclosing(|_| {}),
        seal(|_| {}),
        erased(|erased| erased.slots = vec![1, 9]),
        inventory(|_| {}),
        marked(|head| head.vkey = key.to_owned()),
        of!(KeyIntroduced, vkey: key.to_owned()),
        of!(RecorderStarted, version: "0.3.0-rc.1+build.5".to_owned()),
        of!(EvidenceAccessed, role: "auditor".to_owned()),
        event(Kind::RecorderStopped(v1::RecorderStopped::default())),
    ] {
        assert_eq!(check(&event), Ok(()), "{event:?}");
    }
    assert!(check(&erased(|erased| erased.slots = vec![77])).is_err());
}
