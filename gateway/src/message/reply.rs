//! A message of a server: lenient, because it is masked and passed on whatever it is.

use std::borrow::Cow;

use controls::json::{Document, Kind, Node};
use proto::v1::Outcome;

use super::RequestId;

/// What a server's message is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The end of a request.
    Final {
        /// The id it answers; `None` when it has none that a request could have.
        id: Option<RequestId>,
        /// Result, tool error, protocol error or another round.
        outcome: Outcome,
        /// Of a JSON-RPC error, else 0.
        error_code: i32,
    },
    /// A notification, or a request of the server with its id and method.
    Call(Option<(RequestId, String)>),
    /// No JSON-RPC message.
    Foreign,
}

impl Reply {
    /// Classifies a document.
    pub(crate) fn of(document: &Document<'_>) -> Reply {
        let root = document.root();
        if root.kind() != Kind::Object {
            return Reply::Foreign;
        }
        let id = root.get("id").and_then(RequestId::of);
        if let Some(method) = root.get("method") {
            return Reply::Call(id.zip(method.as_str().map(Cow::into_owned)));
        }
        if let Some(error) = root.get("error").filter(|error| error.kind() == Kind::Object) {
            return Reply::Final { id, outcome: Outcome::ProtocolError, error_code: code(error) };
        }
        match root.get("result") {
            Some(result) => Reply::Final { id, outcome: outcome(result), error_code: 0 },
            None => Reply::Foreign,
        }
    }
}

fn outcome(result: Node<'_>) -> Outcome {
    if result.get("isError").is_some_and(|flag| flag.kind() == Kind::True) {
        return Outcome::ToolError;
    }
    match result.get("resultType").and_then(Node::as_str).as_deref() {
        Some("input_required") => Outcome::InputRequired,
        _ => Outcome::Result,
    }
}

/// The error's code; 0 when it has none that fits.
fn code(error: Node<'_>) -> i32 {
    error.get("code").and_then(Node::as_i64).and_then(|code| code.try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reply {
        Reply::of(&Document::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn replies_are_told_apart() {
        let id = RequestId::of(Document::parse(b"1").unwrap().root());
        let done = |outcome, error_code| Reply::Final { id: id.clone(), outcome, error_code };
        assert_eq!(of(r#"{"id":1,"result":{}}"#), done(Outcome::Result, 0));
        assert_eq!(of(r#"{"id":1,"result":{"isError":true}}"#), done(Outcome::ToolError, 0));
        assert_eq!(of(r#"{"id":1,"result":{"isError":false}}"#), done(Outcome::Result, 0));
        assert_eq!(
            of(r#"{"id":1,"result":{"resultType":"input_required"}}"#),
            done(Outcome::InputRequired, 0)
        );
        assert_eq!(of(r#"{"id":1,"error":{"code":-32601}}"#), done(Outcome::ProtocolError, -32601));
        assert_eq!(of(r#"{"id":1,"error":{"code":99999999999}}"#), done(Outcome::ProtocolError, 0));
        let asked = Reply::Call(id.map(|id| (id, "roots/list".to_owned())));
        assert_eq!(of(r#"{"id":1,"method":"roots/list"}"#), asked);
        assert_eq!(of(r#"{"method":"notifications/progress"}"#), Reply::Call(None));
        for foreign in ["[]", "3", "{}", r#"{"id":1}"#, r#"{"error":"invalid_token"}"#] {
            assert_eq!(of(foreign), Reply::Foreign, "{foreign}");
        }
    }
}
