//! Who appears in the demo.

/// Somebody with a token of the demo's issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// Name, and subject of the token.
    pub name: &'static str,
    /// Who that is, in words.
    pub title: &'static str,
    /// Groups, as policies know them.
    pub groups: &'static [&'static str],
    /// Roles at the evidence doors.
    pub roles: &'static [&'static str],
    /// Scopes, separated by spaces.
    pub scope: &'static str,
    /// A program, not a human.
    pub is_machine: bool,
}

/// Everybody who has a token.
pub const PEOPLE: [Person; 6] = [
    Person { groups: &["engineers"], ..person("alice", "an engineer") },
    Person { groups: &["contractors"], ..person("bob", "a contractor") },
    Person { roles: &["auditor"], ..person("carol", "the auditor") },
    Person { roles: &["compliance"], ..person("compliance", "the compliance team") },
    Person { roles: &["approver"], ..person("abel", "who approves erasures and holds") },
    Person {
        roles: &["siem"],
        scope: "events:read",
        is_machine: true,
        ..person("siem", "the SIEM's puller")
    },
];

const fn person(name: &'static str, title: &'static str) -> Person {
    Person { name, title, groups: &[], roles: &[], scope: "", is_machine: false }
}
