//! The OIDC issuer of the tests: npm `oidc-provider`, as `tests/peers/issuer.mjs` sets it up.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::peers::Node;
use crate::process::Process;

/// Somebody who can get tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Person {
    /// Subject of the tokens.
    pub id: &'static str,
    /// Groups that the issuer says it is in.
    pub groups: &'static [&'static str],
    /// Roles that the issuer says it has.
    pub roles: &'static [&'static str],
    /// Scope that it asks for and gets.
    pub scope: &'static str,
    /// Seconds by which its tokens are older than they are; negative for tokens from the future.
    pub age: i64,
    /// Algorithm of its tokens; ES256 when empty.
    pub algorithm: &'static str,
}

/// The people of most tests.
pub const PEOPLE: &[Person] = &[
    Person { id: "erin", groups: &["engineers"], ..NOBODY },
    Person { id: "carl", groups: &["contractors"], ..NOBODY },
    Person { id: "ada", roles: &["auditor"], ..NOBODY },
    Person { id: "cora", roles: &["compliance"], ..NOBODY },
    Person { id: "sam", roles: &["siem"], ..NOBODY },
    Person { id: "pull", scope: "events:read", ..NOBODY },
    Person { id: "nora", ..NOBODY },
    Person { id: "late", age: 7_200, groups: &["engineers"], ..NOBODY },
    Person { id: "early", age: -7_200, groups: &["engineers"], ..NOBODY },
    Person { id: "rsa", algorithm: "RS256", groups: &["engineers"], ..NOBODY },
];

const NOBODY: Person = Person { id: "", groups: &[], roles: &[], scope: "", age: 0, algorithm: "" };

/// A running issuer, a forger that names itself like it, and another that nobody configured.
pub struct Issuer {
    _process: Process,
    http: reqwest::Client,
    said: Value,
}

impl Issuer {
    /// Starts it with [`PEOPLE`].
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(node: &Node) -> Result<Self> {
        let people: Vec<Value> = PEOPLE.iter().map(Person::client).collect();
        let mut command = node.script("issuer.mjs");
        command.env("ISSUER_PEOPLE", Value::from(people).to_string());
        let mut process = Process::start("issuer", command)?;
        let said = process.says(|text| serde_json::from_str(text.lines().next()?).ok()).await?;
        Ok(Self { _process: process, http: reqwest::Client::new(), said })
    }

    /// The issuer as it stands in `iss`.
    pub fn url(&self) -> &str {
        self.said["issuer"].as_str().unwrap_or_default()
    }

    /// A token of the issuer for `person` that names the audience `resource`.
    ///
    /// # Errors
    /// When the issuer gives none.
    pub async fn token(&self, person: &str, resource: &str) -> Result<String> {
        self.ask(&self.said["token"], person, resource).await
    }

    /// A token that says it is of the issuer, signed by a key that the issuer never had.
    ///
    /// # Errors
    /// When the forger gives none.
    pub async fn forged(&self, person: &str, resource: &str) -> Result<String> {
        self.ask(&self.said["forger"], person, resource).await
    }

    /// A good token of an issuer that nobody configured.
    ///
    /// # Errors
    /// When that gives none.
    pub async fn foreign(&self, person: &str, resource: &str) -> Result<String> {
        self.ask(&self.said["other"]["token"], person, resource).await
    }

    async fn ask(&self, endpoint: &Value, person: &str, resource: &str) -> Result<String> {
        let endpoint = endpoint.as_str().context("the issuer told no token endpoint")?;
        let secret = format!("{person} of the tests, not a secret at all");
        let scope = PEOPLE.iter().find(|known| known.id == person).map_or("", |known| known.scope);
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", person),
            ("client_secret", &secret),
            ("resource", resource),
        ];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        let answer: Value = self.http.post(endpoint).form(&form).send().await?.json().await?;
        let token = answer["access_token"].as_str();
        token.map(str::to_owned).with_context(|| format!("no token for {person}: {answer}"))
    }
}

impl Person {
    fn client(&self) -> Value {
        let mut client =
            json!({"id": self.id, "groups": self.groups, "roles": self.roles, "age": self.age});
        if !self.algorithm.is_empty() {
            client["algorithm"] = self.algorithm.into();
        }
        if !self.scope.is_empty() {
            client["scope"] = self.scope.into();
        }
        client
    }
}
