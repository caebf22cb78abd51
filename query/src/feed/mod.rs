//! The SIEM feed: the log's rows in ledger order, each exactly once, never late.
//!
//! Only what a verified checkpoint covers is served, so nothing arrives before an index that was served already. A
//! cursor is a position in the log; it never expires, and replay from the start is allowed.

pub(crate) mod cursor;
pub(crate) mod deliveries;
pub(crate) mod ocsf;
pub(crate) mod page;
pub(crate) mod places;
pub(crate) mod poll;
pub(crate) mod raw;
pub(crate) mod stream;

use proto::Role;
use proto::v1::evidence_accessed::{Door, Result as Outcome};

use crate::door::Doors;
use crate::door::access::{Accessed, Visitor};
use crate::door::error::DoorError;

/// Who may pull the feed by role.
pub(crate) const ROLES: [Role; 4] = [Role::Admin, Role::Auditor, Role::Compliance, Role::Siem];
/// Who may pull it without a role, and sees what a SIEM sees.
pub(crate) const SCOPE: &str = "events:read";

/// The role in which a visitor pulls the feed; a refusal is recorded.
pub(crate) async fn admit(
    doors: &Doors,
    request: &http::request::Parts,
) -> Result<(Visitor, Role), DoorError> {
    let visitor = doors.admit(request).await?;
    let by_scope = visitor.principal().has_scope(SCOPE).then_some(Role::Siem);
    match visitor.role(&ROLES).or(by_scope) {
        Some(role) => Ok((visitor, role)),
        None => {
            let denied =
                Accessed { door: Door::Feed, result: Outcome::Denied, ..Accessed::default() };
            doors.record(&visitor, denied).await?;
            Err(doors.forbid(&visitor, &ROLES, Some(SCOPE)))
        }
    }
}
