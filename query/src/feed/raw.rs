//! Events as they stand in the log: the exact leaf, and the openings that the reader may see. With them and an
//! inclusion proof a consumer can check everything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::disclosure::slot_name;
use proto::kind::kind_name;
use proto::v1::Opening;
use serde_json::{Value, json};

use super::ocsf::rfc3339;
use crate::rows::columns::Row;

pub(crate) fn event(origin: &str, row: &Row, openings: &[Opening]) -> Value {
    let openings: Vec<Value> = openings
        .iter()
        .map(|opening| {
            json!({
                "slot": slot_name(opening.slot),
                "salt": hex::encode(&opening.salt),
                "content": STANDARD.encode(&opening.content),
            })
        })
        .collect();
    json!({
        "uid": format!("{origin}#{}", row.index),
        "leaf_index": row.index,
        "recorded_at": rfc3339(row.leaf.recorded_at_ns),
        "kind": row.leaf.event.kind.as_ref().map(kind_name),
        "leaf_hash": format!("{:?}", row.hash),
        "leaf": STANDARD.encode(&row.entry),
        "openings": openings,
    })
}
