//! What the demo's people do, and how each call must end.

use serde_json::{Value, json};

use crate::client::{Mcp, Outcome, knock};
use crate::error::DemoError;

/// A call as it was seen by its caller.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Number, from 1.
    pub number: usize,
    /// Who called.
    pub who: &'static str,
    /// Which tool, or what else was tried.
    pub tool: &'static str,
    /// The arguments in short.
    pub arguments: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// Tokens that the script needs.
#[derive(Clone)]
pub struct Tokens {
    /// The engineer's.
    pub alice: String,
    /// The contractor's.
    pub bob: String,
    /// The auditor's.
    pub carol: String,
    /// One of the engineer's whose time is over.
    pub expired: String,
    /// One that is good elsewhere only.
    pub elsewhere: String,
}

/// How a call must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    Answer,
    Mask,
    Block,
    Deny,
    Refuse,
}

use Must::{Answer, Block, Deny, Mask, Refuse};

struct Step {
    who: &'static str,
    tool: &'static str,
    arguments: Value,
    must: Must,
}

fn step(who: &'static str, tool: &'static str, arguments: Value, must: Must) -> Step {
    Step { who, tool, arguments, must }
}

fn sql(who: &'static str, tool: &'static str, sql: &str, must: Must) -> Step {
    step(who, tool, json!({ "sql": sql }), must)
}

fn deploy(who: &'static str, version: &str, environment: &str, must: Must) -> Step {
    let arguments = json!({"service": "checkout", "version": version, "environment": environment});
    step(who, "deploy", arguments, must)
}

fn steps() -> Vec<Step> {
    let search = |who, text: &str, must| step(who, "search_docs", json!({ "text": text }), must);
    let rotate = |who, must| step(who, "rotate_key", json!({ "service": "payments" }), must);
    vec![
        search("alice", "rotate keys", Answer),
        sql(
            "alice",
            "query_customers",
            "SELECT name, email, card, ssn FROM customers LIMIT 2",
            Mask,
        ),
        sql(
            "alice",
            "query_customers",
            "SELECT name, tier FROM customers WHERE email = 'tom@example.org'",
            Answer,
        ),
        rotate("alice", Mask),
        sql("alice", "run_sql", "UPDATE customers SET tier = 'gold' WHERE id = 2", Answer),
        deploy("alice", "2.4.1", "staging", Answer),
        deploy("alice", "2.4.1", "production", Answer),
        sql("alice", "run_sql", "DROP DATABASE customers", Block),
        sql("alice", "run_sql", "SELECT 1; dRoP/**/DATABASE customers", Block),
        sql("alice", "run_sql", "DELETE FROM customers", Block),
        search("bob", "deploy checklist", Answer),
        sql(
            "bob",
            "query_customers",
            "SELECT name, email FROM customers WHERE tier = 'gold'",
            Mask,
        ),
        sql("bob", "query_customers", "UPDATE customers SET tier = 'gold' WHERE id = 4", Block),
        sql("bob", "run_sql", "SELECT name FROM customers", Block),
        rotate("bob", Block),
        deploy("bob", "2.4.2", "production", Block),
        search("bob", "who owns card 4111 1111 1111 1111?", Block),
        sql("carol", "query_customers", "SELECT count(*) FROM customers", Deny),
        step("nobody", "(no token)", Value::Null, Refuse),
        step("alice", "(expired token)", Value::Null, Refuse),
        step("bob", "(token for elsewhere)", Value::Null, Refuse),
        sql("alice", "query_customers", "SELECT count(*) FROM customers", Answer),
    ]
}

/// What [`perform`] found besides the calls.
#[derive(Debug, Clone)]
pub struct Performed {
    /// Every call, in order.
    pub calls: Vec<Seen>,
    /// Tools of the server, as listed.
    pub tools: Vec<String>,
}

/// Everybody opens a session, makes their calls, and ends it.
///
/// # Errors
/// When the gateway cannot be reached, or a call ends otherwise than it must.
pub async fn perform(url: &str, tokens: &Tokens) -> Result<Performed, DemoError> {
    let (alice, tools) = Mcp::connect("alice", url, &tokens.alice, false).await?;
    let (bob, _) = Mcp::connect("bob", url, &tokens.bob, true).await?;
    let (carol, _) = Mcp::connect("carol", url, &tokens.carol, true).await?;
    let mut calls = Vec::new();
    for (index, Step { who, tool, arguments, must }) in steps().into_iter().enumerate() {
        let outcome = match (who, tool) {
            (_, "(no token)") => knock(url, None).await?,
            (_, "(expired token)") => knock(url, Some(&tokens.expired)).await?,
            (_, "(token for elsewhere)") => knock(url, Some(&tokens.elsewhere)).await?,
            ("alice", _) => alice.call(tool, &arguments).await?,
            ("bob", _) => bob.call(tool, &arguments).await?,
            _ => carol.call(tool, &arguments).await?,
        };
        let number = index + 1;
        if !must.fits(&outcome) {
            let (who, tool) = (who.to_owned(), tool.to_owned());
            let found = format!("{outcome:?}");
            return Err(DemoError::Script { number, who, tool, expected: must.word(), found });
        }
        calls.push(Seen { number, who, tool, arguments: in_short(&arguments), outcome });
    }
    for session in [alice, bob, carol] {
        session.close().await?;
    }
    Ok(Performed { calls, tools })
}

impl Must {
    fn fits(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Answer, Outcome::Answered { masks, .. }) => masks.is_empty(),
            (Mask, Outcome::Answered { masks, .. }) => !masks.is_empty(),
            (Block, Outcome::Blocked { .. }) | (Deny, Outcome::Denied { .. }) => true,
            (Refuse, Outcome::Refused { status, .. }) => *status == 401,
            _ => false,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Answer => "answered",
            Mask => "answered with masks",
            Block => "blocked",
            Deny => "denied",
            Refuse => "refused with 401",
        }
    }
}

fn in_short(arguments: &Value) -> String {
    let values =
        ["sql", "text", "service", "version", "environment"].map(|name| arguments[name].as_str());
    values.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_script_has_some_twenty_calls_and_every_kind_of_end() {
        let steps = steps();
        assert!((18..=26).contains(&steps.len()));
        for must in [Answer, Mask, Block, Deny, Refuse] {
            assert!(steps.iter().any(|step| step.must == must), "{must:?}");
        }
    }

    #[test]
    fn an_unexpected_end_is_noticed() {
        let message = String::new;
        let plain = Outcome::Answered { text: message(), masks: BTreeMap::new() };
        let refused = Outcome::Refused { status: 503, message: message() };
        assert!(Answer.fits(&plain) && !Mask.fits(&plain) && !Block.fits(&plain));
        assert!(!Refuse.fits(&refused) && !Deny.fits(&Outcome::Blocked { message: message() }));
    }

    #[test]
    fn arguments_are_told_without_names() {
        let arguments = json!({"service": "a", "version": "1", "environment": "staging"});
        assert_eq!(in_short(&arguments), "a 1 staging");
        assert_eq!(in_short(&Value::Null), "");
    }
}
