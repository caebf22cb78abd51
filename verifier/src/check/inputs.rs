//! What the policies saw, made again from everything that is recorded elsewhere.

use std::borrow::Cow;

use controls::{
    Arguments, CallFacts, DecisionInput, Document, InputError, PrincipalInput, PrincipalKind,
};
use proto::v1::{AuthMethod, Call, Slot};
use serde::Deserialize;

use super::case::Case;
use super::decisions::{Tally, decided, has_commitment};
use crate::material::Status;
use crate::report::{Checked, fail_at};

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
        let in_leaf = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let said = message.map(|message| self.said(message)).transpose()?;
        let document = said.as_deref().map(Document::parse).transpose()?;
        let named = document.as_ref().and_then(|document| document.root().get("method")?.as_str());
        let method = in_leaf(&call.method)
            .or_else(|| named.map(Cow::into_owned))
            .unwrap_or_else(|| self.method.clone());
        let name = match &document {
            Some(document) => controls::name_of(document, &method),
            None => in_leaf(&call.name).or_else(|| self.name.clone()),
        };
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
            server: in_leaf(&call.server).unwrap_or_else(|| self.server.clone()),
            method,
            name,
            arguments: said
                .as_deref()
                .map_or_else(|| Arguments::Value(self.arguments.clone()), Arguments::OfMessage),
            facts: call.facts.clone(),
            auth: AuthMethod::try_from(call.auth_method).unwrap_or(AuthMethod::None),
            at_unix_ms: self.time_ms,
        };
        DecisionInput::new(&facts)
    }
}

impl Seen {
    /// What was decided: the message with the arguments that came in `Mcp-Param-…` headers, which no message
    /// holds.
    fn said<'m>(&self, message: &'m [u8]) -> Result<Cow<'m, [u8]>, InputError> {
        let arguments = self.arguments.as_object().ok_or(InputError::ArgumentsNotAnObject)?;
        let parameters = arguments.iter().filter(|(name, _)| controls::is_parameter(name));
        // A header holds text; another value differs from it when it is compared.
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let parameters: Vec<_> =
            parameters.map(|(name, value)| (name.clone(), text(value))).collect();
        controls::with_parameters(message, &parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = r#"{"arguments":{"a":1,"mcp-param-x":"v"},"auth":"none","facts":{"detectors":[],"sql":[]},"method":"tools/call","name":"t","principal":{"groups":[],"issuer":"","kind":"unauthenticated","roles":[],"subject":""},"server":"db","time_ms":1,"version":1}"#;

    fn again(input: &str, message: &str) -> Result<bool, InputError> {
        let seen: Seen = serde_json::from_str(input).unwrap();
        let call = Call { server: "db".into(), method: "tools/call".into(), ..Call::default() };
        let again = seen.again(&call, Some(message.as_bytes()))?;
        Ok(again.bytes() == input.as_bytes())
    }

    fn message(params: &str) -> String {
        format!(r#"{{"id":1,"method":"tools/call","params":{{{params}}}}}"#)
    }

    #[test]
    fn an_input_is_the_message_and_its_header_parameters() {
        let same = message(r#""name":"t","arguments":{"a":1}"#);
        assert_eq!(again(INPUT, &same), Ok(true));
        for other in [
            r#""name":"t","arguments":{"a":2}"#,
            r#""name":"u","arguments":{"a":1}"#,
            r#""arguments":{"a":1}"#,
        ] {
            assert_eq!(again(INPUT, &message(other)), Ok(false), "{other}");
        }
        let number = INPUT.replace(r#""v""#, "7");
        assert_eq!(again(&number, &same), Ok(false));
        let reserved = message(r#""name":"t","arguments":{"a":1,"mcp-param-x":"v"}"#);
        assert_eq!(again(INPUT, &reserved), Err(InputError::ReservedArgument));
    }
}
