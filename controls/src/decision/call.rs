//! What is known of a call when it is decided.

use proto::v1::{AuthMethod, Fact};

/// A call as the gateway knows it, before it becomes a [`crate::DecisionInput`].
///
/// Everything in it is recorded as a disclosure, so texts that a caller wrote come from the *masked* message.
#[derive(Debug, Clone)]
pub struct CallFacts<'a> {
    /// Who calls.
    pub principal: PrincipalInput,
    /// Name of the server's route; no `/`.
    pub server: String,
    /// MCP method, or `GET` / `DELETE` of the transport.
    pub method: String,
    /// What the method is applied to, as the masked message says: [`crate::name_of`].
    pub name: Option<String>,
    /// Masked arguments.
    pub arguments: Arguments<'a>,
    /// Facts of the raw message; other counts than zero and one are the same to policies.
    pub facts: Vec<Fact>,
    /// How the caller proved who it is.
    pub auth: AuthMethod,
    /// Time of the decision, Unix milliseconds.
    pub at_unix_ms: i64,
}

/// Where the masked arguments of a call stand.
#[derive(Debug, Clone, Default)]
pub enum Arguments<'a> {
    /// The call has none.
    #[default]
    None,
    /// In `params.arguments` of this masked JSON-RPC message; absent there = none.
    OfMessage(&'a [u8]),
    /// Here, as an object.
    Value(serde_json::Value),
}

/// A caller as policies see it: `User::"<issuer>#<subject>"` in its groups and roles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrincipalInput {
    /// `iss` of the token, or the name of the machine key's configuration; no `#`. Empty when unauthenticated.
    pub issuer: String,
    /// `sub` of the token; empty when unauthenticated.
    pub subject: String,
    /// What kind of caller it is.
    pub kind: PrincipalKind,
    /// `Group::"…"` parents, in any order.
    pub groups: Vec<String>,
    /// `Role::"…"` parents, in any order.
    pub roles: Vec<String>,
}

/// What kind of caller a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrincipalKind {
    /// A person, by an issuer's token.
    Human,
    /// A program, by a machine key or a client-credentials token.
    Machine,
    /// A caller on an open route: `User::"unauthenticated"`.
    #[default]
    Unauthenticated,
}

impl PrincipalKind {
    /// The word for it in policies (`principal.kind`).
    pub fn as_str(self) -> &'static str {
        match self {
            PrincipalKind::Human => "human",
            PrincipalKind::Machine => "machine",
            PrincipalKind::Unauthenticated => "unauthenticated",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        [PrincipalKind::Human, PrincipalKind::Machine, PrincipalKind::Unauthenticated]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}
