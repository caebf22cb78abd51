//! A message of a client: strict, because what is decided must be what the server understands.

use bytes::Bytes;
use controls::json::{Document, JsonError, Kind, Node};

use super::{RequestId, keys};

/// `_meta` member with the protocol version of a modern request.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` member in which a modern client describes itself.
const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// Longest self-description that is kept, in bytes.
const MAX_CLIENT_INFO_BYTES: usize = 4096;

/// A message of a client, as far as the gateway needs to understand it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Exactly as it came; nothing once it was sent on.
    pub(crate) bytes: Bytes,
    /// Request, notification or answer.
    pub(crate) class: Class,
    /// Empty for an answer.
    pub(crate) method: String,
    /// What the method is applied to, and the header `Mcp-Name` repeats: `params.name`, `.uri` or `.taskId`.
    pub(crate) name: Option<String>,
    /// The version in `_meta`.
    pub(crate) meta_version: Option<String>,
    /// `params.protocolVersion` and the like are not read; this is the client's description of itself, raw JSON.
    pub(crate) client_info: Option<Bytes>,
    /// `params.cursor` is present: a later page of a list.
    pub(crate) paged: bool,
}

/// What a client's message asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Class {
    /// An answer is due.
    Request(RequestId),
    /// None is.
    Notification,
    /// It is the answer to a request of the server.
    Answer(RequestId),
}

/// Why bytes are no message that is passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not the JSON that is accepted.
    #[error("the body is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// An array.
    #[error("JSON-RPC batches are not accepted: send each message in its own POST")]
    Batch,
    /// Neither request, notification nor answer.
    #[error("the body is not a JSON-RPC 2.0 message: {0}")]
    Envelope(&'static str),
    /// Two decoders could read two messages.
    #[error(
        "a member name equals `{0}` only without regard to case or NUL: decoders disagree on it, so it is refused"
    )]
    LookAlike(&'static str),
}

