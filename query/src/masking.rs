//! What callers say is masked before it is recorded: a person who hunts for a leaked key asks with the key itself.

use bytes::Bytes;
use controls::{Snapshot, SnapshotError, SnapshotSource};
use proto::v1::MediaType;

use crate::engine::guard::MAX_SQL_BYTES;

/// Longest part that is recorded of a question without an answer.
const MAX_REFUSED_BYTES: usize = MAX_SQL_BYTES;
/// Longest part that is recorded of a question whose asker has no role for it.
const MAX_DENIED_BYTES: usize = 4 * 1024;

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

    /// As [`question`](Self::question), of one that was not answered: its beginning and its length when it is long,
    /// lest whoever has a token fill the ledger. It is masked before it is cut: half a secret is none that a detector
    /// knows.
    pub(crate) fn refused(&self, media_type: MediaType, question: &Bytes, has_role: bool) -> Bytes {
        let limit_bytes = if has_role { MAX_REFUSED_BYTES } else { MAX_DENIED_BYTES };
        let masked = self.question(media_type, question);
        if masked.len() <= limit_bytes {
            return masked;
        }
        let masked = String::from_utf8_lossy(&masked);
        let beginning = &masked[..masked.floor_char_boundary(limit_bytes)];
        format!("{beginning}\n[cut: {} bytes were asked]", question.len()).into()
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

    #[test]
    fn of_a_long_question_without_an_answer_the_beginning_is_kept() {
        let masking = Masking::start().unwrap();
        for (has_role, limit) in [(true, MAX_REFUSED_BYTES), (false, MAX_DENIED_BYTES)] {
            let whole = Bytes::from("é".repeat(limit / 2));
            assert_eq!(masking.refused(MediaType::Sql, &whole, has_role), whole);
            let long = Bytes::from("é".repeat(limit));
            let kept = masking.refused(MediaType::Sql, &long, has_role);
            let told = format!("{}\n[cut: {} bytes were asked]", "é".repeat(limit / 2), 2 * limit);
            assert_eq!(kept, told);
        }
        // Wherever it is cut, no half of a key is left.
        let key = "AKIAIOSFODNN7EXAMPLE";
        for before in MAX_DENIED_BYTES - 30..MAX_DENIED_BYTES {
            let long = format!("{} {key} {}", "a".repeat(before), "b".repeat(MAX_DENIED_BYTES));
            let kept = masking.refused(MediaType::Sql, &long.into(), false);
            assert!(!String::from_utf8(kept.into()).unwrap().contains("AKIA"), "{before}");
        }
    }
}
