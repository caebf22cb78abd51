//! The `[identity]` table of the configuration, and its parsed form.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::vkey;

const MAX_LEEWAY_SECONDS: u64 = 300;
const MAX_NAME_BYTES: usize = 255;

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
    /// The roles that it has here.
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

/// Every mistake of an [`IdentityConfig`], at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identity configuration: {}", problems.join("; "))]
pub struct ConfigError {
    /// One line each: where, what, what to do.
    pub problems: Vec<String>,
}

/// A configuration without mistakes.
pub(crate) struct Parsed {
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) leeway_seconds: u64,
}

/// An [`IssuerConfig`] whose URLs are URLs.
pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    pub(crate) url: Url,
    pub(crate) jwks_uri: Option<Url>,
}

/// A [`MachineConfig`] whose key is a key.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) public_key: [u8; 32],
    pub(crate) roles: Vec<String>,
}

impl IdentityConfig {
    pub(crate) fn parse(self) -> Result<Parsed, ConfigError> {
        let mut problems = Vec::new();
        if self.leeway_seconds > MAX_LEEWAY_SECONDS {
            problems.push(format!(
                "leeway_seconds is {}, at most {MAX_LEEWAY_SECONDS} is accepted: set the clocks by NTP instead",
                self.leeway_seconds
            ));
        }
        let mut seen = HashSet::new();
        let mut issuers = Vec::new();
        for (index, issuer) in self.issuers.into_iter().enumerate() {
            let place = format!("issuers[{index}]");
            if !seen.insert(issuer.issuer.clone()) {
                problems.push(format!(
                    "{place}.issuer `{}` is listed twice: remove one",
                    issuer.issuer
                ));
            }
            issuers.extend(issuer.parse(&place, &mut problems));
        }
        let mut keys = HashSet::new();
        let mut machines = Vec::new();
        for (index, machine) in self.machines.into_iter().enumerate() {
            let place = format!("machines[{index}]");
            let Some(machine) = machine.parse(&place, &mut problems) else { continue };
            if !keys.insert(machine.public_key) {
                problems.push(format!(
                    "{place}.public_key is listed twice: give each machine its own key"
                ));
            }
            machines.push(machine);
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(Parsed { issuers, machines, leeway_seconds: self.leeway_seconds })
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

    fn parse(self, place: &str, problems: &mut Vec<String>) -> Option<Issuer> {
        if self.algorithms.is_empty() {
            problems.push(format!("{place}.algorithms is empty: name at least one, such as RS256"));
        }
        let claims = [
            ("groups_claim", Some(&self.groups_claim)),
            ("roles_claim", Some(&self.roles_claim)),
            ("scope_claim", Some(&self.scope_claim)),
            ("kind_claim", self.kind_claim.as_ref()),
        ];
        for (field, claim) in claims {
            if claim.is_some_and(|claim| claim.is_empty() || claim.len() > MAX_NAME_BYTES) {
                problems.push(format!("{place}.{field} must have 1 to {MAX_NAME_BYTES} bytes"));
            }
        }
        let url = secure_url(&self.issuer);
        if let Err(why) = &url {
            problems.push(format!("{place}.issuer `{}` {why}", self.issuer));
        }
        if url.as_ref().is_ok_and(|url| url.query().is_some()) {
            problems
                .push(format!("{place}.issuer `{}` has a query: an issuer has none", self.issuer));
        }
        let jwks_uri = self.jwks_uri.as_deref().map(secure_url).transpose();
        if let Err(why) = &jwks_uri {
            problems.push(format!("{place}.jwks_uri {why}"));
        }
        let (url, jwks_uri) = (url.ok()?, jwks_uri.ok()?);
        if url.scheme() == "https" && jwks_uri.as_ref().is_some_and(|keys| keys.scheme() != "https")
        {
            problems.push(format!("{place}.jwks_uri must be https, as the issuer is"));
        }
        Some(Issuer { config: self, url, jwks_uri })
    }
}

impl MachineConfig {
    fn parse(self, place: &str, problems: &mut Vec<String>) -> Option<Machine> {
        // Without a colon a machine's name can never equal an issuer, which is a URL.
        let named = !self.name.is_empty()
            && self.name.len() <= MAX_NAME_BYTES
            && self.name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !named {
            problems.push(format!(
                "{place}.name must have 1 to {MAX_NAME_BYTES} visible ASCII characters, without space or colon"
            ));
        }
        match vkey::parse(&self.public_key) {
            Ok(public_key) => {
                named.then_some(Machine { name: self.name, public_key, roles: self.roles })
            }
            Err(why) => {
                problems.push(format!("{place}.public_key {why}"));
                None
            }
        }
    }
}

/// An https URL, or http to this machine; nothing that would carry a secret or be lost on the way.
pub(crate) fn secure_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text)
        .map_err(|_| "is not a URL: write it in full, such as https://idp.example")?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have no user, password or fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("is http: use https (http is accepted on loopback only)"),
        _ => Err("must be an https URL"),
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
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

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

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
    fn every_mistake_is_told_at_once() {
        let mut bad = IssuerConfig::new("http://idp.example");
        bad.algorithms.clear();
        bad.groups_claim.clear();
        bad.jwks_uri = Some("ftp://idp.example/keys".to_owned());
        let mut mixed = IssuerConfig::new("https://idp.example/?q");
        mixed.jwks_uri = Some("http://127.0.0.1/keys".to_owned());
        let machine = |name: &str, key: &str| MachineConfig {
            name: name.to_owned(),
            public_key: key.to_owned(),
            roles: vec![],
        };
        let config = IdentityConfig {
            issuers: vec![bad, mixed.clone(), mixed],
            machines: vec![
                machine("a b", KEY),
                machine("q", "nonsense"),
                machine("r", KEY),
                machine("s", KEY),
            ],
            leeway_seconds: 301,
        };
        let problems = config.parse().err().unwrap().problems;
        let text = problems.join("\n");
        for part in [
            "leeway_seconds",
            "issuers[0].algorithms",
            "issuers[0].groups_claim",
            "issuers[0].issuer",
            "issuers[0].jwks_uri",
            "issuers[1].issuer",
            "issuers[1].jwks_uri",
            "listed twice",
            "machines[0].name",
            "machines[1].public_key",
            "machines[3].public_key is listed twice",
        ] {
            assert!(text.contains(part), "{part} not in\n{text}");
        }
    }

    #[test]
    fn http_is_for_loopback_only() {
        for good in
            ["https://idp.example", "http://127.0.0.1:9", "http://[::1]:9/x", "http://localhost:9"]
        {
            assert!(secure_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://idp.example",
            "http://128.0.0.1",
            "http://localhost.example",
            "file:///x",
            "idp",
            "https://u:p@h",
            "https://h/#f",
        ] {
            assert!(secure_url(bad).is_err(), "{bad}");
        }
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
