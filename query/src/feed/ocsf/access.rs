//! An access to evidence, in the words of API Activity.

use proto::v1::EvidenceAccessed;
use proto::v1::evidence_accessed::{Door, Result as Outcome};
use serde_json::{Map, Value, json};

use super::party::{Known, actor, request_uid, source};
use super::{class, severity};
use crate::rows::columns::Row;

pub(super) fn event(row: &Row, accessed: &EvidenceAccessed, known: &Known) -> Map<String, Value> {
    let mut event = class((6, "Application Activity"), (6003, "API Activity"), (2, "Read"));
    let operation = match Door::try_from(accessed.door) {
        Ok(Door::Sql) => "exhibit.sql",
        Ok(Door::Feed) => "exhibit.feed",
        Ok(Door::Export) => "exhibit.export",
        Ok(Door::Subscribe) => "exhibit.subscribe",
        Ok(Door::Tiles) => "exhibit.tiles",
        Ok(Door::Orders) => "exhibit.orders",
        Ok(Door::Backup) => "exhibit.backup",
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
