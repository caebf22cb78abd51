//! Who may see which disclosures.

use std::str::FromStr;

use crate::v1::Slot;

/// A reader's role, by the name under which an issuer grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Tests the controls: SQL, proofs, exports, every disclosure.
    Auditor,
    /// Runs the controls: SQL, exports; no message bodies, and no decision inputs, in which their arguments stand.
    Compliance,
    /// A machine that pulls the feed: who, from where, what was decided.
    Siem,
    /// Decides on held calls; reads no evidence.
    Approver,
    /// Operates Exhibit; every door, and every access is recorded.
    Admin,
    /// A query node that follows the log and enforces roles itself.
    Follower,
}

impl Role {
    /// Every role, most powerful reader first.
    pub const ALL: [Role; 6] =
        [Role::Admin, Role::Auditor, Role::Compliance, Role::Siem, Role::Approver, Role::Follower];

    /// Name of the role in tokens, configuration and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Auditor => "auditor",
            Role::Compliance => "compliance",
            Role::Siem => "siem",
            Role::Approver => "approver",
            Role::Admin => "admin",
            Role::Follower => "follower",
        }
    }

    /// May this role see disclosures of `slot`?
    pub fn may_see(self, slot: Slot) -> bool {
        match self {
            Role::Auditor | Role::Admin | Role::Follower => true,
            Role::Compliance => !matches!(slot, Slot::Message | Slot::Frame | Slot::DecisionInput),
            Role::Siem => matches!(slot, Slot::Principal | Slot::Client),
            Role::Approver => false,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A role name that Exhibit does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no such role; roles are auditor, compliance, siem, approver, admin, follower")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == name).ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_seen_by_those_who_see_messages() {
        let sees = |role: Role| [Slot::Message, Slot::DecisionInput].map(|slot| role.may_see(slot));
        for role in [Role::Auditor, Role::Admin, Role::Follower] {
            assert_eq!(sees(role), [true; 2], "{role}");
        }
        for role in [Role::Compliance, Role::Siem, Role::Approver] {
            assert_eq!(sees(role), [false; 2], "{role}");
        }
        for slot in [Slot::Principal, Slot::Client, Slot::Reason, Slot::Query, Slot::Snapshot] {
            assert!(Role::Compliance.may_see(slot), "{slot:?}");
        }
    }
}
