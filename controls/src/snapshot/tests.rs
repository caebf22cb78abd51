use super::*;
use crate::{Arguments, CallFacts, PrincipalInput, PrincipalKind};
use proto::v1::{AuthMethod, Verdict};
use std::path::Path;

const GOLDEN_MESSAGE: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query",
 "arguments":{"sql":"DROP TABLE customers -- ask alice@example.com","limit":10,"ratio":0.50,"note":null}}}"#;

fn named(name: &str, text: &str) -> NamedText {
    NamedText { name: name.into(), text: text.into() }
}

fn golden_source() -> SnapshotSource {
    SnapshotSource {
        policies: vec![named("golden.cedar", include_str!("../../testdata/golden.cedar"))],
        entities: vec![
            Server { name: "docs".into(), open: true },
            Server { name: "db".into(), open: false },
        ],
        detectors: None,
        masking: MaskingConfig::default(),
    }
}

fn mistakes(source: SnapshotSource) -> Vec<String> {
    match Snapshot::build(source) {
        Err(SnapshotError::Mistakes(mistakes)) => {
            mistakes.iter().map(ToString::to_string).collect()
        }
        other => panic!("built {other:?}"),
    }
}

fn policy_mistakes(text: &str) -> Vec<String> {
    mistakes(SnapshotSource { policies: vec![named("p.cedar", text)], ..golden_source() })
}

/// Compares with a file in `testdata`, or writes it when `BLESS` is set.
fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "{} differs", path.display());
}

#[test]
fn the_engine_is_the_one_in_the_lock_file() {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock"));
    let (name, version) = ENGINE.split_once(' ').unwrap();
    assert!(lock.unwrap().contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")));
    assert!(cedar_policy::get_sdk_version().to_string() == version);
}

#[test]
fn golden_snapshot_and_decision() {
    let snapshot = Snapshot::build(golden_source()).unwrap();
    golden("snapshot.json", snapshot.bytes());
    let masked = snapshot.mask_message(GOLDEN_MESSAGE).unwrap();
    golden("masked.json", &masked.bytes);
    let document = Document::parse(GOLDEN_MESSAGE).unwrap();
    let input = DecisionInput::new(&CallFacts {
        principal: PrincipalInput {
            issuer: "https://id.example.com".into(),
            subject: "alice".into(),
            kind: PrincipalKind::Human,
            groups: vec!["engineers".into()],
            roles: vec![],
        },
        server: "db".into(),
        method: "tools/call".into(),
        name: Some("query".into()),
        arguments: Arguments::OfMessage(&masked.bytes),
        facts: snapshot.facts(&document, &masked),
        auth: AuthMethod::Bearer,
        at_unix_ms: 1_780_000_000_000,
    })
    .unwrap();
    golden("decision-input.json", input.bytes());
    let decision = snapshot.authorize(&input);
    assert_eq!(decision.verdict, Verdict::Hold);
    assert_eq!(decision.policy_ids, ["golden:4"]);
    assert_eq!(decision.approval_groups, ["dba"]);
    let digest: String = snapshot.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    golden("decision.txt", format!("{digest}\n{decision:#?}\n").as_bytes());
    // A verifier holds nothing but the bytes.
    let again = Snapshot::parse(snapshot.bytes()).unwrap();
    assert_eq!(again.authorize(&DecisionInput::parse(input.bytes()).unwrap()), decision);
    assert_eq!(again.digest(), snapshot.digest());
    assert!(again.engine_matches());
    assert!(again.residue(&masked.bytes, MediaType::Json).is_empty());
}

#[test]
fn order_of_sources_does_not_matter() {
    let mut policies = vec![
        named("b.cedar", "permit(principal, action, resource);"),
        named(
            "a.cedar",
            "permit(principal, action, resource); forbid(principal, action, resource);",
        ),
    ];
    let masking = |disabled: &[&str]| MaskingConfig {
        disabled: disabled.iter().map(|id| (*id).to_owned()).collect(),
    };
    let one = SnapshotSource {
        policies: policies.clone(),
        masking: masking(&["jwt", "email"]),
        ..golden_source()
    };
    policies.reverse();
    let mut two = SnapshotSource {
        policies,
        masking: masking(&["email", "jwt", "email"]),
        ..golden_source()
    };
    two.entities.reverse();
    let (one, two) = (Snapshot::build(one).unwrap(), Snapshot::build(two).unwrap());
    assert_eq!(one.bytes(), two.bytes());
    assert!(one.mask_text("alice@example.com").counts.is_empty());
}

#[test]
fn readable_files() {
    let files = Snapshot::build(golden_source()).unwrap().files();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "policies/golden.cedar",
            "detectors.toml",
            "entities.json",
            "masking.json",
            "schema.cedarschema"
        ]
    );
    let entities = &files[2].1;
    let entities =
        cedar_policy::Entities::from_json_str(std::str::from_utf8(entities).unwrap(), None);
    assert_eq!(entities.unwrap().iter().count(), 2);
    assert_eq!(files[3].1, b"{\"disabled\":[]}\n");
}

