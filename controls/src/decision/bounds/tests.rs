use std::collections::BTreeSet;

use proto::v1::{AuthMethod, Verdict};

use super::*;
use crate::decision::policies::{PolicyFile, read};
use crate::decision::{Arguments, CallFacts, DecisionInput, Engine, PrincipalInput, PrincipalKind};
use crate::snapshot::DEFAULT_SCHEMA;

fn policy(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};\n")
}

/// Every way to make Cedar recurse, of so many levels or links.
fn shapes(nesting: usize, chain: usize) -> Vec<(&'static str, String)> {
    let around = |open: &str, inner: &str, close: &str| {
        policy(&format!("{}{inner}{}", open.repeat(nesting), close.repeat(nesting)))
    };
    let chained = |first: &str, link: &str| policy(&format!("{first}{}", link.repeat(chain)));
    let number = "context.time_ms";
    vec![
        ("(", around("(", "true", ")")),
        ("[", around("[", "1", "]")),
        ("{", around("{a:", "1", "}")),
        ("if", around("if true then ", "true", " else false")),
        ("else if", policy(&format!("{}true", "if false then true else ".repeat(nesting)))),
        ("if in if", around("if ", "true", " then true else false")),
        ("&&", chained("true", " && true")),
        ("||", chained("false", " || true")),
        ("+", chained("1", &format!(" + {number}"))),
        ("-", chained("1", " - 1")),
        ("*", chained("1", " * 1")),
        (".", chained("context.arguments", ".a")),
        ("[]", chained("context.arguments", "[\"a\"]")),
        ("when", policy("true").replace(';', &"when { true }".repeat(chain)) + ";"),
        (".contains", chained("[1]", ".contains(1)")),
        ("!", policy(&format!("{}true", "!".repeat(chain)))),
        ("unary -", policy(&format!("1 == {}1", "-".repeat(chain)))),
        ("has", policy(&format!("context.arguments has a{}", ".a".repeat(chain)))),
        ("!(", policy(&format!("{}true{}", "!(".repeat(nesting), ")".repeat(nesting)))),
        ("arguments", policy(&format!("context.arguments.a == 1{}", " && true".repeat(chain)))),
    ]
}

/// On a stack as small as that of a worker, which a debug build uses up soonest.
fn read_on_a_small_stack(text: String) -> Result<(), Vec<String>> {
    let reading = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        let files = [PolicyFile { name: "p.cedar", text: &text }];
        let read = read(&files, DEFAULT_SCHEMA).map(|_| ());
        read.map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.message).collect())
    });
    reading.unwrap().join().unwrap()
}

fn is_refused(read: &Result<(), Vec<String>>) -> bool {
    read.as_ref().is_err_and(|told| told.iter().any(|line| line.starts_with("the policy ")))
}

#[test]
fn what_is_within_the_bounds_is_read_on_a_small_stack() {
    // A policy and its brackets take a few themselves.
    for (shape, text) in shapes(MAX_NESTING - 3, MAX_OPERATORS / 2 - 4) {
        let read = read_on_a_small_stack(text);
        assert!(!is_refused(&read), "{shape}: {read:?}");
    }
}

/// Deciding happens on a worker, whose stack nobody chose for it.
#[test]
fn what_is_within_the_bounds_is_decided_on_a_small_stack() {
    let call = CallFacts {
        principal: PrincipalInput {
            issuer: "https://id.example.com".into(),
            subject: "alice".into(),
            kind: PrincipalKind::Human,
            groups: Vec::new(),
            roles: Vec::new(),
        },
        server: "db".into(),
        method: "tools/call".into(),
        name: Some("query".into()),
        arguments: Arguments::Value(serde_json::json!({})),
        facts: Vec::new(),
        auth: AuthMethod::Bearer,
        at_unix_ms: 1_780_000_000_000,
    };
    let decided = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        for (shape, text) in shapes(MAX_NESTING - 3, MAX_OPERATORS / 2 - 4) {
            let files = [PolicyFile { name: "p.cedar", text: &text }];
            let Ok(engine) = Engine::new(&files, DEFAULT_SCHEMA, BTreeSet::new()) else { continue };
            let decision = engine.decide(&DecisionInput::new(&call).unwrap());
            // A bound of the evaluator's own would be an error of evaluation.
            if matches!(shape, "(" | "if" | "else if" | "&&" | "||" | "when") {
                assert_eq!(decision.verdict, Verdict::Allow, "{shape}: {decision:?}");
            }
        }
    });
    decided.unwrap().join().unwrap();
}

