use super::*;
use crate::json::write_string;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn kind_of(text: &str) -> Result<Kind, What> {
    Document::parse(text.as_bytes()).map(|document| document.root().kind()).map_err(|e| e.kind)
}

#[test]
fn values_keep_spans_and_spelling() {
    let bytes = br#" {"a\u0062":[1, -0.50E+2,true,null,"x\n\ud83d\ude00"] , "":{}} "#;
    let document = Document::parse(bytes).unwrap();
    let members: Vec<_> = document.root().members().collect();
    assert_eq!(members.len(), 2);
    assert_eq!(members[0].key, "ab");
    assert_eq!(&bytes[members[0].key_span.clone()], br#""a\u0062""#);
    let elements: Vec<_> = members[0].value.elements().collect();
    assert_eq!(elements[1].raw(), b"-0.50E+2");
    assert_eq!(elements[0].as_i64(), Some(1));
    assert_eq!(elements[1].as_i64(), None);
    assert_eq!(elements[4].as_str().unwrap(), "x\n\u{1f600}");
    assert_eq!(document.root().get("").unwrap().kind(), Kind::Object);
    assert!(document.root().elements().next().is_none());
    assert!(elements[0].members().next().is_none());
}

#[test]
fn each_rule_has_its_error() {
    for (text, expected) in [
        ("", What::UnexpectedEnd),
        ("{\"a\":1", What::UnexpectedEnd),
        ("[1,]", What::UnexpectedCharacter),
        ("{1:2}", What::UnexpectedCharacter),
        ("\u{feff}1", What::UnexpectedCharacter),
        ("nul", What::UnexpectedCharacter),
        ("01", What::MalformedNumber),
        ("-", What::MalformedNumber),
        ("1.", What::MalformedNumber),
        ("1e", What::MalformedNumber),
        (r#""\x""#, What::MalformedEscape),
        (r#""\u12G4""#, What::MalformedEscape),
        (r#""\ud800""#, What::LoneSurrogate),
        (r#""\ud800\u0041""#, What::LoneSurrogate),
        (r#""\udc00""#, What::LoneSurrogate),
        ("\"\u{1}\"", What::ControlCharacter),
        ("1 2", What::TrailingBytes),
        ("{\"a\":1,\"\\u0061\":2}", What::DuplicateName),
        ("[[{\"x\":{\"k\":1,\"k\":2}}]]", What::DuplicateName),
    ] {
        assert_eq!(kind_of(text), Err(expected), "{text}");
    }
    let error = Document::parse(b"\"a\xff\"").unwrap_err();
    assert_eq!((error.kind, error.offset), (What::InvalidUtf8, 2));
    assert_eq!(Document::parse(b"{\"a\":1,\"a\":2}").unwrap_err().offset, 7);
}

#[test]
fn many_names_find_their_duplicate() {
    let mut text: String = (0..50).map(|n| format!("\"k{n}\":0,")).collect();
    assert_eq!(kind_of(&format!("{{{text}\"z\":0}}")), Ok(Kind::Object));
    text.push_str("\"k7\":0");
    assert_eq!(kind_of(&format!("{{{text}}}")), Err(What::DuplicateName));
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(kind_of(&nested(MAX_DEPTH)), Ok(Kind::Array));
    assert_eq!(kind_of(&nested(MAX_DEPTH + 1)), Err(What::TooDeep));
    assert_eq!(kind_of(&"[".repeat(5_000_000)), Err(What::TooDeep));
}

/// Text that is JSON, or nearly.
fn near_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "1",
        "-0",
        "0.5",
        "1e400",
        "01",
        ".",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "\\",
        "\\n",
        "\\ud83d",
        "\\ude00",
        "x",
        "\u{1f}",
        "é",
        "{\"a\":1}",
        "[1,2]",
        "{\"a\":{\"b\":[]}}",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn arbitrary_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn to_value(node: crate::json::Node<'_>) -> serde_json::Value {
    match node.kind() {
        Kind::Object => node
            .members()
            .map(|member| (member.key.into_owned(), to_value(member.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Kind::Array => node.elements().map(to_value).collect::<Vec<_>>().into(),
        Kind::String => node.as_str().unwrap().into_owned().into(),
        _ => serde_json::from_slice(node.raw()).unwrap(),
    }
}

proptest! {
    /// serde_json's syntax check is the oracle; only our own further rules may refuse what it takes.
    #[test]
    fn accepts_what_serde_json_accepts(text in near_json()) {
        let theirs = serde_json::from_str::<&RawValue>(&text).is_ok();
        match kind_of(&text) {
            Ok(_) => prop_assert!(theirs),
            Err(What::DuplicateName | What::LoneSurrogate | What::TooDeep) => {}
            Err(error) => prop_assert!(!theirs, "{error}"),
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let ours = Document::parse(&bytes).is_ok();
        prop_assert!(!ours || serde_json::from_slice::<&RawValue>(&bytes).is_ok());
    }

    #[test]
    fn reads_what_serde_json_writes(value in arbitrary_value(), pretty: bool) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            serde_json::to_string(&value).unwrap()
        };
        let document = Document::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(to_value(document.root()), serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn written_strings_are_read_back(text: String) {
        let mut token = Vec::new();
        write_string(&mut token, &text);
        let document = Document::parse(&token).unwrap();
        prop_assert_eq!(document.root().as_str().unwrap(), text.as_str());
        prop_assert_eq!(serde_json::from_slice::<String>(&token).unwrap(), text);
    }
}
