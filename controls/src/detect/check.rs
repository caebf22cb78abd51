//! What an expression cannot say: checksums, number ranges, entropy, decodable headers.

use std::ops::{Range, RangeInclusive};

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::json::Document;

/// A further condition on what an expression matched.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Check {
    /// None: the match is the value.
    None,
    /// Payment card numbers within a run of digits: number range of an issuer, length, Luhn (ISO/IEC 7812-1).
    Luhn,
    /// Nine digits that the Social Security Administration can have issued (POMS RM 10201.035).
    Ssn,
    /// Base64url parts whose first decodes to a JOSE header with `alg` (RFC 7515).
    Jwt,
    /// Base64 of `user:password` (RFC 7617).
    Basic,
    /// A mail address, not a file name at twice the resolution or the user part of a URL.
    Email,
    /// A value, not a placeholder, a type name or a reference to a value.
    Secret,
    /// Enough Shannon entropy to be random.
    Entropy {
        /// Least entropy in bits per character; letters alone need half a bit more.
        min_bits_per_char: f64,
        /// Least length in characters.
        min_len: usize,
    },
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
pub(crate) const LENIENT_BASE64: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

impl Check {
    /// Reports the parts of `span` that pass; all of it or nothing, except for card numbers in a run.
    pub(super) fn spans(
        &self,
        text: &str,
        span: Range<usize>,
        claim: &mut dyn FnMut(Range<usize>),
    ) {
        let value = &text[span.clone()];
        let passes = match self {
            Check::None => true,
            Check::Luhn => return cards(text, span, claim),
            Check::Ssn => stands_alone(text, &span) && is_ssn(value),
            Check::Jwt => is_jose(value),
            Check::Basic => is_basic(value),
            Check::Email => is_mail(text, &span),
            Check::Secret => is_secret(text, &span),
            Check::Entropy { min_bits_per_char, min_len } => {
                is_random(value, *min_bits_per_char, *min_len)
            }
        };
        if passes {
            claim(span);
        }
    }
}

/// No digit, letter, sign or decimal part clings to the span, as it would in an identifier or a longer number.
fn stands_alone(text: &str, span: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let before = |back: usize| span.start.checked_sub(back).map(|at| bytes[at]);
    let after = |ahead: usize| bytes.get(span.end + ahead).copied();
    let clings = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let digit = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_digit());
    // A backslash before an `n`, `r` or `t` is an escaped line end of a quoted text, not part of a word.
    let escaped = matches!(before(1), Some(b'n' | b'r' | b't')) && before(2) == Some(b'\\');
    let dash_before = matches!(before(1), Some(b'-' | b'.')) && clings(before(2));
    let dash_after = after(0) == Some(b'-') && clings(after(1));
    let fraction = after(0) == Some(b'.') && digit(after(1));
    (escaped || !clings(before(1)))
        && before(1) != Some(b'+')
        && !dash_before
        && !dash_after
        && !fraction
        && !clings(after(0))
}

/// Finds card numbers in a run of digits with single separators: whole groups only, longest first, so that a
/// quantity before or a check value after the number hides nothing.
fn cards(text: &str, run: Range<usize>, claim: &mut dyn FnMut(Range<usize>)) {
    if !stands_alone(text, &run) {
        return;
    }
    let bytes = text.as_bytes();
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in run {
        if !bytes[at].is_ascii_digit() {
            continue;
        }
        match groups.last_mut() {
            Some(group) if group.end == at => group.end = at + 1,
            _ => groups.push(at..at + 1),
        }
    }
    let mut first = 0;
    while first < groups.len() {
        let mut digits: Vec<u8> = Vec::with_capacity(20);
        let mut found = None;
        for (last, group) in groups.iter().enumerate().skip(first) {
            if digits.len() + group.len() > 19 {
                break;
            }
            digits.extend(bytes[group.clone()].iter().map(|byte| byte - b'0'));
            if is_card(&digits) {
                found = Some(last);
            }
        }
        if let Some(last) = found {
            claim(groups[first].start..groups[last].end);
            first = last;
        }
        first += 1;
    }
}

/// Number ranges of the card schemes: digits of the prefix, the prefixes, the lengths of numbers.
const ISSUERS: [(usize, RangeInclusive<u32>, RangeInclusive<usize>); 23] = [
    (1, 4..=4, 13..=13), // Visa
    (1, 4..=4, 16..=16),
    (1, 4..=4, 19..=19),
    (2, 51..=55, 16..=16), // Mastercard
    (4, 2221..=2720, 16..=16),
    (2, 34..=34, 15..=15), // American Express
    (2, 37..=37, 15..=15),
    (3, 300..=305, 14..=19), // Diners Club
    (3, 309..=309, 14..=19),
    (2, 36..=36, 14..=19),
    (2, 38..=39, 14..=19),
    (4, 6011..=6011, 16..=19), // Discover
    (3, 644..=649, 16..=19),
    (2, 65..=65, 16..=19),
    (4, 3528..=3589, 16..=19), // JCB
    (2, 62..=62, 16..=19),     // UnionPay
    (2, 81..=81, 16..=19),     // RuPay, UnionPay
    (2, 50..=50, 13..=19),     // Maestro
    (2, 56..=58, 13..=19),
    (2, 60..=60, 13..=19),
    (2, 63..=63, 13..=19),
    (2, 67..=67, 13..=19),
    (4, 2200..=2204, 16..=19), // Mir
];

