//! How large, how deeply nested and how long a chain a Cedar text may be, decided on its tokens before Cedar reads it:
//! its parser, its checker and its evaluator recurse on all three, and what exhausts a stack ends the process.

use super::policies::PolicyMistake;

/// Largest policy file or schema, in bytes.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Most brackets of all kinds that may be open at once, and most `if`s that may stand in another.
const MAX_NESTING: usize = 32;
/// Most operators of one policy: `&&`, `+`, `==`, `.`, `!`, `in`, `has` and the like.
const MAX_OPERATORS: usize = 256;

/// A bound that a text passes, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    offset: usize,
    message: String,
}

impl Passed {
    pub(super) fn in_file(self, file: Option<usize>) -> PolicyMistake {
        PolicyMistake { file, offset: self.offset, message: self.message }
    }
}

/// May Cedar read this text? What is no Cedar at all is for its parser to say.
pub(super) fn check(text: &str) -> Result<(), Passed> {
    let passed = |offset, message| Err(Passed { offset, message });
    if text.len() > MAX_TEXT_BYTES {
        let size = text.len();
        let message = format!(
            "the file has {size} bytes, at most {MAX_TEXT_BYTES} are accepted: split it into several files"
        );
        return passed(0, message);
    }
    // Brackets that are open, and `if`s of the policy: both are levels to the parser.
    let (mut open, mut ifs, mut operators) = (0_usize, 0_usize, 0_usize);
    for (offset, token) in Tokens::of(text) {
        match token {
            // Ends a policy for Cedar as well, even a broken one.
            ";" => (open, ifs, operators) = (0, 0, 0),
            "[" => (open, operators) = (open + 1, operators + 1),
            "(" | "{" => open += 1,
            ")" | "]" | "}" => open = open.saturating_sub(1),
            "if" => ifs += 1,
            _ if is_operator(token) => operators += 1,
            _ => {}
        }
        if open + ifs > MAX_NESTING {
            let message = format!(
                "the policy nests deeper than {MAX_NESTING} levels (brackets and if): split it into several policies"
            );
            return passed(offset, message);
        }
        if operators > MAX_OPERATORS {
            let message = format!(
                "the policy has more than {MAX_OPERATORS} operators (&&, ||, ==, +, . and the like): split it into \
                 several policies, or ask `in` a set"
            );
            return passed(offset, message);
        }
    }
    Ok(())
}

/// Every mark and word that joins expressions; `,`, `:` and what begins or ends something do not. `[` may be a set or an
/// access; all conditions of a policy are joined as well.
fn is_operator(token: &str) -> bool {
    match token {
        "in" | "has" | "like" | "is" | "when" | "unless" => true,
        _ => token.starts_with(['&', '|', '=', '!', '<', '>', '+', '-', '*', '/', '%', '.']),
    }
}

/// The words and marks of a Cedar text with their byte offsets, without what stands in strings and comments.
struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    fn of(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Length of what begins here, and whether it is a token that counts.
    fn next_part(rest: &str) -> (usize, bool) {
        let bytes = rest.as_bytes();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length_of = |is: &dyn Fn(&u8) -> bool| bytes.iter().take_while(|byte| is(byte)).count();
        match bytes {
            [b'/', b'/', ..] => (length_of(&|byte| !matches!(byte, b'\n' | b'\r')), false),
            [b'"', ..] => (string_length(bytes), false),
            [first, ..] if word(first) => (length_of(&word), true),
            [b'&', b'&', ..] | [b'|', b'|', ..] | [b'=' | b'!' | b'<' | b'>', b'=', ..] => {
                (2, true)
            }
            [first, ..] if first.is_ascii_punctuation() => (1, true),
            _ => (rest.chars().next().map_or(0, char::len_utf8), false),
        }
    }
}

/// With its quotes; an open string reaches to the end, where Cedar's own reader stops too.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

impl<'t> Iterator for Tokens<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
            let (length, counts) = Self::next_part(rest);
            let offset = self.at;
            self.at += length;
            if counts {
                return rest.get(..length).map(|token| (offset, token));
            }
        }
    }
}

#[cfg(test)]
mod tests;
