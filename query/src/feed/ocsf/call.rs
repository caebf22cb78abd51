//! A call, in the words of API Activity.

use proto::kind::{Kind, closes_exchange, kind_name};
use proto::v1::{self, Call, Verdict};
use serde_json::{Map, Value, json};

use super::party::{Known, actor, request_uid, source};
use super::{class, severity};
use crate::rows::columns::Row;
use crate::rows::values::name_of;

pub(super) fn event(row: &Row, kind: &Kind, call: &Call, known: &Known) -> Map<String, Value> {
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
