//! Texts on their way to a person that may hold a signing key: pasted where a vkey belongs, or a file that was taken for
//! another.

use std::borrow::Cow;

/// How the lines begin that hold a key: as it is, and under a passphrase, which can be guessed.
const FIRST_WORDS: [&str; 2] = ["PRIVATE+KEY+", "ENCRYPTED+KEY+"];
/// What is shown of them.
const HIDDEN: &str = "(a signing key, not shown)";

/// The text with every signing key in it left out: from `PRIVATE+KEY+` or `ENCRYPTED+KEY+` up to the next white space.
/// Every message that repeats what it was given passes here.
#[must_use]
pub fn without_keys(text: &str) -> Cow<'_, str> {
    if !holds_key(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for piece in text.split_inclusive(char::is_whitespace) {
        let Some(start) = FIRST_WORDS.iter().filter_map(|word| key_in(piece, word)).min() else {
            shown.push_str(piece);
            continue;
        };
        let (before, key) = piece.split_at(start);
        shown.push_str(before);
        shown.push_str(HIDDEN);
        // The white space behind it.
        shown.push_str(&key[key.trim_end().len()..]);
    }
    Cow::Owned(shown)
}

/// Where a key begins in a word of a text; not where its first word stands alone, as explanations have it.
fn key_in(piece: &str, first_word: &str) -> Option<usize> {
    let start = piece.find(first_word)?;
    let rest = &piece[start + first_word.len()..];
    rest.contains(char::is_alphanumeric).then_some(start)
}

/// Whether a signing key stands in the text, as far as its first words tell.
pub(crate) fn holds_key(text: &str) -> bool {
    FIRST_WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn no_part_of_a_key_is_shown() {
        let key =
            SigningKey::from_seed("log.example", [1; 32]).unwrap().encode().as_str().to_owned();
        let secret = key.rsplit_once('+').unwrap().1;
        for text in [
            key.clone(),
            format!("{key:?} is no vkey"),
            format!("dir/{key}: no such file\nand {key}\n"),
            format!("recorder={key},{key}"),
            key.replace("PRIVATE", "ENCRYPTED"),
            // A name of another tool's, with whatever may stand in one.
            key.replace("log.example", "a,\"b\"'c'"),
        ] {
            let shown = without_keys(&text);
            assert!(!shown.contains(secret) && shown.contains(HIDDEN), "{shown}");
        }
        let shown = format!("a {key:?} is no vkey\n{key}\nb");
        let hidden = format!("a \"{HIDDEN} is no vkey\n{HIDDEN}\nb");
        assert_eq!(without_keys(&shown), hidden);
    }

    /// Break it: let `key_in` be `piece.find(first_word)`.
    #[test]
    fn an_explanation_of_how_keys_begin_stays() {
        let told = "a signing key has `PRIVATE+KEY+` before it, or `ENCRYPTED+KEY+`";
        assert_eq!(without_keys(told), told);
        let key = SigningKey::from_seed("log.example", [1; 32]).unwrap().encode();
        let both = format!("{told}: {}", key.as_str());
        assert_eq!(without_keys(&both), format!("{told}: {HIDDEN}"));
    }

    #[test]
    fn everything_else_stays() {
        let vkey = SigningKey::from_seed("log.example", [1; 32]).unwrap().verifying_key();
        for text in ["", "private key", "PRIVATE KEY", &vkey.to_string(), "two\n  lines\n"] {
            assert!(matches!(without_keys(text), Cow::Borrowed(same) if same == text));
        }
    }
}
