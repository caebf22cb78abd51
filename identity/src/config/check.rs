//! From the configuration to its parsed form, or to all its mistakes at once.

use std::collections::HashSet;

use url::Url;

use super::{IdentityConfig, IssuerConfig, MachineConfig};
use crate::secure_url::secure_url;
use crate::vkey;

const MAX_LEEWAY_SECONDS: u64 = 300;
const MAX_NAME_BYTES: usize = 255;

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
    /// One line for each role of a machine that is none of `known`: where, what, what to do. Doors whose roles have
    /// fixed names ask this. Where policies decide, any name may be a role, so [`Verifier::new`](crate::Verifier::new)
    /// does not.
    pub fn unknown_roles(&self, known: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, machine) in self.machines.iter().enumerate() {
            for role in machine.roles.iter().filter(|role| !known.contains(&role.as_str())) {
                problems.push(format!(
                    "machines[{index}].roles: there is no role `{role}`: use one of {}",
                    known.join(", ")
                ));
            }
        }
        problems
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

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
    fn each_role_that_does_not_exist_is_told_with_its_place() {
        let machine = |roles: &[&str]| MachineConfig {
            name: "m".to_owned(),
            public_key: KEY.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        };
        let machines = vec![machine(&["siem", "admin"]), machine(&["Siem", "admin", "x"])];
        let config = IdentityConfig { machines, ..IdentityConfig::default() };
        assert_eq!(
            config.unknown_roles(&["admin", "siem"]),
            [
                "machines[1].roles: there is no role `Siem`: use one of admin, siem",
                "machines[1].roles: there is no role `x`: use one of admin, siem",
            ]
        );
    }
}
