use std::sync::LazyLock;

use proptest::prelude::*;
use proto::v1::{AuthMethod, Fact, FactKind, Verdict};

use super::MAX_POLICY_IDS_BYTES;
use crate::decision::*;
use crate::snapshot::*;

fn snapshot(policies: &str) -> Snapshot {
    Snapshot::build(source(policies)).unwrap_or_else(|error| panic!("{error}"))
}

fn source(policies: &str) -> SnapshotSource {
    SnapshotSource {
        policies: vec![NamedText { name: "p.cedar".into(), text: policies.into() }],
        entities: vec![
            Server { name: "db".into(), open: false },
            Server { name: "docs".into(), open: true },
        ],
        ..SnapshotSource::default()
    }
}

static PERMIT: LazyLock<Snapshot> = LazyLock::new(|| {
    snapshot("permit(principal, action, resource) when { context.method != \"x\" };")
});

fn call(arguments: &str) -> CallFacts<'static> {
    CallFacts {
        principal: PrincipalInput {
            issuer: "https://id.example.com".into(),
            subject: "alice".into(),
            kind: PrincipalKind::Human,
            groups: vec!["engineers".into(), "admins".into()],
            roles: vec!["auditor".into()],
        },
        server: "db".into(),
        method: "tools/call".into(),
        name: Some("query".into()),
        arguments: Arguments::Value(serde_json::from_str(arguments).unwrap()),
        facts: vec![
            Fact { kind: FactKind::Sql.into(), label: "drop_database".into(), count: 1 },
            Fact { kind: FactKind::Detector.into(), label: "email".into(), count: 2 },
        ],
        auth: AuthMethod::Bearer,
        at_unix_ms: 1_780_000_000_000,
    }
}

fn decide(policies: &str, call: &CallFacts<'_>) -> Decision {
    snapshot(policies).authorize(&DecisionInput::new(call).unwrap())
}

fn allows(condition: &str, call: &CallFacts<'_>) -> bool {
    let decision =
        decide(&format!("permit(principal, action, resource) when {{ {condition} }};"), call);
    assert!(!decision.evaluation_error, "{condition}");
    decision.verdict == Verdict::Allow
}

#[test]
fn verdicts() {
    let permit = "@id(\"base\") permit(principal, action, resource);";
    let forbid = "@id(\"no-drop\") @reason(\"Ask the DBA.\") forbid(principal, action, resource) \
        when { context.facts.sql.contains(\"drop_database\") };";
    let hold = "@id(\"dba\") @approval(\"dbas\") forbid(principal, action, resource) \
        when { context.facts.sql.contains(\"drop_database\") };";
    let hold_too = "@id(\"boss\") @approval(\"bosses\") forbid(principal, action, resource) \
        when { context.method == \"tools/call\" };";
    let call = call("{}");
    let of = |policies: &[&str]| {
        let decision = decide(&policies.concat(), &call);
        assert!(!decision.evaluation_error);
        (decision.verdict, decision.policy_ids.join(","), decision.approval_groups.join(","))
    };
    let is = |verdict, ids: &str, groups: &str| (verdict, ids.to_owned(), groups.to_owned());
    assert_eq!(of(&[]), is(Verdict::Deny, "", ""));
    assert_eq!(of(&[permit]), is(Verdict::Allow, "base", ""));
    assert_eq!(of(&[permit, forbid]), is(Verdict::Block, "no-drop", ""));
    assert_eq!(of(&[permit, hold]), is(Verdict::Hold, "dba", "dbas"));
    assert_eq!(of(&[permit, hold, hold_too]), is(Verdict::Hold, "boss,dba", "bosses,dbas"));
    assert_eq!(of(&[permit, hold, forbid]), is(Verdict::Block, "dba,no-drop", ""));
    assert_eq!(of(&[hold]), is(Verdict::Block, "dba", ""));
    assert_eq!(decide(&[permit, forbid].concat(), &call).reason.unwrap(), "Ask the DBA.");
}

