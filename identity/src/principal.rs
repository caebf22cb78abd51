//! Who is calling, as far as the token and the configuration say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A caller that was verified, or the one caller that was not: [`Principal::unauthenticated`].
///
/// All text is the issuer's and so foreign: escape it where it is shown. Its size is bounded by the
/// token's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// `iss`; the name of a machine that signed its own token; empty when unauthenticated.
    pub issuer: String,
    /// `sub`, unique within the issuer; empty when unauthenticated.
    pub subject: String,
    /// Human, machine or nobody known.
    pub kind: PrincipalKind,
    /// `name`, else `preferred_username`: for display, never for decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `email`: for display, never for decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// `client_id`, else `azp`: the application that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The values of the issuer's groups claim.
    pub groups: BTreeSet<String>,
    /// The values of the issuer's roles claim, or the roles configured for a machine.
    pub roles: BTreeSet<String>,
    /// The scopes granted, from the scope claim and `scp`.
    pub scopes: BTreeSet<String>,
    /// `exp`, Unix seconds; 0 when unauthenticated.
    pub expires_at: u64,
    /// `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// `alg` of the header, such as `ES256`; empty when unauthenticated.
    pub algorithm: String,
    /// The claims that were used or that say how the caller signed in: `iss`, `sub`, `aud`, `azp`,
    /// `client_id`, the groups, roles, scope and kind claims (under the name as configured), `scp`,
    /// `exp`, `nbf`, `iat`, `jti`, `auth_time`, `acr`, `amr`. All others are left out.
    pub claims: Map<String, Value>,
}

/// What kind of caller a [`Principal`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person, perhaps through an application.
    Human,
    /// An application or an agent that acts as itself.
    Machine,
    /// No token was asked for: a route that is declared open.
    Unauthenticated,
}

impl PrincipalKind {
    /// `human`, `machine` or `unauthenticated`.
    pub fn as_str(self) -> &'static str {
        match self {
            PrincipalKind::Human => "human",
            PrincipalKind::Machine => "machine",
            PrincipalKind::Unauthenticated => "unauthenticated",
        }
    }
}

impl Principal {
    /// The caller of a route that is declared open: no issuer, no subject, no right.
    pub fn unauthenticated() -> Self {
        Principal {
            issuer: String::new(),
            subject: String::new(),
            kind: PrincipalKind::Unauthenticated,
            name: None,
            email: None,
            client_id: None,
            groups: BTreeSet::new(),
            roles: BTreeSet::new(),
            scopes: BTreeSet::new(),
            expires_at: 0,
            token_id: None,
            algorithm: String::new(),
            claims: Map::new(),
        }
    }

    /// Whether a token stands behind this principal.
    pub fn is_authenticated(&self) -> bool {
        self.kind != PrincipalKind::Unauthenticated
    }

    /// Whether it is a machine of the configuration, known by its own key. An issuer is a URL and so has a
    /// colon; a machine's name has none.
    pub fn is_configured_machine(&self) -> bool {
        self.kind == PrincipalKind::Machine && !self.issuer.contains(':')
    }

    /// Whether the token grants `scope` (exact).
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// Whether the caller has `role` (exact).
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains(role)
    }

    /// Whether the caller has at least one of `roles`.
    pub fn has_any_role(&self, roles: &[&str]) -> bool {
        roles.iter().any(|role| self.has_role(role))
    }

    /// Whether the caller is in `group` (exact).
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.contains(group)
    }
}