#[test]
fn every_mistake_has_its_place() {
    let found = mistakes(SnapshotSource {
        policies: vec![
            named(
                "a.cedar",
                "permit(principal, action, resource);\n\n  forbid(principal, action == , resource);",
            ),
            named(
                "b.cedar",
                "\npermit(principal, action, resource) when { principal.nme == \"x\" };",
            ),
            named("../c.cedar", ""),
        ],
        entities: vec![Server { name: "a/b".into(), open: false }],
        detectors: Some(
            "\n[[detector]]\nid = \"x\"\ntitle = \"\"\npattern = [{ regex = '(' }]".into(),
        ),
        masking: MaskingConfig::default(),
    });
    let has = |start: &str| found.iter().any(|mistake| mistake.starts_with(start));
    assert!(has("a.cedar:3:"), "{found:#?}");
    assert!(has("b.cedar:2:"), "{found:#?}");
    assert!(has("../c.cedar:1:1: "), "{found:#?}");
    assert!(has("entities.json:1:1: "), "{found:#?}");
    assert!(has("detectors.toml:5:"), "{found:#?}");
}

#[test]
fn policies_are_checked_against_the_schema() {
    for (policy, expected) in [
        ("permit(principal, action == Action::\"tools/cal\", resource);", "tools/cal"),
        ("permit(principal == Person::\"x\", action, resource);", "Person"),
        ("permit(principal, action, resource) when { principal in Grup::\"x\" };", "Grup"),
        ("permit(principal, action, resource) when { context.argments.x };", "argments"),
        ("permit(principal, action, resource) when { context.time_ms == \"x\" };", "types"),
        (
            "permit(principal, action == Action::\"tools/call\", resource == Server::\"db\");",
            "impossible",
        ),
        // Also beside arguments.
        (
            "permit(principal, action, resource) when { context.arguments.x == principal.nme };",
            "nme",
        ),
        (
            "permit(principal, action, resource) when { context.arguments.x == Grup::\"x\" };",
            "Grup",
        ),
        (
            "permit(principal, action, resource) when { context has arguments && context.arguments.x > 1 && context.foo };",
            "foo",
        ),
        (
            "permit(principal, action, resource) when { [context.arguments.x, context.bar].contains(1) };",
            "bar",
        ),
        (
            "permit(principal, action, resource) unless { if context.arguments.x then true else context.facts.sq.isEmpty() };",
            "sq",
        ),
        ("permit(principal == ?principal, action, resource);", "template"),
        ("@id(\"a b\") permit(principal, action, resource);", "may not stand in a leaf"),
        (
            "@id(\"x\") permit(principal, action, resource); @id(\"x\") permit(principal, action, resource);",
            "two policies",
        ),
        ("@approval(\"g\") permit(principal, action, resource);", "no meaning on a permit"),
        ("@approval forbid(principal, action, resource);", "names no group"),
    ] {
        let source = SnapshotSource { policies: vec![named("p.cedar", policy)], ..golden_source() };
        assert!(Snapshot::build(source).is_err(), "{policy}");
        let found = policy_mistakes(policy);
        assert!(
            found.iter().any(|m| m.contains(expected) && m.starts_with("p.cedar:1:")),
            "{policy}: {found:#?}"
        );
    }
    for policy in [
        "",
        "// nothing\n",
        "permit(principal, action, resource) when { context.arguments has a.b && context.arguments.a.b.c like \"x*\" };",
        "permit(principal, action, resource) when { context.arguments has x && [1, context.arguments.x].containsAll([2]) };",
        "permit(principal, action, resource) when { context.arguments.x in [Group::\"g\"] || !context.arguments.y };",
        "permit(principal, action, resource) when { decimal(context.arguments.x).lessThan(decimal(\"1.0\")) };",
        "permit(principal, action, resource) when { context.arguments == {} || context.arguments.s == [] };",
        "permit(principal, action, resource) when { (context.arguments.n + 1) * 2 > -context.arguments.m };",
        "permit(principal, action == Action::\"resources/read\", resource) when { resource.uri like \"file:*\" };",
    ] {
        let source = SnapshotSource { policies: vec![named("p.cedar", policy)], ..golden_source() };
        if let Err(error) = Snapshot::build(source) {
            panic!("{policy}: {error}");
        }
    }
}

