//! Events as OCSF 1.9.
//!
//! | kinds | class |
//! |---|---|
//! | requests, responses, stream messages, refusals, blocks, cancellations, held and released calls | API Activity 6003, activity 99 "Invoke" |
//! | `EvidenceAccessed` | API Activity 6003, activity 2 "Read", operation `exhibit.sql`, `exhibit.feed` or `exhibit.export` |
//! | `AuthenticationFailed` | Authentication 3002, activity 1 "Logon", status "Failure" |
//! | all others | Base Event 0, activity 99, `metadata.event_code` tells the kind |
//!
//! Every event lists the profile `record_integrity` and carries its leaf hash in `attestation_list`; calls and
//! authentications list `security_control` for action and disposition. `metadata.uid` is `<origin>#<index>`, the key to
//! deduplicate by. `time` is the recorder's clock, `metadata.logged_time` the ledger's; `count` is there when an event
//! stands for several attempts.

mod access;
mod authentication;
mod call;
mod party;

use proto::kind::{Kind, call_of, kind_name};
use proto::v1::disclosure_erased::Ground;
use proto::v1::{self, MaskCount, Opening, Verdict};
use serde_json::{Map, Value, json};
use tlog::Checkpoint;

use crate::rows::columns::Row;
use crate::rows::values::{attempts, name_of};
use party::{Known, recorder_id};

/// The version that `metadata.version` pins.
pub(crate) const VERSION: &str = "1.9.0";

/// One event as JSON. `openings` are those that the reader may see.
pub(crate) fn event(checkpoint: &Checkpoint, row: &Row, openings: &[Opening]) -> Value {
    let known = Known::of(openings);
    let mut event = match row.leaf.event.kind.as_ref() {
        Some(Kind::AuthenticationFailed(failed)) => authentication::event(row, failed, &known),
        Some(Kind::EvidenceAccessed(accessed)) => access::event(row, accessed, &known),
        Some(kind) => match call_of(kind) {
            Some(call) => call::event(row, kind, call, &known),
            None => base(kind),
        },
        None => Map::new(),
    };
    common(&mut event, checkpoint, row);
    Value::Object(event)
}

/// A time as text, to the nanosecond.
pub(crate) fn rfc3339(nanoseconds: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds));
    time.map(|time| format!("{time:.9}")).unwrap_or_default()
}

fn base(kind: &Kind) -> Map<String, Value> {
    let mut event = class((0, "Uncategorized"), (0, "Base Event"), (99, kind_name(kind)));
    event.insert("message".to_owned(), kind_name(kind).into());
    severity(
        &mut event,
        match kind {
            Kind::RecorderConflict(_) | Kind::ClockStepped(_) => (4, "High"),
            // One for each leaf: of those whose days are over there are thousands, and they are as they should be.
            Kind::DisclosureErased(erased) if erased.ground() != Ground::Retention => (3, "Medium"),
            _ => (1, "Informational"),
        },
    );
    event
}

fn class(category: (u32, &str), class: (u32, &str), activity: (u32, &str)) -> Map<String, Value> {
    let fields = json!({
        "category_uid": category.0,
        "category_name": category.1,
        "class_uid": class.0,
        "class_name": class.1,
        "activity_id": activity.0,
        "activity_name": activity.1,
        "type_uid": class.0 * 100 + activity.0,
        "type_name": format!("{}: {}", class.1, if activity.0 == 99 { "Other" } else { activity.1 }),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn severity(event: &mut Map<String, Value>, (id, name): (u32, &str)) {
    event.insert("severity_id".to_owned(), id.into());
    event.insert("severity".to_owned(), name.into());
}

/// What every event has.
fn common(event: &mut Map<String, Value>, checkpoint: &Checkpoint, row: &Row) {
    let (entry, origin) = (&row.leaf.event, &checkpoint.origin);
    let uid = format!("{origin}#{}", row.index);
    let mut profiles = vec!["record_integrity"];
    if event.contains_key("action_id") {
        profiles.push("security_control");
    }
    let mut metadata = json!({
        "version": VERSION,
        "profiles": profiles,
        "product": {"name": "Exhibit", "vendor_name": "Exhibit", "version": env!("CARGO_PKG_VERSION")},
        "uid": uid,
        "log_name": origin,
        "event_code": entry.kind.as_ref().map_or("", kind_name),
        "logged_time": row.leaf.recorded_at_ns / 1_000_000,
        "original_time": rfc3339(entry.occurred_at_ns),
    });
    if !entry.trace_id.is_empty() {
        metadata["correlation_uid"] = hex::encode(&entry.trace_id).into();
    }
    event.insert("metadata".to_owned(), metadata);
    event.insert("time".to_owned(), (entry.occurred_at_ns / 1_000_000).into());
    if let Some(count) = entry.kind.as_ref().and_then(attempts).filter(|count| *count > 1) {
        event.insert("count".to_owned(), count.into());
    }
    let fingerprint = json!({"algorithm": "SHA-256", "algorithm_id": 3, "encoding": "Hex",
        "encoding_id": 1, "value": format!("{:?}", row.hash)});
    let attestation = json!({"uid": uid, "authority_uid": origin, "chain_uid": origin, "fingerprint": fingerprint});
    event.insert("attestation_list".to_owned(), json!([attestation]));
    event.insert("unmapped".to_owned(), unmapped(checkpoint, row));
}

fn unmapped(checkpoint: &Checkpoint, row: &Row) -> Value {
    let entry = &row.leaf.event;
    let mut unmapped = json!({"exhibit": {
        "kind": entry.kind.as_ref().map_or("", kind_name),
        "event_id": hex::encode(&entry.event_id),
        "recorder_id": recorder_id(entry),
        "leaf_index": row.index,
        "leaf_hash": format!("{:?}", row.hash),
        "checkpoint": {"size": checkpoint.size.0, "root": checkpoint.root.to_string()},
    }});
    let Some(kind) = &entry.kind else { return unmapped };
    if let Some(call) = call_of(kind) {
        unmapped["mcp"] = json!({
            "server": call.server,
            "method": call.method,
            "tool": call.name,
            "verdict": name_of!(Verdict, "VERDICT_", call.verdict),
            "policy_ids": call.policy_ids,
            "facts": call.facts.iter().map(|fact| json!({
                "kind": name_of!(v1::FactKind, "FACT_KIND_", fact.kind),
                "label": fact.label,
                "count": fact.count,
            })).collect::<Vec<_>>(),
            "request_masks": masks(&call.masks),
        });
        match kind {
            Kind::ResponseReturned(returned) => {
                unmapped["mcp"]["outcome"] =
                    name_of!(v1::Outcome, "OUTCOME_", returned.outcome).into();
                unmapped["mcp"]["response_masks"] = masks(&returned.masks);
            }
            Kind::StreamMessage(message) => {
                unmapped["mcp"]["response_masks"] = masks(&message.masks);
            }
            Kind::CallDenied(denied) => {
                unmapped["mcp"]["refusal"] =
                    name_of!(v1::Refusal, "REFUSAL_", denied.refusal).into();
            }
            _ => {}
        }
    }
    if let Kind::EvidenceAccessed(accessed) = kind {
        unmapped["exhibit"]["role"] = accessed.role.as_str().into();
        unmapped["exhibit"]["first_index"] = accessed.first_index.into();
        unmapped["exhibit"]["end_index"] = accessed.end_index.into();
    }
    unmapped
}

fn masks(masks: &[MaskCount]) -> Value {
    masks.iter().map(|mask| json!({"rule": mask.rule, "count": mask.count})).collect()
}
