//! Every kind of event as OCSF, checked against the compiled class definition where it is at hand.

use std::path::Path;

use proto::kind::Kind;
use proto::v1::{self, Slot, Verdict};
use serde_json::Value;

use super::fixture::{TestLog, call};
use crate::feed::ocsf;
use crate::rows::columns::Row;

const DEFINITION: &str = "../../shared/vectors/ocsf/api_activity-1.9.0-dev.json";

/// One event of every kind that has a mapping of its own, and some that have none.
fn log() -> TestLog {
    let mut log = TestLog::of_exchanges(3);
    let request = bytes::Bytes::from_static(&[1; 16]);
    let called = || Some(call(Verdict::Hold));
    let principal = r#"{"issuer":"spiffe","subject":"agent","kind":"machine","groups":[]}"#;
    let client = r#"{"address":"2001:db8::1","user_agent":null}"#;
    let mut push = |kind: Kind| {
        log.push(kind, b"", &[5; 16], &[(Slot::Principal, principal), (Slot::Client, client)]);
    };
    push(Kind::RequestReceived(v1::RequestReceived { call: called(), ..Default::default() }));
    push(Kind::RequestReceived(v1::RequestReceived {
        call: Some(v1::Call::default()),
        ..Default::default()
    }));
    for outcome in 1..=8 {
        push(Kind::ResponseReturned(v1::ResponseReturned {
            call: Some(call(Verdict::Allow)),
            outcome,
            error_code: if outcome == 3 { -32602 } else { 0 },
            request_event_id: request.clone(),
            ..Default::default()
        }));
    }
    push(Kind::CallDenied(v1::CallDenied {
        call: Some(call(Verdict::Deny)),
        refusal: 1,
        ..Default::default()
    }));
    push(Kind::CallBlocked(v1::CallBlocked {
        call: Some(call(Verdict::Block)),
        ..Default::default()
    }));
    push(Kind::Cancelled(v1::Cancelled { call: Some(call(Verdict::Allow)), ..Default::default() }));
    push(Kind::ApprovalRequested(v1::ApprovalRequested { call: called(), ..Default::default() }));
    push(Kind::CallReleased(v1::CallReleased { call: called(), ..Default::default() }));
    push(Kind::StreamMessage(v1::StreamMessage {
        call: Some(call(Verdict::Allow)),
        ..Default::default()
    }));
    for door in 1..=3 {
        push(Kind::EvidenceAccessed(v1::EvidenceAccessed {
            door,
            result: door,
            role: "auditor".into(),
            ..Default::default()
        }));
    }
    push(Kind::AuthenticationFailed(v1::AuthenticationFailed {
        server: "crm".into(),
        reason: 3,
        http_status: 401,
        count: 7,
    }));
    push(Kind::ClockStepped(v1::ClockStepped { step_ns: -5, confirmed: false }));
    log.push(Kind::EvidenceAccessed(v1::EvidenceAccessed::default()), b"", b"", &[]);
    log
}

fn events() -> Vec<Value> {
    let log = log();
    let checkpoint = log.checkpoint(log.len());
    let rows = log.leaves(0..log.len()).zip(&log.entries);
    rows.map(|((index, leaf), entry)| {
        ocsf::event(&checkpoint, &Row::decode(index, leaf).unwrap(), &entry.openings)
    })
    .collect()
}

