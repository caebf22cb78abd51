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
//! deduplicate by. `time` is the recorder's clock, `metadata.logged_time` the ledger's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proto::kind::{Kind, call_of, closes_exchange, kind_name};
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use proto::v1::{self, Call, Event, MaskCount, Opening, Slot, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tlog::Checkpoint;

use crate::rows::columns::{Row, name_of};

/// The version that `metadata.version` pins.
pub(crate) const VERSION: &str = "1.9.0";

/// One event as JSON. `openings` are those that the reader may see.
pub(crate) fn event(checkpoint: &Checkpoint, row: &Row, openings: &[Opening]) -> Value {
    let known = Known::of(openings);
    let mut event = match row.leaf.event.kind.as_ref() {
        Some(Kind::AuthenticationFailed(failed)) => authentication(row, failed, &known),
        Some(Kind::EvidenceAccessed(accessed)) => access(row, accessed, &known),
        Some(kind) => match call_of(kind) {
            Some(call) => invoke(row, kind, call, &known),
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

/// What disclosures tell of the caller.
#[derive(Default)]
struct Known {
    user: Option<Value>,
    address: Option<IpAddr>,
    user_agent: Option<String>,
}

impl Known {
    fn of(openings: &[Opening]) -> Self {
        #[derive(Deserialize)]
        struct Client {
            address: Option<String>,
            user_agent: Option<String>,
        }
        let content = |slot: Slot| {
            openings.iter().find(|opening| opening.slot == slot as i32).map(|o| &o.content[..])
        };
        let user = content(Slot::Principal).and_then(user);
        let client = content(Slot::Client).and_then(|c| serde_json::from_slice::<Client>(c).ok());
        let Some(client) = client else { return Self { user, ..Self::default() } };
        let address = client.address.and_then(|address| address.parse().ok());
        Self { user, address, user_agent: client.user_agent }
    }
}

fn user(principal: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Principal {
        issuer: String,
        subject: String,
        kind: String,
        #[serde(default)]
        groups: BTreeSet<String>,
    }
    let principal: Principal = serde_json::from_slice(principal).ok()?;
    let (type_id, type_name) = match principal.kind.as_str() {
        "human" => (1, "User"),
        "machine" => (4, "Service"),
        _ => (0, "Unknown"),
    };
    let uid =
        if principal.subject.is_empty() { "unauthenticated".to_owned() } else { principal.subject };
    let groups: Vec<Value> = principal.groups.iter().map(|group| json!({"name": group})).collect();
    let mut user = json!({"uid": uid, "type_id": type_id, "type": type_name});
    if !principal.issuer.is_empty() {
        user["domain"] = principal.issuer.into();
    }
    if !groups.is_empty() {
        user["groups"] = groups.into();
    }
    Some(user)
}

/// A call, in the words of API Activity.
fn invoke(row: &Row, kind: &Kind, call: &Call, known: &Known) -> Map<String, Value> {
    let mut event = class((6, "Application Activity"), (6003, "API Activity"), (99, "Invoke"));
    let method = if call.method.is_empty() { "unknown" } else { &call.method };
    let mut api = json!({"operation": method, "request": {"uid": request_uid(&row.leaf.event)}});
    if !call.server.is_empty() {
        api["service"] = json!({"name": call.server});
        event.insert(
            "dst_endpoint".to_owned(),
            json!({"name": call.server, "svc_name": call.server}),
        );
    }
    if let Some(response) = response(kind) {
        api["response"] = response;
    }
    event.insert("api".to_owned(), api);
    event.insert("actor".to_owned(), actor(row, known));
    event.insert("src_endpoint".to_owned(), source(row, known));
    if let Some(agent) = &known.user_agent {
        event.insert("http_request".to_owned(), json!({"user_agent": agent}));
    }
    if !call.name.is_empty() {
        let resource =
            json!({"name": call.name, "type": "mcp.tool", "role_id": 1, "role": "Target"});
        event.insert("resources".to_owned(), json!([resource]));
    }
    if let Some(policy) = call.policy_ids.first() {
        let digest = hex::encode(&call.snapshot_digest);
        let policy = json!({"uid": policy, "version": digest, "is_applied": true});
        event.insert("policy".to_owned(), policy);
    }
    let (status_id, status) = status(kind, call);
    event.insert("status_id".to_owned(), status_id.into());
    event.insert("status".to_owned(), status.into());
    let control = control(kind, call);
    event.insert("action_id".to_owned(), control.action.0.into());
    event.insert("action".to_owned(), control.action.1.into());
    event.insert("disposition_id".to_owned(), control.disposition.0.into());
    event.insert("disposition".to_owned(), control.disposition.1.into());
    let is_refused = control.action.0 == 2;
    severity(&mut event, if is_refused { (3, "Medium") } else { (1, "Informational") });
    if let Kind::ResponseReturned(returned) = kind {
        event.insert("duration".to_owned(), (returned.latency_ns / 1_000_000).into());
    }
    event.insert("message".to_owned(), summary(kind, call).into());
    event
}

fn summary(kind: &Kind, call: &Call) -> String {
    let name = if call.name.is_empty() { "" } else { &call.name };
    [kind_name(kind), &call.server, &call.method, name]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Id of the exchange, by which request and response belong together.
fn request_uid(event: &Event) -> String {
    let id = if event.exchange_id.is_empty() { &event.event_id } else { &event.exchange_id };
    hex::encode(id)
}

fn response(kind: &Kind) -> Option<Value> {
    let Kind::ResponseReturned(returned) = kind else { return None };
    let mut response = Map::new();
    let code = if returned.error_code == 0 {
        i64::from(returned.http_status)
    } else {
        returned.error_code.into()
    };
    if code != 0 {
        response.insert("code".to_owned(), code.into());
    }
    let outcome = name_of!(v1::Outcome, "OUTCOME_", returned.outcome);
    if let Some(error) = outcome.filter(|outcome| outcome.contains("error")) {
        response.insert("error".to_owned(), error.into());
    }
    (!response.is_empty()).then_some(Value::Object(response))
}

fn status(kind: &Kind, call: &Call) -> (u32, &'static str) {
    const SUCCESS: (u32, &str) = (1, "Success");
    const FAILURE: (u32, &str) = (2, "Failure");
    const OTHER: (u32, &str) = (99, "Other");
    match kind {
        Kind::ResponseReturned(returned) => match v1::Outcome::try_from(returned.outcome) {
            Ok(
                v1::Outcome::Result
                | v1::Outcome::Accepted
                | v1::Outcome::StreamEnded
                | v1::Outcome::InputRequired,
            ) => SUCCESS,
            Ok(v1::Outcome::Ambiguous | v1::Outcome::Unspecified) | Err(_) => (0, "Unknown"),
            Ok(_) => FAILURE,
        },
        Kind::CallDenied(_) | Kind::CallBlocked(_) => FAILURE,
        Kind::StreamMessage(_) | Kind::CallReleased(_) => SUCCESS,
        _ if closes_exchange(kind) || call.verdict == Verdict::Hold as i32 => OTHER,
        _ => (0, "Unknown"),
    }
}

struct Control {
    action: (u32, &'static str),
    disposition: (u32, &'static str),
}

fn control(kind: &Kind, call: &Call) -> Control {
    const ALLOWED: Control = Control { action: (1, "Allowed"), disposition: (1, "Allowed") };
    const DENIED: Control = Control { action: (2, "Denied"), disposition: (2, "Blocked") };
    let masked = match kind {
        Kind::ResponseReturned(event) => !event.masks.is_empty(),
        Kind::StreamMessage(event) => !event.masks.is_empty(),
        _ => false,
    };
    match kind {
        Kind::CallDenied(_) | Kind::CallBlocked(_) => DENIED,
        Kind::CallReleased(_) => Control { action: (1, "Allowed"), disposition: (8, "Approved") },
        Kind::ApprovalRequested(_) => HELD,
        _ if masked => Control { action: (4, "Modified"), disposition: (11, "Corrected") },
        _ => match Verdict::try_from(call.verdict) {
            Ok(Verdict::Deny | Verdict::Block) => DENIED,
            Ok(Verdict::Hold) if matches!(kind, Kind::RequestReceived(_)) => HELD,
            Ok(Verdict::Unspecified) | Err(_) => {
                Control { action: (0, "Unknown"), disposition: (0, "Unknown") }
            }
            Ok(_) => ALLOWED,
        },
    }
}

const HELD: Control = Control { action: (99, "Held"), disposition: (99, "Held") };

fn access(row: &Row, accessed: &v1::EvidenceAccessed, known: &Known) -> Map<String, Value> {
    let mut event = class((6, "Application Activity"), (6003, "API Activity"), (2, "Read"));
    let operation = match Door::try_from(accessed.door) {
        Ok(Door::Sql) => "exhibit.sql",
        Ok(Door::Feed) => "exhibit.feed",
        Ok(Door::Export) => "exhibit.export",
        _ => "exhibit.unknown",
    };
    let api = json!({"operation": operation, "request": {"uid": request_uid(&row.leaf.event)},
        "service": {"name": "exhibit"}});
    event.insert("api".to_owned(), api);
    event.insert("actor".to_owned(), actor(row, known));
    event.insert("src_endpoint".to_owned(), source(row, known));
    let is_allowed = accessed.result == Outcome::Allowed as i32;
    let (status_id, status) = if is_allowed { (1, "Success") } else { (2, "Failure") };
    let (id, action, disposition) =
        if is_allowed { (1, "Allowed", "Allowed") } else { (2, "Denied", "Blocked") };
    event.insert("status_id".to_owned(), status_id.into());
    event.insert("status".to_owned(), status.into());
    event.insert("action_id".to_owned(), id.into());
    event.insert("action".to_owned(), action.into());
    event.insert("disposition_id".to_owned(), id.into());
    event.insert("disposition".to_owned(), disposition.into());
    severity(&mut event, if is_allowed { (1, "Informational") } else { (2, "Low") });
    event
}

fn authentication(
    row: &Row,
    failed: &v1::AuthenticationFailed,
    known: &Known,
) -> Map<String, Value> {
    let mut event =
        class((3, "Identity & Access Management"), (3002, "Authentication"), (1, "Logon"));
    // Nobody is known: that is what failed.
    event.insert("user".to_owned(), json!({"name": "unknown", "type_id": 0, "type": "Unknown"}));
    event.insert("src_endpoint".to_owned(), source(row, known));
    if !failed.server.is_empty() {
        event.insert("service".to_owned(), json!({"name": failed.server}));
    }
    event.insert("status_id".to_owned(), 2.into());
    event.insert("status".to_owned(), "Failure".into());
    let reason = name_of!(v1::authentication_failed::Reason, "REASON_", failed.reason);
    event.insert("status_detail".to_owned(), reason.unwrap_or_default().into());
    event.insert("action_id".to_owned(), 2.into());
    event.insert("action".to_owned(), "Denied".into());
    event.insert("disposition_id".to_owned(), 2.into());
    event.insert("disposition".to_owned(), "Blocked".into());
    severity(&mut event, (3, "Medium"));
    event
}

fn base(kind: &Kind) -> Map<String, Value> {
    let mut event = class((0, "Uncategorized"), (0, "Base Event"), (99, kind_name(kind)));
    event.insert("message".to_owned(), kind_name(kind).into());
    let is_grave = matches!(
        kind,
        Kind::RecorderConflict(_) | Kind::ClockStepped(_) | Kind::DisclosureErased(_)
    );
    severity(&mut event, if is_grave { (4, "High") } else { (1, "Informational") });
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

/// Who acted: the user if this reader may know, and the session or exchange by which others belong to it.
fn actor(row: &Row, known: &Known) -> Value {
    let event = &row.leaf.event;
    let id = if event.session_id.is_empty() { &event.exchange_id } else { &event.session_id };
    let mut actor = Map::new();
    if let Some(user) = &known.user {
        actor.insert("user".to_owned(), user.clone());
    }
    if id.is_empty() {
        actor.insert("app_name".to_owned(), recorder_id(event).into());
    } else {
        actor.insert("session".to_owned(), json!({"uid": hex::encode(id)}));
    }
    Value::Object(actor)
}

fn source(row: &Row, known: &Known) -> Value {
    let mut endpoint = json!({"name": "mcp-client"});
    if !row.leaf.event.session_id.is_empty() {
        endpoint["uid"] = hex::encode(&row.leaf.event.session_id).into();
    }
    if let Some(address) = known.address {
        endpoint["ip"] = address.to_string().into();
    }
    endpoint
}

fn recorder_id(event: &Event) -> &str {
    event.recorder.as_ref().map_or("unknown", |recorder| &recorder.recorder_id)
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