fn is_card(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let prefix = |length: usize| digits[..length].iter().fold(0, |n, d| n * 10 + u32::from(*d));
    let issued = ISSUERS.iter().any(|(prefix_len, prefixes, lengths)| {
        lengths.contains(&digits.len()) && prefixes.contains(&prefix(*prefix_len))
    });
    let repeated = digits.iter().all(|digit| *digit == digits[0]);
    issued && !repeated && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit) * 2) {
            (0, doubled) => doubled / 2,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn is_ssn(value: &str) -> bool {
    let digits: Vec<u32> = value.chars().filter_map(|character| character.to_digit(10)).collect();
    let number = |part: &[u32]| part.iter().fold(0, |n, digit| n * 10 + digit);
    digits.len() == 9
        && !matches!(number(&digits[..3]), 0 | 666 | 900..)
        && number(&digits[3..5]) != 0
        && number(&digits[5..]) != 0
}

fn is_jose(value: &str) -> bool {
    let header = value.split('.').next().unwrap_or_default();
    let Ok(header) = BASE64_URL.decode(header) else { return false };
    Document::parse(&header).is_ok_and(|document| document.root().get("alg").is_some())
}

fn is_basic(value: &str) -> bool {
    LENIENT_BASE64.decode(value).is_ok_and(|pair| {
        std::str::from_utf8(&pair)
            .is_ok_and(|pair| pair.contains(':') && !pair.chars().any(char::is_control))
    })
}

fn is_mail(text: &str, span: &Range<usize>) -> bool {
    const FILE_ENDINGS: [&str; 14] = [
        "png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "ico", "css", "js", "mjs", "json",
        "html", "bmp",
    ];
    let value = &text[span.clone()];
    let ending = value.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let remote = value.starts_with("git@") && text[span.end..].starts_with([':', '/']);
    // `scheme://user:secret@host`: the password detector masks the secret and leaves the host.
    let head = &text[..span.start];
    let user_part = head.ends_with([':', '/']) && follows_scheme(head);
    !FILE_ENDINGS.contains(&ending.as_str()) && !remote && !user_part
}

/// Is there a `://` in the last word of the text, not far from its end?
fn follows_scheme(text: &str) -> bool {
    const MAX_USER_BYTES: usize = 1024;
    let from = text.ceil_char_boundary(text.len().saturating_sub(MAX_USER_BYTES));
    let end = &text[from..];
    let word = end.rsplit(char::is_whitespace).next().unwrap_or_default();
    word.contains("://")
}

/// Is the whole text a type, a null or a reference, and no value?
pub(crate) fn is_placeholder(text: &str) -> bool {
    !is_secret(text, &(0..text.len()))
}

/// Masks in doubt: only what names no value (a type, a null, a reference, a call) passes unmasked.
fn is_secret(text: &str, span: &Range<usize>) -> bool {
    const NOT_VALUES: [&str; 22] = [
        "null",
        "none",
        "nil",
        "true",
        "false",
        "undefined",
        "string",
        "str",
        "&str",
        "option",
        "varchar",
        "number",
        "int",
        "integer",
        "boolean",
        "bool",
        "required",
        "optional",
        "redacted",
        "getpass",
        "bytes",
        "secretstr",
    ];
    let word = text[span.clone()].trim_matches(['"', '\'', '\\', '.', '!']);
    let head = word.split(['(', '<', '[', '?']).next().unwrap_or_default();
    let name = |part: &str| {
        part.len() > 1
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
    };
    let shell_name = |part: &str| {
        part.len() > 1
            && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let reference = word.starts_with("${")
        || word.starts_with("{{")
        || word.strip_prefix('$').is_some_and(shell_name)
        || (word.starts_with('<') && word.ends_with('>'))
        || ["process.env", "os.environ", "env."].iter().any(|start| word.starts_with(start));
    let call = text[span.end..].starts_with('(') && name(word);
    // Dots and stars of a form, or `xxx`; one `x` may be a password, one sign is syntax.
    let stars =
        word.chars().all(|character| "*xX•.-_".contains(character)) && word.chars().count() > 2;
    let sign =
        word.len() == 1 && word.starts_with(|character: char| character.is_ascii_punctuation());
    !word.is_empty()
        && !reference
        && !call
        && !stars
        && !sign
        && !NOT_VALUES.contains(&head.to_ascii_lowercase().as_str())
}

fn is_random(value: &str, min_bits_per_char: f64, min_len: usize) -> bool {
    if value.len() < min_len {
        return false;
    }
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let least = if has_digit { min_bits_per_char } else { min_bits_per_char + 0.5 };
    entropy(value.as_bytes()) >= least
}

/// Shannon entropy in bits per byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let total = bytes.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|&count| f64::from(count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_of_known_numbers() {
        let digits = |text: &str| text.bytes().map(|byte| byte - b'0').collect::<Vec<_>>();
        for good in [
            "4111111111111111",
            "5555555555554444",
            "378282246310005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "4222222222222",
            "2223003122003222",
            "6200000000000005",
        ] {
            assert!(is_card(&digits(good)), "{good}");
        }
        for bad in ["4111111111111112", "1111111111111117", "411111111111", "0000000000000000"] {
            assert!(!is_card(&digits(bad)), "{bad}");
        }
    }

    #[test]
    fn entropy_is_shannons() {
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-12);
        assert!(entropy(b"aaaa").abs() < 1e-12);
        assert!(!is_random("your_api_key_here", 3.0, 16));
        assert!(is_random("9f86d081884c7d659a2f", 3.0, 16));
    }
}