#[test]
fn an_evaluation_error_denies() {
    let erring = "forbid(principal, action, resource) when { context.arguments.amount > 100 };";
    let permit = "permit(principal, action, resource);";
    let policies = format!("{permit}{erring}");
    let of = |arguments: &str| {
        let decision = decide(&policies, &call(arguments));
        (decision.verdict, decision.evaluation_error, decision.policy_ids.join(","))
    };
    assert_eq!(of(r#"{"amount":100}"#), (Verdict::Allow, false, "p:1".into()));
    assert_eq!(of(r#"{"amount":101}"#), (Verdict::Block, false, "p:2".into()));
    for arguments in ["{}", r#"{"amount":"101"}"#, r#"{"amount":null}"#, r#"{"amount":100.5}"#] {
        assert_eq!(of(arguments), (Verdict::Deny, true, "p:2".into()), "{arguments}");
    }
    // A permit that errs denies although another one allows.
    let both =
        format!("{permit} permit(principal, action, resource) when {{ context.arguments.x }};");
    assert_eq!(decide(&both, &call("{}")).verdict, Verdict::Deny);
    // An error that shows only when the approvable forbids are set aside.
    let held = format!("{permit} @approval(\"g\") forbid(principal, action, resource);");
    assert_eq!(decide(&held, &call("{}")).verdict, Verdict::Hold);
}

#[test]
fn entities_are_as_documented() {
    let call = call("{}");
    for condition in [
        "principal == User::\"https://id.example.com#alice\"",
        "principal in Group::\"engineers\" && principal in Role::\"auditor\"",
        "!(principal in Group::\"auditor\")",
        "principal.kind == \"human\" && principal.subject == \"alice\"",
        "resource == Tool::\"db/query\" && resource in Server::\"db\"",
        "action == Action::\"tools/call\" && action in Action::\"use\"",
        "!(action in Action::\"list\")",
        "context.auth == \"bearer\" && context.method == \"tools/call\"",
        "context.facts.detectors.contains(\"email\") && context.facts.sql == [\"drop_database\"]",
        "context.time_ms == 1780000000000",
        "resource is Tool && resource.name == \"query\"",
    ] {
        assert!(allows(condition, &call), "{condition}");
    }
}

#[test]
fn methods_choose_action_and_resource() {
    for (method, name, condition) in [
        ("prompts/get", Some("p"), "resource == Prompt::\"docs/p\" && action in Action::\"use\""),
        (
            "resources/read",
            Some("file:///a"),
            "resource == Resource::\"docs/file:///a\" && resource.uri like \"file:*\"",
        ),
        (
            "tools/list",
            None,
            "resource == Server::\"docs\" && action in Action::\"list\" && resource.open",
        ),
        ("initialize", None, "action in Action::\"session\""),
        ("notifications/cancelled", None, "action in Action::\"session\""),
        ("GET", None, "action in Action::\"session\""),
        ("tasks/get", None, "action in Action::\"use\""),
        ("tasks/list", None, "action in Action::\"use\" && action in Action::\"list\""),
        ("elicitation/create", None, "action in Action::\"session\""),
        ("evil/method", None, "action == Action::\"other\" && context.method == \"evil/method\""),
        ("use", None, "action == Action::\"other\" && !(action in Action::\"use\")"),
        ("other", None, "action == Action::\"other\""),
        ("tools/call", None, "resource == Tool::\"docs/\""),
    ] {
        let call = CallFacts {
            server: "docs".into(),
            method: method.into(),
            name: name.map(str::to_owned),
            ..call("{}")
        };
        assert!(allows(condition, &call), "{method}: {condition}");
    }
}

#[test]
fn every_known_method_has_an_action() {
    let schema = DEFAULT_SCHEMA;
    for method in proto::names::KNOWN_METHODS {
        assert!(schema.contains(&format!("\"{method}\"")), "{method}");
    }
}

#[test]
fn nobody_is_called_like_the_unauthenticated() {
    let open =
        CallFacts { principal: PrincipalInput::default(), auth: AuthMethod::None, ..call("{}") };
    assert!(allows(
        "principal == User::\"unauthenticated\" && principal.kind == \"unauthenticated\"",
        &open
    ));
    let mut named = call("{}");
    named.principal.issuer = String::new();
    named.principal.subject = "unauthenticated".into();
    assert!(allows("principal == User::\"#unauthenticated\"", &named));
    named.principal.issuer = "a#b".into();
    assert_eq!(DecisionInput::new(&named).unwrap_err(), InputError::IssuerWithHash);
    let slash = CallFacts { server: "a/b".into(), ..call("{}") };
    assert_eq!(DecisionInput::new(&slash).unwrap_err(), InputError::ServerWithSlash);
}

#[test]
fn arguments_stay_data() {
    for (arguments, condition) in [
        (
            r#"{"a":{"__entity":{"type":"User","id":"root"}}}"#,
            "context.arguments.a.__entity.id == \"root\"",
        ),
        (
            r#"{"a":{"__extn":{"fn":"ip","arg":"::1"}}}"#,
            "context.arguments.a.__extn.arg == \"::1\"",
        ),
        (r#"{"__expr":"principal"}"#, "context.arguments.__expr == \"principal\""),
        (r#"{"a":1.50}"#, "context.arguments.a == \"1.5\""),
        (r#"{"a":null}"#, "!(context.arguments has a)"),
        (r#"{"a":[1,null,"x"]}"#, "context.arguments.a == [\"x\", 1]"),
        (r#"{"a":9223372036854775807}"#, "context.arguments.a == 9223372036854775807"),
        (r#"{"a":9223372036854775808}"#, "context.arguments.a == \"9223372036854775808\""),
        ("{\"a\":\"\\u0000\"}", "context.arguments.a == \"\\0\""),
        (r#"{"a b":true}"#, "context.arguments[\"a b\"]"),
        (r#"{"":{"x":[]}}"#, "context.arguments[\"\"].x.isEmpty()"),
    ] {
        assert!(allows(condition, &call(arguments)), "{arguments}: {condition}");
    }
}

#[test]
fn arguments_come_from_the_masked_message_as_written() {
    let message =
        br#"{"method":"tools/call","params":{"name":"q","arguments":{"a":1e400,"b":-0,"c":1.50}}}"#;
    let input =
        DecisionInput::new(&CallFacts { arguments: Arguments::OfMessage(message), ..call("{}") })
            .unwrap();
    let text = std::str::from_utf8(input.bytes()).unwrap();
    assert!(text.starts_with(r#"{"arguments":{"a":"1e400","b":0,"c":"1.50"},"auth""#), "{text}");
    for message in
        [&br#"{"params":{}}"#[..], br#"{"params":{"arguments":null}}"#, br#"{}"#, br#"[]"#]
    {
        let call = CallFacts { arguments: Arguments::OfMessage(message), ..call("{}") };
        assert!(DecisionInput::new(&call).is_ok());
    }
    let call = CallFacts {
        arguments: Arguments::OfMessage(br#"{"params":{"arguments":[1]}}"#),
        ..call("{}")
    };
    assert_eq!(DecisionInput::new(&call).unwrap_err(), InputError::ArgumentsNotAnObject);
}

#[test]
fn deep_and_large_arguments_are_decided() {
    let deep =
        format!(r#"{{"params":{{"arguments":{{"a":{}1{}}}}}}}"#, "[".repeat(120), "]".repeat(120));
    let input = DecisionInput::new(&CallFacts {
        arguments: Arguments::OfMessage(deep.as_bytes()),
        ..call("{}")
    })
    .unwrap();
    assert!(DecisionInput::parse(input.bytes()).is_ok());
    let decision = snapshot("permit(principal, action, resource);").authorize(&input);
    assert_eq!(decision.verdict, Verdict::Allow);
    let wide = |values| format!(r#"{{"a":[{}]}}"#, vec!["1"; values].join(","));
    assert!(allows("context.arguments.a.contains(1)", &call(&wide(49_999))));
    for over in [wide(50_000), format!(r#"{{"a":{},"b":{{"c":{0}}}}}"#, wide(24_999))] {
        assert_eq!(DecisionInput::new(&call(&over)).unwrap_err(), InputError::TooManyValues);
        let recorded = format!(r#"{{"arguments":{over},"principal":{{}}}}"#);
        assert!(DecisionInput::parse(recorded.as_bytes()).is_err());
    }
}

#[test]
fn the_same_call_has_the_same_bytes() {
    let mut other = call(r#"{"b":{"y":1,"x":2},"a":[2,1]}"#);
    other.principal.groups = vec!["admins".into(), "engineers".into(), "admins".into()];
    other.facts.reverse();
    other.facts.push(other.facts[0].clone());
    let one = DecisionInput::new(&call(r#"{"a":[2,1],"b":{"x":2,"y":1}}"#)).unwrap();
    assert_eq!(one.bytes(), DecisionInput::new(&other).unwrap().bytes());
    assert_eq!(
        std::str::from_utf8(one.bytes()).unwrap(),
        concat!(
            r#"{"arguments":{"a":[2,1],"b":{"x":2,"y":1}},"auth":"bearer","#,
            r#""facts":{"detectors":["email"],"sql":["drop_database"]},"method":"tools/call","name":"query","#,
            r#""principal":{"groups":["admins","engineers"],"issuer":"https://id.example.com","kind":"human","#,
            r#""roles":["auditor"],"subject":"alice"},"server":"db","time_ms":1780000000000,"version":1}"#
        )
    );
}

#[test]
fn parse_takes_canonical_bytes_only() {
    let input = DecisionInput::new(&call(r#"{"a":[1]}"#)).unwrap();
    let text = std::str::from_utf8(input.bytes()).unwrap();
    assert_eq!(DecisionInput::parse(input.bytes()).unwrap().bytes(), input.bytes());
    for (from, to) in [
        ("\"a\":[1]", "\"a\": [1]"),
        ("\"a\":[1]", "\"a\":[1,null]"),
        ("\"a\":[1]", "\"a\":[1.0]"),
        ("\"a\":[1]", "\"\\u0061\":[1]"),
        ("\"arguments\":{\"a\":[1]}", "\"arguments\":null"),
        ("\"auth\":\"bearer\"", "\"auth\":\"magic\""),
        ("\"sql\":[\"drop_database\"]", "\"sql\":[\"drop_database\",\"drop_database\"]"),
        ("\"sql\":[\"drop_database\"]", "\"sqll\":[]"),
        ("[\"admins\",\"engineers\"]", "[\"engineers\",\"admins\"]"),
        ("\"version\":1", "\"version\":2"),
        ("\"version\":1", "\"version\":1,\"x\":1"),
        ("\"time_ms\":1780000000000", "\"time_ms\":1780000000000.0"),
        ("}", "} "),
        ("\"kind\":\"human\"", "\"kind\":\"ghost\""),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(DecisionInput::parse(changed.as_bytes()).is_err(), "{changed}");
    }
}

proptest! {
    #[test]
    fn inputs_round_trip_and_decide_alike(
        name: Option<String>, method: String, subject: String, group: String, text: String, number: f64, n: i64,
    ) {
        let mut facts = call("{}");
        facts.arguments = Arguments::Value(serde_json::json!({ &text: [text, n, number, { "k": null }] }));
        facts.name = name;
        facts.method = method;
        facts.principal.subject = subject;
        facts.principal.groups = vec![group];
        let input = DecisionInput::new(&facts).unwrap();
        let again = DecisionInput::parse(input.bytes()).unwrap();
        prop_assert_eq!(again.bytes(), input.bytes());
        prop_assert_eq!(PERMIT.authorize(&again), PERMIT.authorize(&input));
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(DecisionInput::parse(&bytes).is_err());
    }
}

#[test]
fn more_policies_than_a_leaf_can_name_deny() {
    let permits = |count: usize| -> String {
        let id = |n| format!("@id(\"{n:0>100}\") permit(principal, action, resource);\n");
        (0..count).map(id).collect()
    };
    let most = MAX_POLICY_IDS_BYTES / 100;
    let decision = decide(&permits(most), &call("{}"));
    assert_eq!((decision.verdict, decision.policy_ids.len()), (Verdict::Allow, most));
    let decision = decide(&permits(most + 1), &call("{}"));
    assert_eq!((decision.verdict, decision.evaluation_error), (Verdict::Deny, true));
    assert_eq!(decision.policy_ids, Vec::<String>::new());
}
