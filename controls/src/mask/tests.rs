use super::*;
use crate::detect::DEFAULT_DETECTORS;
use crate::json::JsonErrorKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use std::sync::LazyLock;

static DEFAULT: LazyLock<DetectorSet> =
    LazyLock::new(|| DetectorSet::load(DEFAULT_DETECTORS, &[]).unwrap());

fn masked(message: &str) -> String {
    String::from_utf8(for_record(&DEFAULT, message.as_bytes()).unwrap().bytes.to_vec()).unwrap()
}

fn counts(message: &str) -> Vec<(String, u32)> {
    let masked = for_record(&DEFAULT, message.as_bytes()).unwrap();
    masked.counts.into_iter().map(|count| (count.rule, count.count)).collect()
}

#[test]
fn only_found_tokens_change() {
    let message = r#"{ "jsonrpc" : "2.0","id":7, "x":1.50e+2,"caf\u00e9":"\/a\u0041",
        "t":"mail \u0061lice@example.com\n\u263a now" }"#;
    let expected = r#"{ "jsonrpc" : "2.0","id":7, "x":1.50e+2,"caf\u00e9":"\/a\u0041",
        "t":"mail [masked:email]\n☺ now" }"#;
    assert_eq!(masked(message), expected);
    assert_eq!(counts(message), [("email".to_owned(), 1)]);
}

