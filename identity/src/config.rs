//! The `[identity]` table of the configuration.

mod check;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::ConfigError;
pub(crate) use check::{Issuer, Machine};

/// Whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// OIDC issuers; the `iss` of a token must equal one of them, to the character.
    pub issuers: Vec<IssuerConfig>,
    /// Machines whose self-signed tokens are accepted, such as query nodes that read from the
    /// ledger.
    pub machines: Vec<MachineConfig>,
    /// Seconds by which the clocks of an issuer and this server may differ; at most 300.
    #[schemars(range(max = 300))]
    pub leeway_seconds: u64,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        IdentityConfig { issuers: Vec::new(), machines: Vec::new(), leeway_seconds: 30 }
    }
}

/// An OIDC issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The issuer exactly as it stands in `iss`: an https URL, or http on loopback.
    pub issuer: String,
    /// The algorithms that its tokens may be signed with; all others are refused.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are. Left out: found by discovery (OpenID Connect, else RFC 8414) at the
    /// issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The claim that lists the caller's groups: a claim name (a URL is one too), or a dotted path
    /// such as `realm_access.groups`.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// The claim that lists the caller's roles: a claim name or a dotted path, as for groups.
    #[serde(default = "default_roles_claim")]
    pub roles_claim: String,
    /// The claim with the granted scopes, a string of words or a list; `scp` is read as well.
    #[serde(default = "default_scope_claim")]
    pub scope_claim: String,
    /// The claim that tells a machine from a human. Left out: a caller is a machine when
    /// `client_id` or `azp` equals `sub`, or when the grant (`gty`) is client credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind_claim: Option<String>,
    /// The values of the kind claim that mean a machine; any other value means a human.
    #[serde(default = "default_machine_kinds")]
    pub machine_kinds: Vec<String>,
}

/// A machine that signs its own tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Its name: `iss` and `sub` of its tokens. Listed twice with different keys while a key is
    /// replaced.
    pub name: String,
    /// Its Ed25519 key as a signed-note verifier key, `name+id+base64`, as `exhibit keygen` prints
    /// it.
    pub public_key: String,
    /// The roles that it has here. `follower`, the role of query nodes at the ledger, counts for machines of this
    /// list only.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// A signature algorithm of RFC 7518 or 8037. Shared secrets (`HS*`) and `none` do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "each name is the registered name")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    /// Ed25519 only; tokens may say `EdDSA` or, by RFC 9864, `Ed25519`.
    EdDSA,
}

impl Algorithm {
    /// The algorithm of a JOSE header's `alg`.
    pub(crate) fn from_header(alg: &str) -> Option<Algorithm> {
        Some(match alg {
            "RS256" => Algorithm::RS256,
            "RS384" => Algorithm::RS384,
            "RS512" => Algorithm::RS512,
            "PS256" => Algorithm::PS256,
            "PS384" => Algorithm::PS384,
            "PS512" => Algorithm::PS512,
            "ES256" => Algorithm::ES256,
            "ES384" => Algorithm::ES384,
            "EdDSA" | "Ed25519" => Algorithm::EdDSA,
            _ => return None,
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl IssuerConfig {
    /// An issuer with the defaults of every optional field.
    pub fn new(issuer: impl Into<String>) -> Self {
        IssuerConfig {
            issuer: issuer.into(),
            algorithms: default_algorithms(),
            jwks_uri: None,
            groups_claim: default_groups_claim(),
            roles_claim: default_roles_claim(),
            scope_claim: default_scope_claim(),
            kind_claim: None,
            machine_kinds: default_machine_kinds(),
        }
    }
}

/// OpenID Connect Core's default.
fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256]
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

fn default_roles_claim() -> String {
    "roles".to_owned()
}

fn default_scope_claim() -> String {
    "scope".to_owned()
}

fn default_machine_kinds() -> Vec<String> {
    ["machine", "agent", "app", "service", "service_account"].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_toml_with_defaults_and_refuses_unknown_fields() {
        let config: IdentityConfig =
            toml::from_str("[[issuers]]\nissuer = 'https://idp.example'\n").unwrap();
        assert_eq!(config.issuers, [IssuerConfig::new("https://idp.example")]);
        assert_eq!(config.leeway_seconds, 30);
        assert!(toml::from_str::<IdentityConfig>("leeway = 3").is_err());
        let shared = "[[issuers]]\nissuer = 'https://idp.example'\nalgorithms = ['HS256']\n";
        assert!(
            toml::from_str::<IdentityConfig>(shared).unwrap_err().to_string().contains("HS256")
        );
    }

    #[test]
    fn has_a_json_schema_with_a_description_of_every_field() {
        let schema = serde_json::to_value(schemars::schema_for!(IdentityConfig)).unwrap();
        for table in [&schema, &schema["$defs"]["IssuerConfig"], &schema["$defs"]["MachineConfig"]]
        {
            assert_eq!(table["additionalProperties"], false);
            for (name, field) in table["properties"].as_object().unwrap() {
                assert!(field["description"].is_string(), "{name}");
            }
        }
    }
}
