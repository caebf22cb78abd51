//! What callers say is masked before it is recorded: a person who hunts for a leaked key asks with the key itself.

use bytes::Bytes;
use controls::{Snapshot, SnapshotError, SnapshotSource};
use proto::v1::MediaType;

/// The detectors that Exhibit ships, whatever a gateway is configured with.
#[derive(Debug, Clone)]
pub(crate) struct Masking(Snapshot);

impl Masking {
    /// Compiles the detectors: once for a node.
    pub(crate) fn start() -> Result<Self, SnapshotError> {
        Snapshot::build(SnapshotSource::default()).map(Self)
    }

    pub(crate) fn text(&self, text: &str) -> String {
        self.0.mask_text(text).text
    }

    /// A question as it is recorded: JSON token by token, all else as text.
    pub(crate) fn question(&self, media_type: MediaType, question: &Bytes) -> Bytes {
        if media_type != MediaType::Sql
            && let Ok(masked) = self.0.mask_message(question)
        {
            return masked.bytes;
        }
        self.text(&String::from_utf8_lossy(question)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_masked_in_every_form_of_question() {
        let masking = Masking::start().unwrap();
        let key = "AKIAIOSFODNN7EXAMPLE";
        let sql = format!("SELECT * FROM events WHERE message LIKE '%{key}%'");
        let escaped = key.replace('A', "\\u0041");
        for (media_type, question) in [
            (MediaType::Sql, sql.clone()),
            (MediaType::Json, format!(r#"{{"custom_queries":[{{"id":"a","sql":"{sql}"}}]}}"#)),
            (MediaType::Octets, format!(r#"{{"from":"{escaped}"}}"#)),
            (MediaType::Octets, format!("{{\"from\": {key}")),
        ] {
            let masked = masking.question(media_type, &question.clone().into());
            let masked = String::from_utf8(masked.into()).unwrap();
            assert!(masked.contains("[masked:api_key]"), "{masked}");
            assert!(!masked.contains(key) && !masked.contains(&escaped), "{masked}");
        }
        let broken = Bytes::from([b"\xff ".as_slice(), key.as_bytes()].concat());
        let masked = masking.question(MediaType::Octets, &broken);
        assert_eq!(masked, "\u{fffd} [masked:api_key]");
        let plain = Bytes::from("SELECT 1");
        assert_eq!(masking.question(MediaType::Sql, &plain), plain);
    }
}
