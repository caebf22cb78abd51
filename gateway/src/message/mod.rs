//! What a JSON-RPC message is: pure functions of its bytes.

pub(crate) mod envelope;
pub(crate) mod era;
mod keys;
pub(crate) mod mirror;
pub(crate) mod reply;

use controls::json::{Kind, Node};

pub(crate) use envelope::{Class, Message};
pub(crate) use reply::Reply;

/// A JSON-RPC id: equal when it means the same, written as it came.
#[derive(Debug, Clone)]
pub(crate) struct RequestId {
    raw: String,
    meaning: String,
}

impl RequestId {
    /// The id in a string or number token; `None` for all else, `null` included (MCP forbids it).
    pub(crate) fn of(node: Node<'_>) -> Option<RequestId> {
        let meaning = match node.kind() {
            Kind::String => format!("s{}", node.as_str()?),
            Kind::Number => match node.as_i64() {
                Some(number) => format!("n{number}"),
                None => format!("n{}", node.raw_str()),
            },
            _ => return None,
        };
        Some(RequestId { raw: node.raw_str().to_owned(), meaning })
    }

    /// The token as it came.
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// What equal ids have in common.
    pub(crate) fn meaning(&self) -> &str {
        &self.meaning
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.meaning == other.meaning
    }
}

impl Eq for RequestId {}
