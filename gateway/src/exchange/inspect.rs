//! What a server said: read, classified, masked once for the record and once for the caller.

use bytes::Bytes;
use controls::{Document, JsonError, MaskError, Snapshot};
use proto::v1::{MaskCount, MediaType};

use crate::message::Reply;
use crate::start::Shared;

/// A server's message, ready to be recorded and then released.
pub(super) struct Inspected {
    /// For the caller: exactly as it came, unless something is masked.
    pub(super) release: Bytes,
    /// For the record.
    pub(super) record: Bytes,
    pub(super) media_type: MediaType,
    pub(super) masks: Vec<MaskCount>,
    pub(super) reply: Reply,
    /// Bytes that came.
    pub(super) size_bytes: usize,
}

/// Why a server's message can neither be recorded nor released.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    #[error(transparent)]
    Mask(#[from] MaskError),
    #[error("it is neither JSON nor UTF-8 text")]
    NotText,
    #[error("it is text that becomes JSON once it is masked")]
    Ambiguous,
    #[error("reading it failed inside the gateway")]
    Broken,
}

/// Reads a message that is JSON.
pub(super) async fn json(shared: &Shared, bytes: Bytes) -> Result<Inspected, Unreadable> {
    let (snapshot, size) = (shared.snapshot.clone(), bytes.len());
    let inspect = move || read_json(&snapshot, &bytes);
    let inspected = shared.computers.run(size, inspect).await;
    inspected.unwrap_or(Err(Unreadable::Broken))
}

/// Reads a body that does not call itself JSON. One that could be read as JSON is, whatever it calls itself: names
/// of members tell values that nothing else does.
pub(super) async fn text(shared: &Shared, bytes: Bytes) -> Result<Inspected, Unreadable> {
    let (snapshot, size) = (shared.snapshot.clone(), bytes.len());
    let inspect = move || read_any(&snapshot, bytes);
    let inspected = shared.computers.run(size, inspect).await;
    inspected.unwrap_or(Err(Unreadable::Broken))
}

fn read_json(snapshot: &Snapshot, bytes: &Bytes) -> Result<Inspected, Unreadable> {
    let reply = Reply::of(&Document::parse(bytes)?);
    let record = snapshot.mask_message(bytes)?;
    // The record masks all that is masked for the caller, and more.
    let release = if record.changed { Some(snapshot.mask_for_caller(bytes)?) } else { None };
    let release = release.filter(|masked| masked.changed).map(|masked| masked.bytes);
    Ok(Inspected {
        release: release.unwrap_or_else(|| bytes.clone()),
        record: if record.changed { record.bytes } else { bytes.clone() },
        media_type: MediaType::Json,
        masks: record.counts,
        reply,
        size_bytes: bytes.len(),
    })
}

fn read_any(snapshot: &Snapshot, bytes: Bytes) -> Result<Inspected, Unreadable> {
    let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable::NotText)?;
    if reads_as_json(text) {
        return read_json(snapshot, &bytes);
    }
    let masked = snapshot.mask_text(text);
    if masked.changed && reads_as_json(&masked.text) {
        return Err(Unreadable::Ambiguous);
    }
    let size_bytes = bytes.len();
    let release = if masked.changed { Bytes::from(masked.text) } else { bytes };
    Ok(Inspected {
        record: release.clone(),
        release,
        media_type: MediaType::Text,
        masks: masked.counts,
        reply: Reply::Foreign,
        size_bytes,
    })
}