#[test]
fn every_place_is_searched() {
    for (message, expected) in [
        (r#""alice@example.com""#, r#""[masked:email]""#),
        (r#"[["alice@example.com"]]"#, r#"[["[masked:email]"]]"#),
        (r#"{"a":{"alice@example.com":1}}"#, r#"{"a":{"[masked:email]":1}}"#),
        (r#"{"params":{"pan":4111111111111111}}"#, r#"{"params":{"pan":0}}"#),
        (r#"{"params":{"pan":4111111111111112}}"#, r#"{"params":{"pan":4111111111111112}}"#),
        (r#"{"password":"x"}"#, r#"{"password":"[masked:password]"}"#),
        (r#"{"password":[1,"x",{"a":"x"}]}"#, r#"{"password":[0,"[masked:password]",{"a":"x"}]}"#),
        (
            r#"{"password":true,"secret":null,"pwd":""}"#,
            r#"{"password":true,"secret":null,"pwd":""}"#,
        ),
        (r#"{"p\u0061ssword":"x"}"#, r#"{"p\u0061ssword":"[masked:password]"}"#),
        (r#"{"password":{"type":"string"}}"#, r#"{"password":{"type":"string"}}"#),
        (
            r#"{"sql":"ALTER ROLE a PASSWORD 'b'"}"#,
            r#"{"sql":"ALTER ROLE a PASSWORD '[masked:password]'"}"#,
        ),
        (
            r#"{"env":"A=1\nDB_PASSWORD=b\nC=2"}"#,
            r#"{"env":"A=1\nDB_PASSWORD=[masked:password]\nC=2"}"#,
        ),
        (
            r#"{"json":"{\"password\":\"b\"}"}"#,
            r#"{"json":"{\"password\":\"[masked:password]\"}"}"#,
        ),
        (
            r#"{"error":{"code":-32000,"message":"no","data":["a@b.org"]}}"#,
            r#"{"error":{"code":-32000,"message":"no","data":["[masked:email]"]}}"#,
        ),
    ] {
        assert_eq!(masked(message), expected);
    }
}

#[test]
fn the_envelope_stays() {
    for message in [
        r#"{"jsonrpc":"2.0","id":4111111111111112,"method":"tools/call"}"#,
        r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#,
    ] {
        assert_eq!(masked(message), message);
    }
    for (message, expected) in [
        (r#"{"id":4111111111111111}"#, r#"{"id":0}"#),
        (r#"[{"id":4111111111111111}]"#, r#"[{"id":0}]"#),
        (r#"{"id":"alice@example.com"}"#, r#"{"id":"[masked:email]"}"#),
        (r#"{"method":"alice@example.com"}"#, r#"{"method":"[masked:email]"}"#),
        (r#"{"jsonrpc":"alice@example.com"}"#, r#"{"jsonrpc":"[masked:email]"}"#),
        (r#"{"params":{"id":4111111111111111}}"#, r#"{"params":{"id":0}}"#),
        (r#"{"id":{"id":4111111111111111}}"#, r#"{"id":{"id":0}}"#),
        (
            r#"{"result":{"requestState":"alice@example.com"}}"#,
            r#"{"result":{"requestState":"[masked:email]"}}"#,
        ),
    ] {
        assert_eq!(masked(message), expected);
    }
}

#[test]
fn a_caller_gets_what_the_exchange_needs() {
    let message = r#"{"id":"alice@example.com","result":{"requestState":"a@b.org","x":{"requestState":"a@b.org","id":"a@b.org"},"result":{"requestState":"a@b.org"}}}"#;
    let for_peer = for_caller(&DEFAULT, message.as_bytes()).unwrap();
    assert_eq!(
        std::str::from_utf8(&for_peer.bytes).unwrap(),
        r#"{"id":"alice@example.com","result":{"requestState":"a@b.org","x":{"requestState":"[masked:email]","id":"[masked:email]"},"result":{"requestState":"[masked:email]"}}}"#
    );
    assert_eq!(for_peer.counts[0].count, 3);
    let numbered = for_caller(&DEFAULT, br#"{"id":4111111111111111}"#).unwrap();
    assert!(!numbered.changed);
}

#[test]
fn equal_masked_names_get_suffixes() {
    assert_eq!(
        masked(r#"{"a@b.org":1,"c@d.org":2,"[masked:email]_2":3,"[masked:email]":4,"e@f.org":5}"#),
        r#"{"[masked:email]_3":1,"[masked:email]_4":2,"[masked:email]_2":3,"[masked:email]":4,"[masked:email]_5":5}"#
    );
}

#[test]
fn blobs_are_searched_as_what_they_encode() {
    let secret = STANDARD.encode("hello\npassword: hunter2\n");
    let expected = STANDARD.encode("hello\npassword: [masked:password]\n");
    assert_eq!(
        masked(&format!(r#"{{"result":{{"contents":[{{"blob":"{secret}"}}]}}}}"#)),
        format!(r#"{{"result":{{"contents":[{{"blob":"{expected}"}}]}}}}"#)
    );
    for clean in
        [STANDARD.encode("hello"), STANDARD.encode([0xff, 0xfe, 0]), "not base64!".to_owned()]
    {
        let message = format!(r#"{{"blob":"{clean}"}}"#);
        assert_eq!(masked(&message), message);
    }
    let url_safe = secret.trim_end_matches('=');
    assert!(masked(&format!(r#"{{"blob":"{url_safe}"}}"#)).contains(&expected));
}

#[test]
fn bad_json_is_refused() {
    for (bytes, kind) in [
        (&b"{\"a\":1,\"a\":2}"[..], JsonErrorKind::DuplicateName),
        (b"{\"a\":", JsonErrorKind::UnexpectedEnd),
        (b"\"\xff\"", JsonErrorKind::InvalidUtf8),
    ] {
        let Err(MaskError::Json(error)) = for_record(&DEFAULT, bytes) else { panic!() };
        assert_eq!(error.kind, kind);
    }
}

#[test]
fn errors_and_counts_hold_no_text() {
    let masked = for_record(&DEFAULT, br#"{"a":"alice@example.com, bob@example.com"}"#).unwrap();
    assert_eq!(masked.counts.len(), 1);
    assert_eq!((masked.counts[0].rule.as_str(), masked.counts[0].count), ("email", 2));
}

#[test]
fn a_detector_that_never_settles_ends_in_one_marker() {
    let data =
        "[[detector]]\nid = \"any\"\ntitle = \"\"\n[[detector.pattern]]\nregex = '[a-z]{3}'\n";
    let set = DetectorSet::load(data, &[]).unwrap();
    let text = plain(&set, "abc abcd ab xyzw");
    assert!(set.scan(&text.text).is_empty(), "{}", text.text);
    let message = for_record(&set, br#"{"abc":"abcdef","abd":[123]}"#).unwrap();
    assert!(findings(&set, &message.bytes).is_empty());
    // A suffix that a detector takes for a value again never settles: the message is refused.
    let data = "[[detector]]\nid = \"any\"\ntitle = \"\"\n[[detector.pattern]]\nregex = 'ab[cd]|\\]_[0-9]'\n";
    let set = DetectorSet::load(data, &[]).unwrap();
    assert_eq!(for_record(&set, br#"{"abc":1,"abd":2}"#), Err(MaskError::Unstable));
}

#[test]
fn residue_reads_texts_too() {
    assert_eq!(findings(&DEFAULT, b"plain alice@example.com")[0].rule, "email");
    assert!(findings(&DEFAULT, b"plain \xff text").is_empty());
    let json = br#"{"api_key":"hunter2hunter2"}"#;
    assert!(!findings(&DEFAULT, json).is_empty() && text_findings(&DEFAULT, json).is_empty());
}

/// JSON whose strings and names hold values in many dresses.
fn message() -> impl Strategy<Value = serde_json::Value> {
    let texts = [
        "alice@example.com",
        "4111 1111 1111 1111",
        "password: hunter2",
        "clean text",
        "[masked:email]",
        "[masked:",
        "219-09-9998",
        "{\"password\":\"x\"}",
        "DB_PASSWORD=x\nA=1",
        "\u{0}\u{1}\"\\",
        "é☺",
        "postgres://a:b@c.example.com/d",
        "-----BEGIN PRIVATE KEY-----\nAAAA",
        "password",
        "secret",
        "blob",
        "cGFzc3dvcmQ6IGh1bnRlcjI=",
        "api_key",
        "id",
        "method",
        "a",
        "b",
    ];
    let text = prop_oneof![
        prop::sample::select(texts.to_vec()).prop_map(str::to_owned),
        prop::collection::vec(prop::sample::select(texts.to_vec()), 0..3).prop_map(|t| t.concat()),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        text.clone().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(Into::into),
        Just(4_111_111_111_111_111_i64).prop_map(Into::into),
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn masking_is_valid_idempotent_and_complete(value in message(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        for mask in [for_record, for_caller] {
            let once = mask(&DEFAULT, text.as_bytes()).unwrap();
            prop_assert!(Document::parse(&once.bytes).is_ok());
            prop_assert_eq!(once.changed, once.bytes != text.as_bytes());
            prop_assert_eq!(once.changed, !once.counts.is_empty());
            let twice = mask(&DEFAULT, &once.bytes).unwrap();
            prop_assert!(!twice.changed);
            prop_assert_eq!(twice.bytes, once.bytes);
        }
        let record = for_record(&DEFAULT, text.as_bytes()).unwrap();
        prop_assert_eq!(findings(&DEFAULT, &record.bytes), vec![]);
    }

    #[test]
    fn clean_bytes_pass_untouched(text in "[ -~]{0,40}", pretty: bool) {
        let value = serde_json::json!({ "k": [text.clone(), 1.25, { "x": text }] });
        let message = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let masked = for_record(&DEFAULT, message.as_bytes()).unwrap();
        if masked.counts.is_empty() {
            prop_assert_eq!(&masked.bytes[..], message.as_bytes());
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = for_record(&DEFAULT, &bytes);
        let _ = findings(&DEFAULT, &bytes);
    }
}