#[test]
fn every_event_has_the_base_attributes() {
    let required =
        ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"];
    for event in events() {
        for name in required {
            assert!(!event[name].is_null(), "{name} of {event}");
        }
        let (class, activity) =
            (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
        assert_eq!(event["type_uid"], class * 100 + activity);
        assert_eq!(event["category_uid"], class / 1000);
        assert_eq!(
            event["attestation_list"][0]["fingerprint"]["value"],
            event["unmapped"]["exhibit"]["leaf_hash"]
        );
        let profiles = event["metadata"]["profiles"].as_array().unwrap();
        let has_control = profiles.iter().any(|profile| profile == "security_control");
        assert_eq!(has_control, event.get("action_id").is_some(), "{event}");
    }
}

#[test]
fn an_event_of_several_attempts_tells_how_many() {
    let counts: Vec<Value> = events().iter().map(|event| event["count"].clone()).collect();
    assert_eq!(counts.iter().filter(|count| !count.is_null()).collect::<Vec<_>>(), [7]);
}

#[test]
fn calls_are_api_activity_as_defined() {
    let Ok(text) = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(DEFINITION))
    else {
        println!("skipped: {DEFINITION} is not there, so the OCSF class cannot be checked");
        return;
    };
    let definition: Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for event in events() {
        if event["class_uid"] != 6003 {
            continue;
        }
        let mut faults = Vec::new();
        check(&definition, &definition["class"], &event, &event, "", &mut faults);
        assert!(faults.is_empty(), "{faults:#?} in {event:#}");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
    // The check itself finds faults.
    let mut broken = events().into_iter().find(|event| event["class_uid"] == 6003).unwrap();
    broken["severity_id"] = 42.into();
    broken["src_endpoint"] = serde_json::json!({"ip": "192.0.2.1"});
    broken["metadata"]["profiles"] = serde_json::json!([]);
    broken["surprise"] = 1.into();
    broken["api"].as_object_mut().unwrap().remove("operation");
    let mut faults = Vec::new();
    check(&definition, &definition["class"], &broken, &broken, "", &mut faults);
    for fault in ["severity_id", "src_endpoint", "attestation_list", "surprise", "api.operation"] {
        assert!(faults.iter().any(|found| found.contains(fault)), "{fault} in {faults:?}");
    }
}

/// Required attributes, types, enums, profiles and constraints of an object, and of those within.
fn check(
    definition: &Value,
    class: &Value,
    object: &Value,
    event: &Value,
    path: &str,
    faults: &mut Vec<String>,
) {
    let profiles = event["metadata"]["profiles"].as_array().cloned().unwrap_or_default();
    let attributes = class["attributes"].as_object().unwrap();
    let Some(object) = object.as_object() else {
        faults.push(format!("{path} is no object"));
        return;
    };
    let in_profile = |attribute: &Value| {
        attribute["profile"].is_null() || profiles.contains(&attribute["profile"])
    };
    for (name, attribute) in attributes {
        if attribute["requirement"] == "required"
            && in_profile(attribute)
            && !object.contains_key(name)
        {
            faults.push(format!("{path}{name} is required"));
        }
    }
    if let Some(any) = class["constraints"]["at_least_one"].as_array()
        && !any.iter().any(|name| object.contains_key(name.as_str().unwrap()))
    {
        faults.push(format!("{path} needs one of {any:?}"));
    }
    for (name, value) in object {
        let path = format!("{path}{name}");
        let Some(attribute) = attributes.get(name).filter(|attribute| in_profile(attribute)) else {
            faults.push(format!("{path} is not an attribute, or its profile is not listed"));
            continue;
        };
        let values = match (attribute["is_array"] == true, value) {
            (true, Value::Array(values)) => values.clone(),
            (false, value) => vec![value.clone()],
            (true, _) => {
                faults.push(format!("{path} is no array"));
                continue;
            }
        };
        for value in values {
            let key = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if let Some(allowed) = attribute["enum"].as_object()
                && !allowed.contains_key(&key)
            {
                faults.push(format!("{path} is {key}, none of {:?}", allowed.keys()));
            }
            check_type(
                definition,
                attribute["type"].as_str().unwrap(),
                &value,
                event,
                &path,
                faults,
            );
        }
    }
}

fn check_type(
    definition: &Value,
    kind: &str,
    value: &Value,
    event: &Value,
    path: &str,
    faults: &mut Vec<String>,
) {
    if kind == "object" || kind == "json_t" {
        return;
    }
    if let Some(class) = definition["objects"].get(kind) {
        return check(definition, class, value, event, &format!("{path}."), faults);
    }
    let mut base = kind;
    while let Some(parent) = definition["types"][base]["type"].as_str() {
        base = parent;
    }
    let fits = match base {
        "integer_t" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "long_t" | "timestamp_t" | "port_t" => value.is_i64() || value.is_u64(),
        "boolean_t" => value.is_boolean(),
        "float_t" => value.is_number(),
        _ => value.is_string(),
    };
    if !fits {
        faults.push(format!("{path} is {value}, not {kind}"));
    }
}
