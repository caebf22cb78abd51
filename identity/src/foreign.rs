//! Foreign text in messages: escaped to ASCII and cut, so that a token cannot write into logs or
//! terminals.

const MAX_CHARS: usize = 96;

/// At most 96 characters of `text`, all else than printable ASCII escaped; a cut is marked by
/// `...`.
pub(crate) fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_CHARS).flat_map(char::escape_default).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_and_bidi_characters_and_cuts() {
        assert_eq!(shown("a\r\nb\u{202e}\u{1b}[2J"), "a\\r\\nb\\u{202e}\\u{1b}[2J");
        let long = "x".repeat(MAX_CHARS + 1);
        assert_eq!(shown(&long), format!("{}...", "x".repeat(MAX_CHARS)));
        assert_eq!(shown(&"x".repeat(MAX_CHARS)).len(), MAX_CHARS);
    }
}
