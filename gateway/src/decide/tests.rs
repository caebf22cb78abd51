use super::*;
use controls::{NamedText, Server, SnapshotSource};
use proptest::prelude::*;
use proto::v1::{MediaType, Verdict};

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

fn params(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| (format!("mcp-param-{name}"), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn header_parameters_are_arguments() {
    let mut asked = call("query", r#"{"n": 1e400}"#);
    asked.params = params(&[("region", "eu")]);
    assert_eq!(verdict(&asked), (Verdict::Block, vec!["no-eu".to_owned()]));
    asked.params = params(&[("sql", "DROP DATABASE x")]);
    assert_eq!(verdict(&asked), (Verdict::Block, vec!["no-drop".to_owned()]));
    asked.params = params(&[("who", "ann@example.com"), ("secret", "hunter2hunter2")]);
    let judged = judge(&snapshot(), &asked).unwrap();
    assert_eq!(judged.decision.verdict, Verdict::Allow);
    let input = String::from_utf8(judged.input.to_vec()).unwrap();
    assert!(input.contains("1e400") && input.contains("mcp-param-who"), "{input}");
    assert!(!input.contains("ann@example.com") && !input.contains("hunter2"), "{input}");
    assert!(judged.facts.iter().any(|fact| fact.label == "password"), "{:?}", judged.facts);
}

#[test]
fn arguments_that_hide_from_policies_are_refused() {
    for arguments in [r#"{"mcp-param-region":"us"}"#, "[1,2]", "\"s\"", "7"] {
        for params in [params(&[]), params(&[("region", "eu")])] {
            let asked = Question { params, ..call("query", arguments) };
            let refused = judge(&snapshot(), &asked);
            assert!(matches!(refused, Err(Unjudged::Input(_))), "{arguments} {refused:?}");
        }
    }
    let mut named = call("query", "{}");
    let token = format!("ghp_{}", "a1b2c3".repeat(6));
    named.params = params(&[(&token, "x")]);
    let refused = judge(&snapshot(), &named);
    assert!(matches!(refused, Err(Unjudged::Input(InputError::ParameterName))), "{refused:?}");
}

const TEXTS: [&str; 12] = [
    "ann@example.com",
    "4111 1111 1111 1111",
    "password: hunter2",
    "hunter2hunter2",
    "{\"api_key\":\"hunter2hunter2\"}",
    "DROP TABLE x",
    "[masked:email]",
    "plain",
    "",
    "\u{0}\"\\",
    "mcp-param-a",
    "-----BEGIN PRIVATE KEY-----\nAAAA",
];
const NAMES: [&str; 10] = [
    "secret",
    "api_key",
    "q",
    "ann@example.com",
    "bob@example.com",
    "[masked:email]",
    "mcp-param-q",
    "blob",
    "name",
    "4111111111111111",
];

fn value() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        prop::sample::select(TEXTS.to_vec()).prop_map(serde_json::Value::from),
        prop::sample::select(vec!["4111111111111111", "-0", "1.50", "1e400", "0", "null", "true"])
            .prop_map(|token| serde_json::json!({ "$token": token })),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), inner, 0..4)
                .prop_map(|map| serde_json::json!(map)),
        ]
    })
}

/// The value as text, in which a token stands as it is.
fn written(value: &serde_json::Value) -> String {
    let mut text = value.to_string();
    for token in ["4111111111111111", "-0", "1.50", "1e400", "0", "null", "true"] {
        text = text.replace(&format!("{{\"$token\":\"{token}\"}}"), token);
    }
    text
}

proptest! {
    /// Whatever is admitted, a verifier can make the input again from the recorded message, and finds
    /// nothing in either that should have been masked.
    #[test]
    fn what_is_admitted_verifies(
        method in prop::sample::select(vec!["tools/call", "resources/read", "tasks/get", "ann@example.com"]),
        id in prop::sample::select(vec!["1", "4111111111111111", "\"ann@example.com\""]),
        name in prop::sample::select(TEXTS.to_vec()),
        arguments in prop::option::of(value()),
        headers in prop::collection::btree_map(
            prop::sample::select(NAMES.to_vec()), prop::sample::select(TEXTS.to_vec()), 0..3),
    ) {
        let snapshot = snapshot();
        let name = serde_json::Value::from(name);
        let arguments =
            arguments.map(|value| format!(",\"arguments\":{}", written(&value))).unwrap_or_default();
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"name":{name},"uri":{name}{arguments}}}}}"#
        );
        let mut asked = question(&message);
        let headers: Vec<_> = headers.into_iter().collect();
        asked.params = params(&headers);
        let Ok(judged) = judge(&snapshot, &asked) else { return Ok(()) };
        let recorded = judged.masked.bytes;
        prop_assert_eq!(snapshot.residue(&recorded, MediaType::Json), vec![]);
        let seen: serde_json::Value = serde_json::from_slice(&judged.input).unwrap();
        let again: Vec<(String, String)> = seen["arguments"].as_object().unwrap().iter()
            .filter(|(name, _)| controls::is_parameter(name))
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        let said = controls::with_parameters(&recorded, &again).unwrap();
        prop_assert_eq!(snapshot.residue(&said, MediaType::Json), vec![]);
        let time = seen["time_ms"].as_i64().unwrap();
        let document = Document::parse(&said).unwrap();
        let method = seen["method"].as_str().unwrap().to_owned();
        let remade = DecisionInput::new(&CallFacts {
            principal: principal(&asked.principal),
            server: asked.server.clone(),
            name: controls::name_of(&document, &method),
            method,
            arguments: Arguments::OfMessage(&said),
            facts: judged.facts,
            auth: asked.auth_method,
            at_unix_ms: time,
        }).unwrap();
        prop_assert_eq!(remade.bytes(), &judged.input);
    }
}
