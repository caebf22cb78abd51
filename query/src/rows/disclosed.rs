//! The disclosed columns of `events`: each comes from one slot, and is null unless that slot was disclosed and
//! the reader may see it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field};
use bytes::Bytes;
use proto::v1::Slot;
use serde_json::value::RawValue;

/// A column and the slot it is read from.
pub(crate) struct DisclosedColumn {
    pub(crate) name: &'static str,
    pub(crate) slot: Slot,
    of: fn(&[u8], &Leaf<'_>) -> Option<String>,
}

/// What a disclosed column may know of its leaf.
pub(crate) struct Leaf<'a> {
    /// The name that stands in the leaf.
    pub(crate) tool: Option<&'a str>,
}

pub(crate) const COLUMNS: &[DisclosedColumn] = &[
    DisclosedColumn { name: "subject", slot: Slot::Principal, of: |b, _| member(b, "subject") },
    DisclosedColumn { name: "issuer", slot: Slot::Principal, of: |b, _| member(b, "issuer") },
    DisclosedColumn { name: "principal_kind", slot: Slot::Principal, of: |b, _| member(b, "kind") },
    DisclosedColumn { name: "groups", slot: Slot::Principal, of: |b, _| groups(b) },
    DisclosedColumn { name: "source_address", slot: Slot::Client, of: |b, _| member(b, "address") },
    DisclosedColumn { name: "user_agent", slot: Slot::Client, of: |b, _| member(b, "user_agent") },
    DisclosedColumn { name: "arguments", slot: Slot::Message, of: |b, _| arguments(b) },
    DisclosedColumn { name: "message", slot: Slot::Message, of: |b, _| Some(text(b)) },
    DisclosedColumn { name: "reason", slot: Slot::Reason, of: |b, _| Some(text(b)) },
    DisclosedColumn { name: "query_text", slot: Slot::Query, of: |b, _| Some(text(b)) },
    DisclosedColumn { name: "foreign_name", slot: Slot::Message, of: foreign_name },
    DisclosedColumn {
        name: "resource_uri",
        slot: Slot::Message,
        of: |b, _| member(params(b)?.as_bytes(), "uri"),
    },
];

impl DisclosedColumn {
    pub(crate) fn field(&self) -> Field {
        Field::new(self.name, DataType::Utf8, true)
    }

    /// The column for leaves `first..first + tools.len()`, from the contents of its slot by leaf index.
    pub(crate) fn build(
        &self,
        first: u64,
        tools: &[Option<&str>],
        contents: &HashMap<(u64, i32), Bytes>,
    ) -> ArrayRef {
        let value = |(index, tool): (u64, &Option<&str>)| {
            let content = contents.get(&(index, self.slot as i32))?;
            (self.of)(content, &Leaf { tool: *tool })
        };
        Arc::new((first..).zip(tools).map(value).collect::<StringArray>())
    }
}

/// The members of a JSON object, as they are spelled. Nothing else passes for one, a list least of all.
type Object<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

/// A member of a JSON object, if it is a string that is not empty.
fn member(content: &[u8], field: &str) -> Option<String> {
    let object: Object<'_> = serde_json::from_slice(content).ok()?;
    let value: String = serde_json::from_str(object.get(field)?.get()).ok()?;
    (!value.is_empty()).then_some(value)
}

fn groups(content: &[u8]) -> Option<String> {
    let object: Object<'_> = serde_json::from_slice(content).ok()?;
    let groups: Vec<String> = serde_json::from_str(object.get("groups")?.get()).ok()?;
    (!groups.is_empty()).then(|| groups.join(","))
}

/// `params` of a JSON-RPC message.
fn params(content: &[u8]) -> Option<&str> {
    let object: Object<'_> = serde_json::from_slice(content).ok()?;
    object.get("params").map(|params| params.get())
}

/// Exactly as the message spells them.
fn arguments(content: &[u8]) -> Option<String> {
    let object: Object<'_> = serde_json::from_str(params(content)?).ok()?;
    object.get("arguments").map(|arguments| arguments.get().to_owned())
}

/// The name that the caller used, when none stands in the leaf.
fn foreign_name(content: &[u8], leaf: &Leaf<'_>) -> Option<String> {
    if leaf.tool.is_some() { None } else { member(params(content)?.as_bytes(), "name") }
}

/// Text as it is; what is no UTF-8 with replacement characters (the exact bytes are in `disclosures`).
fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(content).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, content: &[u8], tool: Option<&str>) -> Option<String> {
        let column = COLUMNS.iter().find(|column| column.name == name).unwrap();
        (column.of)(content, &Leaf { tool })
    }

    #[test]
    fn columns_read_their_slot() {
        let principal =
            br#"{"issuer":"https://idp","subject":"ada","kind":"human","groups":["eng","ops"]}"#;
        assert_eq!(column("subject", principal, None).unwrap(), "ada");
        assert_eq!(column("principal_kind", principal, None).unwrap(), "human");
        assert_eq!(column("groups", principal, None).unwrap(), "eng,ops");
        let call = br#"{"jsonrpc":"2.0","params":{"name":"x","arguments":{"n": 1.50}}}"#;
        assert_eq!(column("arguments", call, None).unwrap(), r#"{"n": 1.50}"#);
        assert_eq!(column("foreign_name", call, None).unwrap(), "x");
        assert_eq!(column("foreign_name", call, Some("x")), None);
        let escaped = br#"{"params":{"uri":"file:\/\/a\u00e9"}}"#;
        assert_eq!(column("resource_uri", escaped, None).unwrap(), "file://aé");
    }

    #[test]
    fn what_cannot_be_read_is_null() {
        for content in
            [&b""[..], b"[]", b"{", b"\xff\xfe", b"[{\"params\":1}]", b"{\"params\":[1]}"]
        {
            for name in ["subject", "groups", "arguments", "foreign_name", "resource_uri"] {
                assert_eq!(column(name, content, None), None, "{name} of {content:?}");
            }
        }
        assert_eq!(column("message", b"\xff", None).unwrap(), "\u{fffd}");
    }
}
