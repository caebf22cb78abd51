//! Foreign text on a terminal.

use std::borrow::Cow;

/// `text` as a terminal may be given it.
///
/// What a terminal would obey instead of showing it, and what shows as nothing or moves its neighbours, is escaped as
/// `\u{…}`: control characters (C0, DEL, C1; so line ends, too), bidi controls, zero-width characters, and the line and
/// paragraph separators. All else stays as it is.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_hidden(char) {
            escaped.extend(char.escape_unicode());
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_or_hide_is_escaped() {
        let hidden = (0..=0x1f)
            .chain(0x7f..=0x9f)
            .chain([0x61c])
            .chain(0x200b..=0x200f)
            .chain(0x2028..=0x202e)
            .chain([0x2060])
            .chain(0x2066..=0x2069)
            .chain([0xfeff]);
        for code in hidden {
            let char = char::from_u32(code).unwrap();
            assert_eq!(shown(&format!("a{char}b")), format!("a\\u{{{code:x}}}b"));
        }
        assert_eq!(shown("\u{1b}[2J\n"), "\\u{1b}[2J\\u{a}");
    }

    #[test]
    fn other_text_is_left_as_it_is() {
        for text in ["", "plain", "Grüße, 世界 🦀 \\u{1b}", "a\u{a0}b", "\u{e9}"] {
            assert!(matches!(shown(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }
}
