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
fn a_number_is_no_part_of_a_value_that_a_name_tells() {
    assert_eq!(
        masked(r#"{"password: hunter2":1,"password: hunter3":2,"password: hunter4":3}"#),
        r#"{"password: [masked:password]":1,"2_password: [masked:password]":2,"3_password: [masked:password]":3}"#
    );
    let met = br#"{"a@b.org":{"password: hunter2":"a@b.org","password: hunter2[masked:email]":"a@b.org"}}"#;
    assert!(for_record(&DEFAULT, met).is_ok());
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

/// The same object is masked alike wherever it stands, and what it stands in stays what it was.
#[test]
fn names_tell_values_in_texts_too() {
    let text = |text: &str| {
        let message =
            serde_json::json!({ "result": { "content": [{ "type": "text", "text": text }] } });
        let masked: serde_json::Value =
            serde_json::from_str(&masked(&message.to_string())).unwrap();
        let masked = masked["result"]["content"][0]["text"].as_str().unwrap().to_owned();
        let alone = plain(&DEFAULT, text);
        assert_eq!(alone.text, masked);
        assert!(text_findings(&DEFAULT, masked.as_bytes()).is_empty(), "{masked}");
        masked
    };
    for (before, after) in [
        (
            r#"{"api_key":"hunter2hunter2","credentials":"abcd", "n" : 1.50}"#,
            r#"{"api_key":"[masked:api_key]","credentials":"[masked:password]", "n" : 1.50}"#,
        ),
        (" [ {\"pwd\":7,\"caf\\u00e9\":\"\\/\"} ]\n", " [ {\"pwd\":0,\"caf\\u00e9\":\"\\/\"} ]\n"),
        (r#"{"pan":4111111111111111}"#, r#"{"pan":0}"#),
        (r#"{"mysecret":"hunter2"}"#, r#"{"mysecret":"[masked:password]"}"#),
        (
            r#"{"a":"{\"b\":\"{\\\"credentials\\\":\\\"x\\\"}\"}"}"#,
            r#"{"a":"{\"b\":\"{\\\"credentials\\\":\\\"[masked:password]\\\"}\"}"}"#,
        ),
        (
            "{\"credentials\":\"a\"}\n{\"id\":1}\r\n{\"credentials\":\"b\"}",
            "{\"credentials\":\"[masked:password]\"}\n{\"id\":1}\r\n{\"credentials\":\"[masked:password]\"}",
        ),
        ("found:\n{\"pwd\":7}\nask alice@example.com", "found:\n{\"pwd\":0}\nask [masked:email]"),
        (
            "credentials=abcd\nA=1\nexport CREDENTIALS='a b'\n- credentials: x",
            "credentials=[masked:password]\nA=1\nexport CREDENTIALS='[masked:password]'\n- credentials: [masked:password]",
        ),
        (
            "it is\n{\n  \"credentials\": \"abcd\",\n}",
            "it is\n{\n  \"credentials\": \"[masked:password]\",\n}",
        ),
    ] {
        assert_eq!(text(before), after);
    }
    for clean in [
        r#"{"password":{"type":"string"}}"#,
        "credentials: required",
        "Secret plan: be simple",
        "credentials = os.environ",
        "{not json}",
    ] {
        assert_eq!(text(clean), clean);
    }
    // Nested deeper than is followed, it is still searched as text.
    let mut deep = r#"{"password":"hunter2"}"#.to_owned();
    for _ in 0..7 {
        deep = serde_json::json!({ "x": deep }).to_string();
    }
    assert!(!text(&deep).contains("hunter2"));
}

#[test]
fn values_are_told_by_names_beside_them() {
    for (message, expected) in [
        (
            r#"{"password":{"value":"hunter2horse","type":"string"}}"#,
            r#"{"password":{"value":"[masked:password]","type":"string"}}"#,
        ),
        (
            r#"{"secret":{"data":{"value":["x",7]},"name":"n"}}"#,
            r#"{"secret":{"data":{"value":["[masked:password]",0]},"name":"n"}}"#,
        ),
        (
            r#"{"env":[{"name":"DB_PASSWORD","value":"hunter2horse"},{"name":"PORT","value":"1"}]}"#,
            r#"{"env":[{"name":"DB_PASSWORD","value":"[masked:password]"},{"name":"PORT","value":"1"}]}"#,
        ),
        (
            r#"{"Value":"hunter2horse","Key":"api_key"}"#,
            r#"{"Value":"[masked:api_key]","Key":"api_key"}"#,
        ),
        (
            r#"{"name":"password","description":"Your password","required":true}"#,
            r#"{"name":"password","description":"Your password","required":true}"#,
        ),
    ] {
        assert_eq!(masked(message), expected);
    }
}

#[test]
fn numbers_are_read_by_their_value() {
    for number in
        ["4111111111111111", "4111111111111111.0", "4111111111111111e0", "4.111111111111111e15"]
    {
        assert_eq!(masked(&format!(r#"{{"n":{number}}}"#)), r#"{"n":0}"#, "{number}");
    }
    for number in ["4111111111111111.5", "4.111e3", "1e400", "4111111111111112.0"] {
        let message = format!(r#"{{"n":{number}}}"#);
        assert_eq!(masked(&message), message);
    }
}

#[test]
fn a_value_over_two_texts_is_found() {
    let of = |texts: &[&str]| {
        let items: Vec<_> =
            texts.iter().map(|text| serde_json::json!({ "type": "text", "text": text })).collect();
        let message = serde_json::json!({ "result": { "content": items } }).to_string();
        let masked: serde_json::Value = serde_json::from_str(&masked(&message)).unwrap();
        let items = masked["result"]["content"].as_array().unwrap().clone();
        items.iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        of(&["card 4111 1111", "1111 1111 ok"]),
        ["card [masked:payment_card]", "[masked:payment_card] ok"]
    );
    assert_eq!(of(&["41111111", "11111111"]), ["[masked:payment_card]"; 2]);
    assert_eq!(of(&["4111", "1111", "1111", "1111"]), ["[masked:payment_card]"; 4]);
    let twice = of(&["x 41111111", "11111111 and 5555", "555555554444 y"]);
    assert_eq!(
        twice,
        [
            "x [masked:payment_card]",
            "[masked:payment_card] and [masked:payment_card]",
            "[masked:payment_card] y"
        ]
    );
    assert_eq!(of(&["Contact", "bob@example.com"]), ["Contact", "[masked:email]"]);
    assert_eq!(of(&["1111", "2222", "a"]), ["1111", "2222", "a"]);
}

#[test]
fn encoded_content_is_searched_however_it_is_written() {
    const CARD: &str = "card 4111111111111111, key AKIAIOSFODNN7EXAMPLE >>>???";
    const MASKED: &str = "card [masked:payment_card], key [masked:api_key] >>>???";
    let encoded = STANDARD.encode(CARD);
    let folded = format!("{}\\r\\n {}", &encoded[..20], &encoded[20..]);
    let url = encoded.replace('+', "-").replace('/', "_").replace('=', "");
    assert_ne!(url, encoded);
    for form in [encoded.as_str(), &folded, &url] {
        for message in [
            format!(r#"{{"result":{{"contents":[{{"uri":"a","blob":"{form}"}}]}}}}"#),
            format!(
                r#"{{"content":[{{"type":"image","data":"{form}","mimeType":"text/plain"}}]}}"#
            ),
            format!(
                r#"{{"content":[{{"type":"image","data":"{form}","mimeType":"image/svg+xml"}}]}}"#
            ),
        ] {
            assert_eq!(masked(&message), message.replace(form, &STANDARD.encode(MASKED)));
        }
    }
    let broken = [b"\xff\0".as_slice(), CARD.as_bytes(), b"\xfe"].concat();
    let after = [b"\xff\0".as_slice(), MASKED.as_bytes(), b"\xfe"].concat();
    let message = format!(r#"{{"uri":"a","blob":"{}"}}"#, STANDARD.encode(&broken));
    let expected = format!(r#"{{"uri":"a","blob":"{}"}}"#, STANDARD.encode(after));
    assert_eq!(masked(&message), expected);
    // A picture whose bytes are no text is not searched.
    let picture = message.replace("\"uri\":\"a\"", "\"mimeType\":\"image/png\"");
    assert_eq!(masked(&picture), picture);
    // What cannot be decoded is withheld where the protocol says that it is encoded.
    let withheld = STANDARD.encode("[masked:opaque]");
    for message in [
        r#"{"uri":"a","blob":"Z!Z"}"#,
        r#"{"mimeType":"text/plain","blob":"Z!Z"}"#,
        r#"{"type":"file","mimeType":"text/plain","data":"Z!Z"}"#,
    ] {
        assert_eq!(masked(message), message.replace("Z!Z", &withheld));
    }
    for message in [r#"{"blob":"Z!Z"}"#, r#"{"data":"Z!Z"}"#, r#"{"data":"Z!Z","mimeType":"a/b"}"#]
    {
        assert_eq!(masked(message), message);
    }
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
    // A number that a detector takes for a value again, before and behind the name, never settles: the message is refused.
    let data = "[[detector]]\nid = \"any\"\ntitle = \"\"\n[[detector.pattern]]\nregex = 'ab[cd]|\\]_[0-9]|[0-9]_\\['\n";
    let set = DetectorSet::load(data, &[]).unwrap();
    assert_eq!(for_record(&set, br#"{"abc":1,"abd":2}"#), Err(MaskError::Unstable));
}

#[test]
fn residue_reads_texts_too() {
    assert_eq!(findings(&DEFAULT, b"plain alice@example.com")[0].rule, "email");
    assert!(findings(&DEFAULT, b"plain \xff text").is_empty());
    let json = br#"{"api_key":"hunter2hunter2"}"#;
    assert!(!findings(&DEFAULT, json).is_empty() && !text_findings(&DEFAULT, json).is_empty());
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
        "text",
        "data",
        "uri",
        "mimeType",
        "text/plain",
        "image/png",
        "type",
        "name",
        "value",
        "{\"credentials\":\"x\"}\n{\"pwd\":1}\n",
        "{\"text\":\"{\\\"pwd\\\":{\\\"value\\\":7}}\"}",
        "credentials=abcd\n",
        "4111 1111",
        "[",
        "}",
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
        Just(4_111_111_111_111_111.0_f64).prop_map(Into::into),
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
