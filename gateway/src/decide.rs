//! The one place that asks the policy: mask, facts, decision input, verdict, in this order.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use controls::{
    Arguments, CallFacts, Decision, DecisionInput, Document, InputError, JsonError, MaskError,
    Masked, Node, PrincipalInput, PrincipalKind, Snapshot,
};
use identity::Principal;
use proto::v1::{AuthMethod, Fact, FactKind};

/// What is put before the policy.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) principal: Principal,
    pub(crate) auth_method: AuthMethod,
    /// Name of the route.
    pub(crate) server: String,
    /// `GET` or `DELETE`, or for an answer the method that it answers; `None`: the message's own.
    pub(crate) method: Option<String>,
    /// The message exactly as it came; empty for `GET` and `DELETE`.
    pub(crate) message: Bytes,
    /// Arguments that stand in headers only.
    pub(crate) params: Vec<(String, String)>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The message for the record; empty bytes for `GET` and `DELETE`.
    pub(crate) masked: Masked,
    /// What was seen in the raw bytes.
    pub(crate) facts: Vec<Fact>,
    /// Exactly what the policies saw.
    pub(crate) input: Bytes,
    /// The verdict.
    pub(crate) decision: Decision,
}

/// Why a call cannot be judged: it is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unjudged {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Judges one message. Pure but for the clock, whose reading stands in the input.
///
/// # Errors
/// [`Unjudged`] when the message cannot be masked or expressed without ambiguity.
pub(crate) fn judge(snapshot: &Snapshot, question: &Question) -> Result<Judged, Unjudged> {
    let (masked, mut facts) = masked(snapshot, &question.message)?;
    let params = masked_params(snapshot, &question.params, &mut facts);
    facts.sort_by(|a, b| (a.kind, &a.label).cmp(&(b.kind, &b.label)));
    let input = input(question, &masked.bytes, &params, facts.clone())?;
    let decision = snapshot.authorize(&input);
    Ok(Judged { masked, facts, input: input.bytes().clone(), decision })
}

fn masked(snapshot: &Snapshot, message: &Bytes) -> Result<(Masked, Vec<Fact>), Unjudged> {
    if message.is_empty() {
        let nothing = Masked { bytes: Bytes::new(), counts: Vec::new(), changed: false };
        return Ok((nothing, Vec::new()));
    }
    let document = Document::parse(message)?;
    let masked = snapshot.mask_message(message)?;
    let facts = snapshot.facts(&document, &masked);
    Ok((masked, facts))
}

/// Header parameters as policies and record see them; what masking found in them joins the facts.
fn masked_params(
    snapshot: &Snapshot,
    params: &[(String, String)],
    facts: &mut Vec<Fact>,
) -> Vec<(String, String)> {
    let mut masked_params = Vec::with_capacity(params.len());
    for (name, value) in params {
        let masked = snapshot.mask_text(value);
        for count in masked.counts {
            let kind = i32::from(FactKind::Detector);
            match facts.iter_mut().find(|fact| fact.kind == kind && fact.label == count.rule) {
                Some(fact) => fact.count = fact.count.saturating_add(count.count),
                None => facts.push(Fact { kind, label: count.rule, count: count.count }),
            }
        }
        masked_params.push((format!("mcp-param-{name}"), masked.text));
    }
    masked_params
}

fn input(
    question: &Question,
    masked: &Bytes,
    params: &[(String, String)],
    facts: Vec<Fact>,
) -> Result<DecisionInput, Unjudged> {
    let document = if masked.is_empty() { None } else { Some(Document::parse(masked)?) };
    let root = document.as_ref().map(Document::root);
    let text = |node: Option<Node<'_>>| node.and_then(Node::as_str).map(Cow::into_owned);
    let method = question.method.clone().or_else(|| text(root?.get("method"))).unwrap_or_default();
    let named = root.and_then(|root| root.get("params")).zip(name_member(&method));
    let name = named.and_then(|(node, member)| text(node.get(member)));
    let with_params = (!params.is_empty()).then(|| arguments_with(root, params));
    let arguments = match (&with_params, &document) {
        (Some(message), _) => Arguments::OfMessage(message),
        (None, Some(_)) => Arguments::OfMessage(masked),
        (None, None) => Arguments::None,
    };
    Ok(DecisionInput::new(&CallFacts {
        principal: principal(&question.principal),
        server: question.server.clone(),
        method,
        name,
        arguments,
        facts,
        auth: question.auth_method,
        at_unix_ms: now_ms(),
    })?)
}

/// A message whose `params.arguments` are those of `root`, as written, and the header parameters. An argument
/// of the same name becomes a duplicate, which the decision input refuses.
fn arguments_with(root: Option<Node<'_>>, params: &[(String, String)]) -> Vec<u8> {
    let arguments = root.and_then(|root| root.get("params")).and_then(|node| node.get("arguments"));
    let mut message = br#"{"params":{"arguments":{"#.to_vec();
    let mut push = |name: &str, value: &[u8]| {
        if message.last() != Some(&b'{') {
            message.push(b',');
        }
        controls::json::write_string(&mut message, name);
        message.push(b':');
        message.extend_from_slice(value);
    };
    for member in arguments.into_iter().flat_map(Node::members) {
        push(&member.key, member.value.raw());
    }
    for (name, value) in params {
        let mut token = Vec::new();
        controls::json::write_string(&mut token, value);
        push(name, &token);
    }
    message.extend_from_slice(b"}}}");
    message
}