/// Would some reader take it for JSON? More lenient than [`Document::parse`]: duplicate names, lone surrogates and
/// a byte order mark pass.
fn reads_as_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use controls::{NamedText, SnapshotSource};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
        let permit = NamedText {
            name: "p.cedar".to_owned(),
            text: "permit(principal, action, resource);".to_owned(),
        };
        Snapshot::build(SnapshotSource { policies: vec![permit], ..SnapshotSource::default() })
            .unwrap()
    });

    #[test]
    fn clean_messages_pass_byte_by_byte() {
        let bytes = Bytes::from_static(br#"{ "jsonrpc":"2.0", "id":1 ,"result":{"n":1.50}}"#);
        let inspected = read_json(&SNAPSHOT, &bytes).unwrap();
        assert!(inspected.masks.is_empty());
        assert_eq!((&inspected.release, &inspected.record), (&bytes, &bytes));
    }

    #[test]
    fn caller_and_record_get_masks_but_only_the_caller_an_id() {
        let text = r#"{"jsonrpc":"2.0","id":"ann@example.com","result":{"t":"bob@example.com"}}"#;
        let inspected = read_json(&SNAPSHOT, &Bytes::from_static(text.as_bytes())).unwrap();
        let release = String::from_utf8(inspected.release.to_vec()).unwrap();
        let record = String::from_utf8(inspected.record.to_vec()).unwrap();
        assert!(release.contains("ann@example.com"), "{release}");
        assert!(
            !release.contains("bob@") && !record.contains("@example.com"),
            "{release} {record}"
        );
    }

    #[test]
    fn text_is_masked_and_octets_are_refused() {
        let inspected = read_any(&SNAPSHOT, Bytes::from_static(b"ask bob@example.com")).unwrap();
        assert!(!inspected.release.ends_with(b"example.com"));
        assert!(matches!(
            read_any(&SNAPSHOT, Bytes::from_static(b"\xff")),
            Err(Unreadable::NotText)
        ));
        let twice = Bytes::from_static(br#"{"a":1,"a":2}"#);
        assert!(matches!(read_json(&SNAPSHOT, &twice), Err(Unreadable::Json(_))));
    }

    #[test]
    fn json_is_read_as_json_whatever_it_calls_itself() {
        let secret = Bytes::from_static(br#"{"api_key":"hunter2hunter2"}"#);
        let inspected = read_any(&SNAPSHOT, secret).unwrap();
        assert_eq!(inspected.media_type, MediaType::Json);
        assert_eq!(&inspected.release[..], br#"{"api_key":"[masked:api_key]"}"#);
        assert_eq!(inspected.record, inspected.release);
        let lenient = [
            r#"{"api_key":"x","api_key":"hunter2hunter2"}"#.to_owned(),
            r#"{"api_key":"hunter2hunter2","x":"\ud800"}"#.to_owned(),
            "\u{feff}{\"api_key\":\"hunter2hunter2\"}".to_owned(),
            format!("{}{{\"api_key\":\"hunter2hunter2\"}}{}", "[".repeat(200), "]".repeat(200)),
        ];
        for text in lenient {
            let read = read_any(&SNAPSHOT, Bytes::from(text.clone()));
            assert!(matches!(read, Err(Unreadable::Json(_))), "{text}");
        }
        // A raw line feed is no JSON, until the value that it stands in is masked.
        let becoming = "{\"api_key\":\"hunter2hunter2\",\"k\":\"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\"}";
        let read = read_any(&SNAPSHOT, Bytes::from_static(becoming.as_bytes()));
        assert!(matches!(read, Err(Unreadable::Ambiguous)));
    }

    proptest! {
        /// Whatever type a server gives its answer, what is recorded holds nothing that a verifier finds.
        #[test]
        fn every_answer_leaves_no_residue(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "{", "}", "[", "]", "\"", ",", ":", "\"api_key\":", "\"hunter2hunter2\"", "\n", "\\u0061",
                "ann@example.com", "4111111111111111", "password: hunter2", "\"id\":", "\"result\":{}",
            ]), 0..10),
            is_json: bool,
        ) {
            let bytes = Bytes::from(parts.concat());
            let read = if is_json { read_json(&SNAPSHOT, &bytes) } else { read_any(&SNAPSHOT, bytes) };
            if let Ok(inspected) = read {
                prop_assert_eq!(SNAPSHOT.residue(&inspected.record, inspected.media_type), vec![]);
                prop_assert_eq!(SNAPSHOT.residue(&inspected.record, MediaType::Json), vec![]);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _json = read_json(&SNAPSHOT, &Bytes::from(bytes.clone()));
            let _text = read_any(&SNAPSHOT, Bytes::from(bytes));
        }
    }
}
