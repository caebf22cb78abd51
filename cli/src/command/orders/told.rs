//! An order, or a hold, in words for whoever reads it before he approves.

use jiff::Timestamp;
use serde_json::Value;

use crate::say::say;

/// An order that waits, or a hold, line by line.
pub(in crate::command) fn tell(told: &Value) {
    for (label, value) in lines(told) {
        say!("{label:<12} {value}");
    }
}

pub(super) fn lines(told: &Value) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let text = |value: &Value| match value.as_str() {
        Some(text) => proto::terminal::shown(text).into_owned(),
        None => proto::terminal::shown(&value.to_string()).into_owned(),
    };
    for (label, value) in [
        ("order", &told["order"]),
        ("kind", &told["kind"]),
        ("hold", &told["hold"]),
        ("released", &told["released"]),
    ] {
        if !value.is_null() {
            lines.push((label, text(value)));
        }
    }
    if let Some(scope) = told["scope"].as_object() {
        lines.push(("about", about(scope)));
    }
    if !told["damaged"].is_null() {
        lines.push((
            "DAMAGED",
            format!("{}. NOTHING is erased before it is released", text(&told["damaged"])),
        ));
    }
    let would = &told["would"];
    if would["leaves"].is_u64() {
        let message = format!(
            "{} disclosures of {} leaves, under {} keys; {} open exchanges are left out",
            would["disclosures"], would["leaves"], would["keys"], would["open_exchanges"]
        );
        lines.push(("would erase", message));
    }
    for covers in [&would["covers"], &told["covers"]].into_iter().filter_map(Value::as_u64) {
        lines.push(("covers", covered(covers)));
    }
    if !would["damaged"].is_null() {
        lines.push(("would release", text(&would["hold"])));
        let message =
            format!("NOBODY CAN TELL: {}. Has it been placed anew?", text(&would["damaged"]));
        lines.push(("which holds", message));
    }
    if let Some(released) = would.get("hold").filter(|_| would["scope"].is_object()) {
        lines.push(("would release", text(released)));
        // What it protects, and why, which is what its release gives up.
        if let Some(scope) = would["scope"].as_object() {
            lines.push(("which holds", about(scope)));
        }
        lines.push(("placed for", text(&would["reason"])));
        lines.extend(would["placed_at_ns"].as_u64().map(|ns| ("placed at", instant(ns))));
    }
    if !told["reason"].is_null() {
        lines.push(("reason", text(&told["reason"])));
    }
    for (label, field) in [("asked by", "asked_by"), ("approved by", "approved_by")] {
        if let Some(subject) = told[field]["subject"].as_str() {
            let issuer = text(&told[field]["issuer"]);
            lines.push((label, format!("{} of {issuer}", proto::terminal::shown(subject))));
        }
    }
    let times = [
        ("asked at", "asked_at_ns"),
        ("expires at", "expires_at_ns"),
        ("placed at", "placed_at_ns"),
    ];
    for (label, field) in times {
        lines.extend(told[field].as_u64().map(|ns| (label, instant(ns))));
    }
    lines
}

/// What a hold keeps.
pub(in crate::command) fn covered(count: u64) -> String {
    match count {
        0 => "NOTHING that is in the log now: look at subject and issuer as the issuer writes them"
            .to_owned(),
        1 => "1 exchange, or event outside of any, when it was asked for".to_owned(),
        count => format!("{count} exchanges, or events outside of any, when it was asked for"),
    }
}

/// The conditions of a scope. A subject without an issuer may be several people.
fn about(scope: &serde_json::Map<String, Value>) -> String {
    let mut all: Vec<_> = scope.iter().map(|(field, value)| condition(field, value)).collect();
    if scope.contains_key("subject") && !scope.contains_key("issuer") {
        all.push("of ANY issuer (--issuer names one)".to_owned());
    }
    all.join(", ")
}

fn condition(field: &str, value: &Value) -> String {
    let said = match (field, value.as_u64()) {
        ("from_ns", Some(ns)) => format!("from {}", instant(ns)),
        ("before_ns", Some(ns)) => format!("before {}", instant(ns)),
        _ => format!("{field} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    };
    proto::terminal::shown(&said).into_owned()
}

/// Unix ns as a person reads it.
fn instant(ns: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns));
    time.map_or_else(|_| format!("{ns} ns"), |time| time.to_string())
}
