//! What a message says of the call that it is, by one rule for those who decide and those who decide again.

use std::borrow::Cow;

use super::input::InputError;
use crate::json::{Document, Kind, Node, write_string};

/// How arguments are named that stand in `Mcp-Param-…` headers only: the whole header's name in lower case. No
/// argument of a body is named so.
pub const PARAMETER_PREFIX: &str = "mcp-param-";

/// The member of `params` that names what a method is applied to; the header `Mcp-Name` repeats it.
pub fn naming_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        _ if method.starts_with("tasks/") && method != "tasks/list" => Some("taskId"),
        _ => None,
    }
}

/// What `method` is applied to, as the message says.
pub fn name_of(message: &Document<'_>, method: &str) -> Option<String> {
    let params = message.root().get("params")?;
    params.get(naming_member(method)?)?.as_str().map(Cow::into_owned)
}

/// The message with header parameters among its `params.arguments`: that is what is masked, reduced to facts and
/// decided. Every other byte stays. `parameters` are names, which start with [`PARAMETER_PREFIX`], and values.
///
/// # Errors
/// [`InputError`] when the arguments are no object, or one is named as only a header parameter may be.
pub fn with_parameters<'m>(
    message: &'m [u8],
    parameters: &[(String, String)],
) -> Result<Cow<'m, [u8]>, InputError> {
    let document = Document::parse(message)?;
    let params = document.root().get("params");
    let arguments = params.and_then(|params| params.get("arguments")).filter(is_there);
    if arguments.is_some_and(|arguments| arguments.kind() != Kind::Object) {
        return Err(InputError::ArgumentsNotAnObject);
    }
    if arguments.into_iter().flat_map(Node::members).any(|member| is_parameter(&member.key)) {
        return Err(InputError::ReservedArgument);
    }
    if parameters.is_empty() {
        return Ok(Cow::Borrowed(message));
    }
    let mut members = Vec::new();
    for (name, value) in parameters {
        if !is_parameter(name) {
            return Err(InputError::ParameterName);
        }
        if !members.is_empty() {
            members.push(b',');
        }
        write_string(&mut members, name);
        members.push(b':');
        write_string(&mut members, value);
    }
    Ok(Cow::Owned(added(message, document.root(), &["params", "arguments"], members)?))
}

/// May only a header parameter be named so?
pub fn is_parameter(name: &str) -> bool {
    name.starts_with(PARAMETER_PREFIX)
}

fn is_there(node: &Node<'_>) -> bool {
    node.kind() != Kind::Null
}

/// The document with `members` at the end of the object that stands at `path` below `node`; an object that is
/// absent or null is made.
fn added(
    document: &[u8],
    node: Node<'_>,
    path: &[&str],
    members: Vec<u8>,
) -> Result<Vec<u8>, InputError> {
    if node.kind() != Kind::Object {
        return Err(InputError::ArgumentsNotAnObject);
    }
    let end = node.span().end - 1;
    let (place, insertion) = match path.split_first() {
        None => (end..end, members),
        Some((key, deeper)) => {
            let found = node.get(key);
            if let Some(inner) = found.filter(is_there) {
                return added(document, inner, deeper, members);
            }
            let inner = deeper.iter().rev().fold(members, |inner, key| member(key, &inner));
            match found {
                Some(null) => (null.span(), [b"{", &inner[..], b"}"].concat()),
                None => (end..end, member(key, &inner)),
            }
        }
    };
    let follows = place.is_empty() && node.members().next().is_some();
    let comma: &[u8] = if follows { b"," } else { b"" };
    Ok([&document[..place.start], comma, &insertion, &document[place.end..]].concat())
}

/// A member whose value is an object of `members`.
fn member(key: &str, members: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + members.len() + 5);
    write_string(&mut out, key);
    out.extend_from_slice(b":{");
    out.extend_from_slice(members);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonErrorKind;

    fn joined(message: &str, parameters: &[(&str, &str)]) -> Result<String, InputError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters: Vec<_> = parameters.iter().map(owned).collect();
        let joined = with_parameters(message.as_bytes(), &parameters)?;
        Ok(String::from_utf8(joined.into_owned()).unwrap())
    }

    #[test]
    fn parameters_join_the_arguments_and_nothing_else_changes() {
        for (message, expected) in [
            ("{}", r#"{"params":{"arguments":{"mcp-param-x":"a\"b"}}}"#),
            (r#"{ "id":1 }"#, r#"{ "id":1 ,"params":{"arguments":{"mcp-param-x":"a\"b"}}}"#),
            (r#"{"params":{}}"#, r#"{"params":{"arguments":{"mcp-param-x":"a\"b"}}}"#),
            (r#"{"params":null}"#, r#"{"params":{"arguments":{"mcp-param-x":"a\"b"}}}"#),
            (
                r#"{"params":{"arguments": null,"n":1}}"#,
                r#"{"params":{"arguments": {"mcp-param-x":"a\"b"},"n":1}}"#,
            ),
            (
                r#"{"params":{"arguments":{}}}"#,
                r#"{"params":{"arguments":{"mcp-param-x":"a\"b"}}}"#,
            ),
            (
                r#"{"params":{"arguments":{"a":1e400}},"z":0}"#,
                r#"{"params":{"arguments":{"a":1e400,"mcp-param-x":"a\"b"}},"z":0}"#,
            ),
        ] {
            assert_eq!(joined(message, &[("mcp-param-x", "a\"b")]).unwrap(), expected, "{message}");
            assert_eq!(joined(message, &[]).unwrap(), message);
        }
        let two = joined("{}", &[("mcp-param-a", "1"), ("mcp-param-b", "2")]).unwrap();
        assert_eq!(two, r#"{"params":{"arguments":{"mcp-param-a":"1","mcp-param-b":"2"}}}"#);
    }

    #[test]
    fn arguments_that_could_be_taken_for_others_are_refused() {
        for parameters in [&[][..], &[("mcp-param-x", "1")]] {
            for arguments in ["[1,2]", "\"s\"", "7", "true"] {
                let message = format!(r#"{{"params":{{"arguments":{arguments}}}}}"#);
                assert_eq!(joined(&message, parameters), Err(InputError::ArgumentsNotAnObject));
            }
            let reserved = r#"{"params":{"arguments":{"\u006dcp-param-y":1}}}"#;
            assert_eq!(joined(reserved, parameters), Err(InputError::ReservedArgument));
        }
        assert_eq!(joined("{}", &[("region", "eu")]), Err(InputError::ParameterName));
        assert_eq!(joined("3", &[("mcp-param-x", "1")]), Err(InputError::ArgumentsNotAnObject));
        let broken = joined(r#"{"a":1,"a":2}"#, &[]).unwrap_err();
        assert!(
            matches!(broken, InputError::Json(error) if error.kind == JsonErrorKind::DuplicateName)
        );
    }

    #[test]
    fn the_name_is_the_member_that_the_method_tells() {
        let text = r#"{"params":{"name":"n","uri":"u","taskId":"t"}}"#;
        let document = Document::parse(text.as_bytes()).unwrap();
        for (method, name) in [
            ("tools/call", Some("n")),
            ("prompts/get", Some("n")),
            ("resources/read", Some("u")),
            ("resources/unsubscribe", Some("u")),
            ("tasks/get", Some("t")),
            ("tasks/list", None),
            ("ping", None),
        ] {
            assert_eq!(name_of(&document, method).as_deref(), name, "{method}");
        }
    }
}