#[test]
fn positions_count_characters_and_lines() {
    let place = |text: &str| {
        let found = policy_mistakes(text);
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].split(": ").next().unwrap().to_owned()
    };
    // Beside arguments, the place is that of the policy.
    let first = "// ü\npermit(principal, action, resource);\n";
    let second = "permit(principal, action, resource) when { context.arguments.x == context.foo };";
    assert_eq!(place(&format!("{first}  {second}")), "p.cedar:3:3");
    // Elsewhere, it is that of the expression.
    let text = "permit(principal, action, resource) when { \"ü\" == \"ü\" && context.foo };";
    let column = text.chars().count() - "context.foo };".len() + 1;
    assert_eq!(place(text), format!("p.cedar:1:{column}"));
}

#[test]
fn unknown_disabled_detectors_are_mistakes() {
    let masking = MaskingConfig { disabled: vec!["emial".into()] };
    let found = mistakes(SnapshotSource { masking, ..golden_source() });
    assert!(found[0].contains("no detector `emial`"), "{found:?}");
}

#[test]
fn parse_takes_canonical_bytes_only() {
    let snapshot = Snapshot::build(golden_source()).unwrap();
    let text = std::str::from_utf8(snapshot.bytes()).unwrap();
    let error = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        Snapshot::parse(changed.as_bytes()).unwrap_err()
    };
    assert!(matches!(
        error("{\"detectors\"", "{ \"detectors\""),
        SnapshotError::NotCanonical { offset: 1 }
    ));
    assert!(matches!(error("}\n", "}"), SnapshotError::NotCanonical { .. }));
    assert_eq!(error("\"version\":1", "\"version\":2"), SnapshotError::UnknownVersion(2));
    assert!(matches!(error("\"version\":1", "\"version\":\"1\""), SnapshotError::NotASnapshot(_)));
    assert!(matches!(
        error("\"open\":true", "\"open\":true,\"x\":1"),
        SnapshotError::NotASnapshot(_)
    ));
    assert!(matches!(
        error("\"open\":true", "\"open\":true,\"open\":true"),
        SnapshotError::NotASnapshot(_)
    ));
    assert!(matches!(error("forbid (", "forbit ("), SnapshotError::Mistakes(_)));
    assert!(matches!(Snapshot::parse(b""), Err(SnapshotError::NotASnapshot(_))));
}

#[test]
fn another_engine_is_named_and_not_fatal() {
    let snapshot = Snapshot::build(golden_source()).unwrap();
    let text = std::str::from_utf8(snapshot.bytes()).unwrap();
    let other = Snapshot::parse(text.replace(ENGINE, "cedar-policy 4.99.0").as_bytes()).unwrap();
    assert!(!other.engine_matches());
    assert_eq!(other.engine(), "cedar-policy 4.99.0");
    assert_ne!(other.digest(), snapshot.digest());
}

#[test]
fn other_masking_rules_are_named_and_not_fatal() {
    let snapshot = Snapshot::build(golden_source()).unwrap();
    assert!(snapshot.rules_match());
    let text = std::str::from_utf8(snapshot.bytes()).unwrap();
    let other = Snapshot::parse(text.replace(RULES, "exhibit-masking 0").as_bytes()).unwrap();
    assert!(!other.rules_match());
    assert_eq!(other.rules(), "exhibit-masking 0");
    assert_ne!(other.digest(), snapshot.digest());
}

#[test]
fn facts_are_sorted_and_hold_labels_only() {
    let snapshot = Snapshot::build(golden_source()).unwrap();
    let message = br#"{"method":"tools/call","params":{"name":"q","arguments":{"sql":"SELECT 'alice@example.com'; SELECT 2","pan":"4111111111111111"}}}"#;
    let facts = snapshot
        .facts(&Document::parse(message).unwrap(), &snapshot.mask_message(message).unwrap());
    let facts: Vec<_> =
        facts.iter().map(|fact| (fact.kind, fact.label.as_str(), fact.count)).collect();
    assert_eq!(facts, [(1, "email", 1), (1, "payment_card", 1), (2, "select", 2)]);
}