/// The member of `params` that names what a method is applied to.
fn name_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        _ => None,
    }
}

fn principal(principal: &Principal) -> PrincipalInput {
    PrincipalInput {
        issuer: principal.issuer.clone(),
        subject: principal.subject.clone(),
        kind: match principal.kind {
            identity::PrincipalKind::Human => PrincipalKind::Human,
            identity::PrincipalKind::Machine => PrincipalKind::Machine,
            identity::PrincipalKind::Unauthenticated => PrincipalKind::Unauthenticated,
        },
        groups: principal.groups.iter().cloned().collect(),
        roles: principal.roles.iter().cloned().collect(),
    }
}

/// Unix milliseconds; 0 when the clock stands before 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::{NamedText, Server, SnapshotSource};
    use proto::v1::Verdict;

    const POLICIES: &str = r#"
        permit(principal, action in Action::"session", resource);
        @id("queries") permit(principal, action == Action::"tools/call", resource == Tool::"db/query");
        @id("no-drop") @reason("not in office hours")
        forbid(principal, action, resource) when { context.facts.sql.contains("drop_database") };
        @id("no-eu") forbid(principal, action == Action::"tools/call", resource)
        when { context.arguments has "mcp-param-region" && context.arguments["mcp-param-region"] == "eu" };
    "#;

    fn snapshot() -> Snapshot {
        Snapshot::build(SnapshotSource {
            policies: vec![NamedText { name: "p.cedar".to_owned(), text: POLICIES.to_owned() }],
            entities: vec![Server { name: "db".to_owned(), open: true }],
            ..SnapshotSource::default()
        })
        .unwrap()
    }

    fn question(message: &str) -> Question {
        Question {
            principal: Principal::unauthenticated(),
            auth_method: AuthMethod::None,
            server: "db".to_owned(),
            method: None,
            message: Bytes::copy_from_slice(message.as_bytes()),
            params: vec![],
        }
    }

    fn call(name: &str, arguments: &str) -> Question {
        question(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        ))
    }

    fn verdict(question: &Question) -> (Verdict, Vec<String>) {
        let decision = judge(&snapshot(), question).unwrap().decision;
        (decision.verdict, decision.policy_ids)
    }

    #[test]
    fn verdicts_follow_the_policies() {
        assert_eq!(verdict(&call("query", "{}")), (Verdict::Allow, vec!["queries".to_owned()]));
        assert_eq!(verdict(&call("other", "{}")).0, Verdict::Deny);
        let drop = call("query", r#"{"sql":"DROP DATABASE x"}"#);
        assert_eq!(verdict(&drop), (Verdict::Block, vec!["no-drop".to_owned()]));
        let mut get = question("");
        get.method = Some("GET".to_owned());
        assert_eq!(verdict(&get).0, Verdict::Allow);
        let mut answer = question(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        assert_eq!(verdict(&answer).0, Verdict::Deny);
        answer.method = Some("roots/list".to_owned());
        assert_eq!(verdict(&answer).0, Verdict::Allow);
    }

    #[test]
    fn the_input_holds_masked_values_and_decides_again() {
        let snapshot = snapshot();
        let judged = judge(&snapshot, &call("query", r#"{"q":"mail ann@example.com"}"#)).unwrap();
        let input = String::from_utf8(judged.input.to_vec()).unwrap();
        assert!(!input.contains("ann@example.com"), "{input}");
        assert!(judged.facts.iter().any(|fact| fact.label == "email"));
        let again = DecisionInput::parse(&judged.input).unwrap();
        assert_eq!(snapshot.authorize(&again), judged.decision);
    }

    #[test]
    fn header_parameters_are_arguments() {
        let mut asked = call("query", r#"{"n": 1e400}"#);
        asked.params = vec![("region".to_owned(), "eu".to_owned())];
        assert_eq!(verdict(&asked), (Verdict::Block, vec!["no-eu".to_owned()]));
        asked.params = vec![("who".to_owned(), "ann@example.com".to_owned())];
        let judged = judge(&snapshot(), &asked).unwrap();
        assert_eq!(judged.decision.verdict, Verdict::Allow);
        let input = String::from_utf8(judged.input.to_vec()).unwrap();
        assert!(input.contains("1e400") && input.contains("mcp-param-who"), "{input}");
        assert!(!input.contains("ann@example.com"), "{input}");
        let mut twice = call("query", r#"{"mcp-param-region":"us"}"#);
        twice.params = vec![("region".to_owned(), "eu".to_owned())];
        assert!(matches!(judge(&snapshot(), &twice), Err(Unjudged::Input(_))));
    }
}
