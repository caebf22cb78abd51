//! The part of JSON Schema that our schemas use. A keyword that it does not know is a mistake of the schema, so that
//! nothing goes unchecked.

use regex::Regex;
use serde_json::Value;

pub(super) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The first thing in `value` that the schema does not allow.
pub(super) fn mistake(schema: &Value, value: &Value) -> Option<String> {
    let keywords = schema.as_object().unwrap();
    keywords.iter().find_map(|(keyword, rule)| {
        let broken = match keyword.as_str() {
            "$schema" | "title" | "description" => None,
            "type" => (!fits_type(rule, value)).then(String::new),
            "enum" => (!rule.as_array().unwrap().contains(value)).then(String::new),
            "const" => (rule != value).then(String::new),
            "required" => rule.as_array().unwrap().iter().find_map(|name| {
                let members = value.as_object()?;
                let name = name.as_str().unwrap();
                (!members.contains_key(name)).then(|| name.to_owned())
            }),
            "properties" => rule.as_object().unwrap().iter().find_map(|(name, rule)| {
                let told = mistake(rule, value.get(name)?)?;
                Some(format!("{name}: {told}"))
            }),
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false), "only `false` is known here");
                let known = keywords["properties"].as_object().unwrap();
                let mut names = value.as_object().into_iter().flat_map(|members| members.keys());
                names.find(|name| !known.contains_key(*name)).cloned()
            }
            "items" => value.as_array().into_iter().flatten().find_map(|item| mistake(rule, item)),
            "uniqueItems" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let twice = items.iter().enumerate().any(|(at, item)| items[..at].contains(item));
                twice.then(String::new)
            }
            "minimum" => value
                .as_number()
                .is_some_and(|number| number.as_f64() < rule.as_f64())
                .then(String::new),
            "minLength" => value
                .as_str()
                .is_some_and(|text| (text.chars().count() as u64) < rule.as_u64().unwrap())
                .then(String::new),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| !pattern.is_match(text)).then(String::new)
            }
            "format" => {
                assert_eq!(rule, "date-time", "only `date-time` is known here");
                let time = |text: &str| text.parse::<jiff::Timestamp>().is_err();
                value.as_str().is_some_and(time).then(String::new)
            }
            "contentEncoding" => {
                assert_eq!(rule, "base64", "only `base64` is known here");
                let base64 = Regex::new("^[A-Za-z0-9+/]*={0,2}$").unwrap();
                value.as_str().is_some_and(|text| !base64.is_match(text)).then(String::new)
            }
            "oneOf" => {
                let mistakes: Vec<String> =
                    rule.as_array().unwrap().iter().filter_map(|one| mistake(one, value)).collect();
                let fitting = rule.as_array().unwrap().len() - mistakes.len();
                (fitting != 1).then(|| mistakes.join("; or "))
            }
            other => panic!("the schema has the keyword {other}, which is not known here"),
        };
        broken.map(|told| format!("{keyword} {told}"))
    })
}

fn fits_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the schema has the type {other}, which is not known here"),
    };
    rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
}
