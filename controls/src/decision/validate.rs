//! Checks policies against the schema although `context.arguments` has no type.
//!
//! Cedar's strict validator knows only closed records, and a caller's arguments are open. So a policy that
//! reads them is validated in a rewritten form: each smallest Boolean expression around an argument becomes
//! "some Boolean, and each of its other parts compared with itself". Entity types, actions, attributes of
//! principal, resource and context, and the types of everything else stay checked; the types of arguments
//! cannot be. A policy that does not read arguments is validated as it stands, to the column.

use std::collections::BTreeSet;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Policy, PolicySet, Schema, ValidationMode, ValidationWarning, Validator};
use serde_json::{Map, Value, json};

use super::policies::{Placed, PolicyMistake, flatten};

pub(super) fn check(schema: &Schema, policies: &[Placed], mistakes: &mut Vec<PolicyMistake>) {
    let validator = Validator::new(schema.clone());
    for one in policies {
        let mistake =
            |message| PolicyMistake { file: Some(one.file), offset: one.span.start, message };
        let checked = match without_arguments(&one.policy) {
            Ok(policy) => policy,
            Err(message) => {
                mistakes.push(mistake(message));
                continue;
            }
        };
        match PolicySet::from_policies([checked]) {
            Ok(set) => {
                let result = validator.validate(&set, ValidationMode::Strict);
                let mut found = Vec::new();
                for error in result.validation_errors() {
                    let error = DetailedError::from(error);
                    flatten(Some(one.file), one.span.start, &error, &mut found);
                }
                for warning in result.validation_warnings() {
                    // A forbid that never applies guards nothing.
                    if matches!(warning, ValidationWarning::ImpossiblePolicy(_)) {
                        let warning = DetailedError::from(warning);
                        flatten(Some(one.file), one.span.start, &warning, &mut found);
                    }
                }
                mistakes.extend(once_each(found));
            }
            Err(error) => mistakes.push(mistake(error.to_string())),
        }
    }
}

/// The validator repeats a mistake for each action it concerns, in no order; the first action stays.
fn once_each(mut found: Vec<PolicyMistake>) -> Vec<PolicyMistake> {
    found.sort_by(|a, b| (a.offset, &a.message).cmp(&(b.offset, &b.message)));
    let mut seen = BTreeSet::new();
    found.retain(|mistake| {
        let mut parts = mistake.message.split("Action::\"");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text.push_str(part.split_once('"').map_or("", |(_, after)| after));
        }
        seen.insert((mistake.offset, text))
    });
    found
}

/// The policy itself, or its rewritten form when it reads arguments.
fn without_arguments(policy: &Policy) -> Result<Policy, String> {
    let mut tree = policy.to_json().map_err(|error| error.to_string())?;
    let mut rewritten = false;
    for condition in tree["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(body) = condition.get_mut("body").filter(|body| reads_arguments(body)) {
            *body = boolean(body);
            rewritten = true;
        }
    }
    if !rewritten {
        return Ok(policy.clone());
    }
    Policy::from_json(Some(policy.id().clone()), tree).map_err(|error| error.to_string())
}

/// Does the expression contain `context.arguments`?
fn reads_arguments(expression: &Value) -> bool {
    is_arguments(expression)
        || match expression {
            Value::Object(members) => members.values().any(reads_arguments),
            Value::Array(elements) => elements.iter().any(reads_arguments),
            _ => false,
        }
}

fn is_arguments(expression: &Value) -> bool {
    expression.get(".").is_some_and(|access| {
        access["attr"] == "arguments" && access["left"] == json!({ "Var": "context" })
    })
}

/// An expression of type Bool with the same parts except for those that read arguments.
fn boolean(expression: &Value) -> Value {
    if !reads_arguments(expression) {
        return expression.clone();
    }
    let operator = expression.as_object().and_then(|members| members.iter().next());
    match operator {
        Some((name, parts)) if matches!(name.as_str(), "&&" | "||" | "!" | "if-then-else") => {
            let parts = parts.as_object().into_iter().flatten();
            let parts: Map<String, Value> =
                parts.map(|(name, part)| (name.clone(), boolean(part))).collect();
            json!({ name: parts })
        }
        _ => {
            let mut others = Vec::new();
            untouched(expression, &mut others);
            let same = |part: &&Value| json!({ "==": { "left": part, "right": part } });
            all_of([some_boolean()].into_iter().chain(others.iter().map(same)).collect())
        }
    }
}

/// All of the parts, as a tree no deeper than it must be: whoever reads it recurses, and a set may have any number of
/// elements.
fn all_of(mut parts: Vec<Value>) -> Value {
    while parts.len() > 1 {
        let mut joined = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => json!({ "&&": { "left": left, "right": right } }),
                None => left,
            });
        }
        parts = joined;
    }
    parts.pop().unwrap_or_else(some_boolean)
}

/// Not a constant to the validator.
fn some_boolean() -> Value {
    let time = json!({ ".": { "left": { "Var": "context" }, "attr": "time_ms" } });
    json!({ ">": { "left": time, "right": { "Value": 0 } } })
}

/// The largest parts of an expression that do not read arguments and can be mistaken.
fn untouched<'v>(expression: &'v Value, parts: &mut Vec<&'v Value>) {
    let Some((operator, operands)) = expression.as_object().and_then(|one| one.iter().next())
    else {
        return;
    };
    let is_literal = operator == "Value" && operands.get("__entity").is_none();
    if is_literal || is_arguments(expression) {
        return;
    }
    let is_collection = operator == "Set" || operator == "Record";
    if !is_collection && !reads_arguments(expression) {
        parts.push(expression);
        return;
    }
    match operands {
        Value::Object(operands) => operands.values().for_each(|part| untouched(part, parts)),
        Value::Array(operands) => operands.iter().for_each(|part| untouched(part, parts)),
        _ => {}
    }
}
