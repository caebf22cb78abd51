//! Orders as a person reads them, and what is said when the ledger does not answer.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::told::lines;
use super::*;

#[test]
fn an_order_is_told_in_words_before_it_is_approved() {
    let order = json!({
        "order": "0f", "kind": "erase", "scope": { "subject": "ali\u{202e}ce", "before_ns": 1_000_000_000 },
        "reason": "request 4711", "asked_by": { "issuer": "https://i", "subject": "cora" },
        "would": { "leaves": 4, "disclosures": 6, "keys": 2, "open_exchanges": 0 },
        "asked_at_ns": 2_000_000_000
    });
    let told: Vec<_> =
        lines(&order).into_iter().map(|(label, value)| format!("{label}: {value}")).collect();
    let told = told.join("\n");
    for expected in [
        "kind: erase",
        "before 1970-01-01T00:00:01Z",
        "6 disclosures of 4 leaves",
        "reason: request 4711",
        "asked by: cora of https://i",
        "asked at: 1970-01-01T00:00:02Z",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
    assert!(!told.contains('\u{202e}'), "{told}");
    let hold = json!({ "hold": "0f", "scope": { "subject": "alise" }, "covers": 0 });
    assert!(lines(&hold).iter().any(|(_, value)| value.starts_with("NOTHING")));
    let damaged = json!({ "hold": "0f", "damaged": "entry 7 cannot be read" });
    let says = |told: &Value, label: &str, words: &str| {
        lines(told).iter().any(|(of, value)| *of == label && value.contains(words))
    };
    assert!(says(&damaged, "hold", "0f") && says(&damaged, "DAMAGED", "entry 7"));
    let release = json!({ "order": "0e", "kind": "release", "would": damaged });
    assert!(says(&release, "would release", "0f"));
    assert!(says(&release, "which holds", "NOBODY CAN TELL: entry 7"));
}

#[test]
fn a_time_is_an_instant_since_1970() {
    assert_eq!(nanoseconds("1970-01-01T00:00:01Z").unwrap(), 1_000_000_000);
    for bad in ["1969-12-31T00:00:00Z", "2026-03-01", "yesterday"] {
        assert!(nanoseconds(bad).is_err(), "{bad}");
    }
}

/// Answers each request in turn with one of these, or with nothing but the end of the connection.
fn answering(answers: Vec<Option<(u16, Value)>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            // To the end of a small JSON body.
            while !request.ends_with(b"}") {
                let read = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..read]);
            }
            if let Some((status, body)) = answer {
                let body = body.to_string();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}");
                stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
            }
        }
    });
    url
}

/// Break it: say in `carry_out` of what was done in part what is said of what nobody knows.
#[tokio::test]
async fn what_was_done_in_part_is_told_as_the_ledger_tells_it() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "a.b.c").unwrap();
    let partly = json!({
        "code": "erased_in_part", "message": "9 leaves were erased", "nothing_done": false
    });
    let ledger = answering(vec![Some((200, json!({ "order": "0f" }))), Some((500, partly))]);
    let door = Door { ledger, token_file: Some(token.clone()) };
    let order = json!({ "kind": "erase", "scope": {}, "reason": "x" });
    let said = door.order(&order, Some(&token)).await.unwrap_err().to_string();
    assert!(said.contains("9 leaves were erased"), "{said}");
    assert!(!said.contains("nothing was done") && !said.contains("MAY HAVE BEEN"), "{said}");
}

/// Break it: say in `order` what it says of a refusal, whatever failed.
#[tokio::test]
async fn only_a_refusal_says_that_nothing_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "a.b.c").unwrap();
    let asked = || Some((200, json!({ "order": "0f" })));
    let order = json!({ "kind": "erase", "scope": {}, "reason": "x" });
    let refused = json!({ "code": "held", "message": "it is held" });
    let away = json!({
        "code": "ledger_stopped", "message": "the ledger stops", "nothing_done": false
    });
    let unread = json!({ "code": "store_failed", "message": "no", "nothing_done": true });
    for (second, is_certain) in [
        (Some((409, refused)), true),
        (Some((500, unread)), true),
        (Some((503, away)), false),
        (Some((504, json!("a proxy waited"))), false),
        (None, false),
    ] {
        let ledger = answering(vec![asked(), second.clone()]);
        let door = Door { ledger, token_file: Some(token.clone()) };
        let said = door.order(&order, Some(&token)).await.unwrap_err().to_string();
        assert_eq!(said.contains("nothing was done"), is_certain, "{second:?}: {said}");
        assert_eq!(said.contains("MAY HAVE BEEN CARRIED OUT"), !is_certain, "{second:?}: {said}");
        assert_eq!(said.contains("orders list"), !is_certain, "{second:?}: {said}");
        assert!(!said.contains("certificate"), "no TLS was spoken: {said}");
    }
}
