//! What the policies saw, made again from everything that is recorded elsewhere.

use std::collections::BTreeMap;

use controls::{Arguments, CallFacts, DecisionInput, InputError, PrincipalInput, PrincipalKind};
use proto::v1::{AuthMethod, Call, Slot};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::case::Case;
use super::decisions::{Tally, decided, has_commitment};
use crate::material::Status;
use crate::report::{Checked, fail_at};

/// How arguments from `Mcp-Param-…` headers are named in a decision input.
const HEADER_PARAMETER: &str = "mcp-param-";

/// What the policies saw is what the recorded message and principal say.
pub(super) fn check(case: &Case<'_>) -> Checked {
    let disclosures = case.all_disclosures()?;
    let mut tally = Tally::default();
    for (index, decoded, call) in decided(case)? {
        let Some(bytes) = tally.take(&disclosures, index, Slot::DecisionInput) else { continue };
        let at = || format!("leaf {index}");
        let seen: Seen = serde_json::from_slice(bytes)
            .map_err(|error| fail_at("inputs.malformed", at(), error))?;
        let differs = |what: &str| {
            let detail = format!("the policies saw another {what} than was recorded");
            fail_at("inputs.differ", at(), detail)
        };
        if let Some(principal) = disclosures.content(index, Slot::Principal) {
            let recorded: SeenPrincipal = serde_json::from_slice(principal)
                .map_err(|error| fail_at("inputs.malformed", at(), error))?;
            if recorded.sorted() != seen.principal.clone().sorted() {
                return Err(differs("principal"));
            }
        }
        let message = has_commitment(decoded, Slot::Message)
            .then(|| disclosures.row(index, Slot::Message))
            .flatten();
        let message = match message {
            // The caller's text cannot be compared; what stands in the leaf still is.
            Some(row) if row.status != Status::Disclosed => {
                tally.partly += 1;
                None
            }
            Some(row) => row.content().map(|content| &content[..]),
            None => None,
        };
        let again =
            seen.again(call, message).map_err(|error| fail_at("inputs.malformed", at(), error))?;
        if again.bytes() != bytes {
            return Err(differs("call"));
        }
    }
    let partly = tally.partly;
    let detail = tally.passed("inputs made again from message, principal and leaf")?;
    Ok(if partly > 0 { format!("{detail}; {partly} without their message") } else { detail })
}

/// A decision input as JSON, as far as it is needed to make it again.
#[derive(Deserialize)]
struct Seen {
    arguments: serde_json::Value,
    method: String,
    #[serde(default)]
    name: Option<String>,
    principal: SeenPrincipal,
    server: String,
    time_ms: i64,
}

#[derive(Deserialize, Clone, PartialEq, Eq)]
struct SeenPrincipal {
    issuer: String,
    subject: String,
    kind: String,
    groups: Vec<String>,
    roles: Vec<String>,
}

impl SeenPrincipal {
    fn sorted(mut self) -> Self {
        for names in [&mut self.groups, &mut self.roles] {
            names.sort_unstable();
            names.dedup();
        }
        self
    }
}

impl Seen {
    /// The input, made again with everything that is recorded elsewhere taken from there.
    fn again(&self, call: &Call, message: Option<&[u8]>) -> Result<DecisionInput, InputError> {
        let or_seen = |recorded: &str, seen: &str| {
            if recorded.is_empty() { seen.to_owned() } else { recorded.to_owned() }
        };
        let named = message.and_then(|message| recorded_name(message, &self.method));
        let merged = message.and_then(|message| self.with_header_parameters(message));
        let SeenPrincipal { issuer, subject, kind, groups, roles } = self.principal.clone();
        let facts = CallFacts {
            principal: PrincipalInput {
                issuer,
                subject,
                kind: match kind.as_str() {
                    "human" => PrincipalKind::Human,
                    "machine" => PrincipalKind::Machine,
                    _ => PrincipalKind::Unauthenticated,
                },
                groups,
                roles,
            },
            server: or_seen(&call.server, &self.server),
            method: or_seen(&call.method, &self.method),
            name: named
                .or_else(|| (!call.name.is_empty()).then(|| call.name.clone()))
                .or_else(|| self.name.clone()),
            arguments: merged
                .as_deref()
                .or(message)
                .map_or_else(|| Arguments::Value(self.arguments.clone()), Arguments::OfMessage),
            facts: call.facts.clone(),
            auth: AuthMethod::try_from(call.auth_method).unwrap_or(AuthMethod::None),
            at_unix_ms: self.time_ms,
        };
        DecisionInput::new(&facts)
    }
}

impl Seen {
    /// The message with the arguments that came in `Mcp-Param-…` headers, which no message holds; `None` when
    /// there were none.
    fn with_header_parameters(&self, message: &[u8]) -> Option<Vec<u8>> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow, default)]
            params: Option<Params<'a>>,
        }
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow, default)]
            arguments: Option<BTreeMap<String, &'a RawValue>>,
        }
        let parameters = self.arguments.as_object()?.iter();
        let parameters: Vec<_> =
            parameters.filter(|(name, _)| name.starts_with(HEADER_PARAMETER)).collect();
        if parameters.is_empty() {
            return None;
        }
        let message: Message<'_> = serde_json::from_slice(message).ok()?;
        let arguments = message.params.and_then(|params| params.arguments).unwrap_or_default();
        let mut members = Vec::new();
        for (name, value) in arguments {
            members.push(format!("{}:{}", serde_json::to_string(&name).ok()?, value.get()));
        }
        for (name, value) in parameters {
            members.push(format!("{}:{value}", serde_json::to_string(name).ok()?));
        }
        Some(format!("{{\"params\":{{\"arguments\":{{{}}}}}}}", members.join(",")).into_bytes())
    }
}

/// The name that the message gives to what is called, by the rule of [`CallFacts::name`].
fn recorded_name(message: &[u8], method: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        params: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let member = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        _ => return None,
    };
    let params = serde_json::from_slice::<Message>(message).ok()?.params?;
    params.get(member)?.as_str().map(str::to_owned)
}
