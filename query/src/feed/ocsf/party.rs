//! Who acted, and from where, as far as the reader may know.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proto::v1::{Event, Opening, Slot};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rows::columns::Row;

/// What disclosures tell of the caller.
#[derive(Default)]
pub(super) struct Known {
    user: Option<Value>,
    address: Option<IpAddr>,
    pub(super) user_agent: Option<String>,
}

impl Known {
    pub(super) fn of(openings: &[Opening]) -> Self {
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

/// Who acted: the user if this reader may know, and the session or exchange by which others belong to it.
pub(super) fn actor(row: &Row, known: &Known) -> Value {
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

pub(super) fn source(row: &Row, known: &Known) -> Value {
    let mut endpoint = json!({"name": "mcp-client"});
    if !row.leaf.event.session_id.is_empty() {
        endpoint["uid"] = hex::encode(&row.leaf.event.session_id).into();
    }
    if let Some(address) = known.address {
        endpoint["ip"] = address.to_string().into();
    }
    endpoint
}

pub(super) fn recorder_id(event: &Event) -> &str {
    event.recorder.as_ref().map_or("unknown", |recorder| &recorder.recorder_id)
}

/// Id of the exchange, by which request and response belong together.
pub(super) fn request_uid(event: &Event) -> String {
    let id = if event.exchange_id.is_empty() { &event.event_id } else { &event.exchange_id };
    hex::encode(id)
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