impl Malformed {
    /// The JSON-RPC error code: parse error or invalid request.
    pub(crate) fn code(&self) -> i64 {
        match self {
            Malformed::Json(_) => -32700,
            _ => -32600,
        }
    }
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`], and the id of the request when there is one to answer.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Message, (Malformed, Option<RequestId>)> {
        let document = Document::parse(bytes).map_err(|error| (error.into(), None))?;
        let root = document.root();
        let id = root.get("id").and_then(RequestId::of);
        read(bytes, &document).map_err(|malformed| (malformed, id))
    }

    /// The id that an answer must carry.
    pub(crate) fn request_id(&self) -> Option<&RequestId> {
        match &self.class {
            Class::Request(id) => Some(id),
            _ => None,
        }
    }
}

fn read(bytes: &Bytes, document: &Document<'_>) -> Result<Message, Malformed> {
    let root = document.root();
    match root.kind() {
        Kind::Object => {}
        Kind::Array => return Err(Malformed::Batch),
        _ => return Err(Malformed::Envelope("it must be an object")),
    }
    if let Some(known) = keys::look_alike(root) {
        return Err(Malformed::LookAlike(known));
    }
    if root.get("jsonrpc").and_then(Node::as_str).as_deref() != Some("2.0") {
        return Err(Malformed::Envelope("`jsonrpc` must be \"2.0\""));
    }
    let params = root.get("params");
    if params.is_some_and(|params| params.kind() != Kind::Object) {
        return Err(Malformed::Envelope("`params` must be an object"));
    }
    let class = class(root)?;
    let method = root.get("method").and_then(Node::as_str).unwrap_or_default().into_owned();
    let text =
        |node: Option<Node<'_>>| node.and_then(Node::as_str).map(std::borrow::Cow::into_owned);
    let meta = params.and_then(|params| params.get("_meta"));
    let client_info = meta
        .and_then(|meta| meta.get(META_CLIENT_INFO))
        .or_else(|| (method == "initialize").then(|| params?.get("clientInfo")).flatten())
        .filter(|info| info.span().len() <= MAX_CLIENT_INFO_BYTES)
        .map(|info| Bytes::copy_from_slice(&bytes[info.span()]));
    Ok(Message {
        bytes: bytes.clone(),
        class,
        name: controls::name_of(document, &method),
        meta_version: text(meta.and_then(|meta| meta.get(META_VERSION))),
        client_info,
        paged: params.is_some_and(|params| params.get("cursor").is_some()),
        method,
    })
}

fn class(root: Node<'_>) -> Result<Class, Malformed> {
    let (id, method) = (root.get("id"), root.get("method"));
    let (result, error) = (root.get("result"), root.get("error"));
    let known_id = |id: Node<'_>| {
        RequestId::of(id).ok_or(Malformed::Envelope("`id` must be a string or a number"))
    };
    match (method, result, error) {
        (Some(method), None, None) if method.kind() == Kind::String => match id {
            Some(id) => known_id(id).map(Class::Request),
            None => Ok(Class::Notification),
        },
        (Some(_), None, None) => Err(Malformed::Envelope("`method` must be a string")),
        (None, Some(_), None) | (None, None, Some(_)) => match id {
            Some(id) => known_id(id).map(Class::Answer),
            None => Err(Malformed::Envelope("an answer must have an `id`")),
        },
        _ => Err(Malformed::Envelope("it must have exactly one of `method`, `result` and `error`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Message, (Malformed, Option<RequestId>)> {
        Message::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_three_classes() {
        let call = parse(
            r#"{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"x","_meta":
               {"io.modelcontextprotocol/protocolVersion":"2026-07-28",
                "io.modelcontextprotocol/clientInfo":{"name":"c"}}}}"#,
        )
        .unwrap();
        assert_eq!(call.request_id().unwrap().raw(), r#""a\u0062""#);
        assert_eq!((call.method.as_str(), call.name.as_deref()), ("tools/call", Some("x")));
        assert_eq!(call.meta_version.as_deref(), Some("2026-07-28"));
        assert_eq!(call.client_info.as_deref(), Some(&br#"{"name":"c"}"#[..]));
        let note = parse(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).unwrap();
        assert_eq!(note.class, Class::Notification);
        let answer = parse(r#"{"jsonrpc":"2.0","id":7,"result":{"roots":[]}}"#).unwrap();
        assert!(matches!(answer.class, Class::Answer(_)) && answer.method.is_empty());
        let list =
            parse(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":"c"}}"#)
                .unwrap();
        assert!(list.paged && list.name.is_none());
    }

    #[test]
    fn each_refusal_names_its_reason_and_its_id() {
        for (text, code, id, part) in [
            ("{", -32700, None, "unexpected end"),
            (r#"{"a":1,"a":2}"#, -32700, None, "duplicate"),
            ("[]", -32600, None, "batches"),
            ("3", -32600, None, "object"),
            (r#"{"id":1,"method":"m"}"#, -32600, Some("1"), "jsonrpc"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, -32600, None, "`id`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":3}"#, -32600, Some("1"), "`method`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, -32600, Some("1"), "`params`"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","result":1}"#,
                -32600,
                Some("1"),
                "exactly one",
            ),
            (r#"{"jsonrpc":"2.0","id":1}"#, -32600, Some("1"), "exactly one"),
            (r#"{"jsonrpc":"2.0","result":1}"#, -32600, None, "answer"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","Params":{}}"#, -32600, Some("1"), "`params`"),
        ] {
            let (malformed, found) = parse(text).unwrap_err();
            assert_eq!(malformed.code(), code, "{text}");
            assert_eq!(found.as_ref().map(RequestId::raw), id, "{text}");
            assert!(malformed.to_string().contains(part), "{text}: {malformed}");
        }
    }

    #[test]
    fn ids_are_equal_when_they_mean_the_same() {
        let id = |text: &str| RequestId::of(Document::parse(text.as_bytes()).unwrap().root());
        assert_eq!(id(r#""a""#), id(r#""\u0061""#));
        assert_ne!(id(r#""1""#), id("1"));
        assert_eq!(id("1e3").unwrap().raw(), "1e3");
        assert_eq!(id("null"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _outcome = Message::parse(&Bytes::from(bytes));
        }

        /// Whatever members stand in an object, it is one class or refused; and a class fits its members.
        #[test]
        fn classes_fit_their_members(
            id in prop::option::of(prop::sample::select(vec!["1", "\"x\"", "null", "{}", "1.5"])),
            method in prop::option::of(prop::sample::select(vec!["\"ping\"", "\"tools/call\"", "7"])),
            result: bool,
            error: bool,
        ) {
            let mut text = r#"{"jsonrpc":"2.0""#.to_owned();
            for (name, value) in [("id", id), ("method", method),
                                  ("result", result.then_some("{}")), ("error", error.then_some("{}"))] {
                if let Some(value) = value {
                    text.push_str(&format!(",\"{name}\":{value}"));
                }
            }
            text.push('}');
            if let Ok(message) = parse(&text) {
                prop_assert_eq!(matches!(message.class, Class::Answer(_)), method.is_none());
                prop_assert_eq!(matches!(message.class, Class::Notification), id.is_none());
                prop_assert!(method.is_some() != (result || error));
            }
        }
    }
}
