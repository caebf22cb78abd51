//! A caller who was not known, in the words of Authentication.

use proto::v1::AuthenticationFailed;
use proto::v1::authentication_failed::Reason;
use serde_json::{Map, Value, json};

use super::party::{Known, source};
use super::{class, severity};
use crate::rows::columns::Row;
use crate::rows::values::name_of;

pub(super) fn event(row: &Row, failed: &AuthenticationFailed, known: &Known) -> Map<String, Value> {
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
    let reason = name_of!(Reason, "REASON_", failed.reason);
    event.insert("status_detail".to_owned(), reason.unwrap_or_default().into());
    event.insert("action_id".to_owned(), 2.into());
    event.insert("action".to_owned(), "Denied".into());
    event.insert("disposition_id".to_owned(), 2.into());
    event.insert("disposition".to_owned(), "Blocked".into());
    severity(&mut event, (3, "Medium"));
    event
}
