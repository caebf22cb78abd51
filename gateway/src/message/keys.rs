//! Member names that some decoders take for others.
//!
//! Go's `encoding/json` matches names without regard to case (Unicode simple folding: `K` U+212A and `ſ` U+017F
//! fold into ASCII), and C strings end at NUL. A message with `Method` beside `method` would be decided by one
//! and run by the other, so a name that equals a known one only after folding is refused.

use controls::json::Node;

/// Members of a JSON-RPC message.
const ENVELOPE: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

/// Members of `params` (and of a client's `result`) that MCP defines at their top level, all revisions.
const PARAMS: &[&str] = &[
    "_meta",
    "action",
    "argument",
    "arguments",
    "capabilities",
    "clientInfo",
    "content",
    "context",
    "cursor",
    "inputResponses",
    "level",
    "message",
    "model",
    "name",
    "notifications",
    "progress",
    "progressToken",
    "protocolVersion",
    "reason",
    "ref",
    "requestId",
    "requestState",
    "role",
    "roots",
    "stopReason",
    "task",
    "taskId",
    "total",
    "uri",
];

/// The known name that a member of the message, its `params` or its `result` could be taken for.
pub(super) fn look_alike(root: Node<'_>) -> Option<&'static str> {
    let inner = ["params", "result"].into_iter().filter_map(|name| root.get(name));
    look_alike_among(root, ENVELOPE)
        .or_else(|| inner.into_iter().find_map(|node| look_alike_among(node, PARAMS)))
}

fn look_alike_among(object: Node<'_>, known: &[&'static str]) -> Option<&'static str> {
    object.members().find_map(|member| {
        let key: &str = &member.key;
        if known.contains(&key) {
            return None;
        }
        let folded = folded(key);
        known.iter().copied().find(|name| folded == name.to_ascii_lowercase())
    })
}

fn folded(key: &str) -> String {
    key.chars()
        .filter(|c| *c != '\0')
        .map(|c| match c {
            '\u{212a}' => 'k',
            '\u{17f}' => 's',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::json::Document;

    fn found(text: &str) -> Option<&'static str> {
        look_alike(Document::parse(text.as_bytes()).unwrap().root())
    }

    #[test]
    fn names_that_fold_into_known_ones_are_found() {
        assert_eq!(found(r#"{"method":"x","Method":"y"}"#), Some("method"));
        assert_eq!(found(r#"{"method":"x","met\u0000hod":"y"}"#), Some("method"));
        assert_eq!(found(r#"{"params":{"name":"a","NAME":"b"}}"#), Some("name"));
        assert_eq!(found("{\"params\":{\"ta\u{17f}\u{212a}Id\":1}}"), Some("taskId"));
        assert_eq!(found(r#"{"result":{"CONTENT":[]}}"#), Some("content"));
    }

    #[test]
    fn others_are_left_alone() {
        assert_eq!(
            found(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"NAME":1}}}"#),
            None
        );
        assert_eq!(found(r#"{"method":"m","params":{"names":1,"clientinfos":2},"extra":3}"#), None);
        assert_eq!(found("[]"), None);
    }
}