#[test]
fn what_is_beyond_is_refused_and_ends_no_process() {
    for (nesting, chain) in [(MAX_NESTING + 1, MAX_OPERATORS + 1), (1_000, 20_000)] {
        for (shape, text) in shapes(nesting, chain) {
            let read = read_on_a_small_stack(text);
            assert!(is_refused(&read), "{shape} {nesting} {chain}: {read:?}");
        }
    }
}

#[test]
fn many_policies_and_wide_sets_are_read() {
    let ids: Vec<String> = (0..2_000).map(|n| format!("Group::\"g{n}\"")).collect();
    let set = format!("[{}]", ids.join(", "));
    let wide = policy(&format!("principal in {set}"));
    assert_eq!(read_on_a_small_stack(wide), Ok(()));
    // An argument in the set: each element is then checked by itself.
    let wide = policy(&format!("{set}.contains(context.arguments.group)"));
    assert_eq!(read_on_a_small_stack(wide), Ok(()));
    for flat in [
        format!("context.arguments.a{}", "()".repeat(20_000)),
        format!("principal is {}User", "A::".repeat(20_000)),
        format!("{{{}}}.a0 == 1", (0..20_000).map(|n| format!("a{n}: 1, ")).collect::<String>()),
    ] {
        // Whatever Cedar says of it, it goes on.
        read_on_a_small_stack(policy(&flat)).ok();
    }
    let many = policy("context.time_ms > 1 && context.method == \"tools/call\"").repeat(500);
    assert_eq!(read_on_a_small_stack(many), Ok(()));
}

#[test]
fn a_bound_is_told_with_its_place() {
    let text = format!("{}{}", policy("true"), policy(&"(".repeat(MAX_NESTING)));
    let passed = check(&text).unwrap_err();
    assert!(passed.offset > policy("true").len() && passed.message.contains("32 levels"));
    assert_eq!(passed.in_file(Some(4)).file, Some(4));
    let long = check(&" ".repeat(MAX_TEXT_BYTES + 1)).unwrap_err();
    assert!(long.message.contains("1048576"), "{}", long.message);
    check(&" ".repeat(MAX_TEXT_BYTES)).unwrap();
}

#[test]
fn strings_and_comments_count_for_nothing() {
    let much = "( && [".repeat(1_000);
    check(&format!("// {much}\npermit (principal, action, resource);")).unwrap();
    check(&policy(&format!("\"a\\\"{much}\" == \"\\\\\""))).unwrap();
    // What stands behind a string or a comment counts again.
    let behind = "(".repeat(MAX_NESTING + 1);
    check(&policy(&format!("\"\\\\\" {behind}"))).unwrap_err();
    check(&format!("// x\r{behind}")).unwrap_err();
    check(&format!("é \"é\" {behind}")).unwrap_err();
    check("\"open \\").unwrap();
}

#[test]
fn a_nested_schema_is_refused() {
    let nested = format!("entity A {{ a: {}Long{} }};", "Set<".repeat(5_000), ">".repeat(5_000));
    let read = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
        read(&[], &nested).map(|_| ()).map_err(|mistakes| mistakes[0].message.clone())
    });
    let told = read.unwrap().join().unwrap().unwrap_err();
    assert!(told.contains("operators"), "{told}");
}
