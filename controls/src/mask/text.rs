//! Text that has members: JSON in a string, lines of JSON, lines that name a value.

use std::ops::Range;

use super::edit::{self, Edit};
use super::{Counts, message, text_rounds};
use crate::detect::{DetectorSet, is_placeholder};
use crate::json::{Document, Kind, Node};

/// How deep JSON in a string in JSON is followed.
pub(super) const MAX_NESTED: usize = 4;
/// Longest name before a sign of a line that names a value.
const MAX_NAME_BYTES: usize = 64;

/// The text with the values masked that names tell and that patterns find; nothing when there are none.
/// `nested`: how many more times JSON may stand in a string of it.
pub(super) fn pass(
    detectors: &DetectorSet,
    text: &str,
    nested: usize,
    counts: &mut Counts,
) -> Option<String> {
    if detectors.candidates(text).is_empty() && !message::may_hide(text) {
        return None;
    }
    if let Some(masked) = json(detectors, text, nested, counts) {
        return masked.into_changed();
    }
    let mut out = Part::default();
    let mut prose_from = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(masked) = json(detectors, line, nested, counts) {
            out.add(&prose(detectors, &text[prose_from..at], counts));
            out.add(&masked);
            prose_from = at + line.len();
        }
        at += line.len();
    }
    out.add(&prose(detectors, &text[prose_from..], counts));
    out.into_changed()
}

/// A part of a text after masking.
#[derive(Debug, Default)]
struct Part {
    text: String,
    changed: bool,
}

impl Part {
    fn of(text: &str, masked: Option<String>) -> Self {
        let changed = masked.is_some();
        Part { text: masked.unwrap_or_else(|| text.to_owned()), changed }
    }

    fn add(&mut self, other: &Part) {
        self.changed |= other.changed;
        self.text.push_str(&other.text);
    }

    fn into_changed(self) -> Option<String> {
        self.changed.then_some(self.text)
    }
}

/// Masks a text that is a JSON object or array, and leaves it one; nothing when it is not.
fn json(detectors: &DetectorSet, text: &str, nested: usize, counts: &mut Counts) -> Option<Part> {
    let nested = nested.checked_sub(1)?;
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let value = text.trim_start_matches(blank);
    if !value.starts_with(['{', '[']) {
        return None;
    }
    let before = &text[..text.len() - value.len()];
    let value = value.trim_end_matches(blank);
    let after = &text[before.len() + value.len()..];
    let document = Document::parse(value.as_bytes()).ok()?;
    let mut edits = message::inner_edits(detectors, &document, nested, counts);
    let told = (!edits.is_empty()).then(|| edit::apply_to_text(value, &mut edits));
    let masked = in_strings(detectors, told.as_deref().unwrap_or(value), counts).or(told);
    Some(Part::of(text, masked.map(|masked| [before, &masked, after].concat())))
}

/// Masks what patterns find in the strings of JSON when they see it as text, names and all.
fn in_strings(detectors: &DetectorSet, json: &str, counts: &mut Counts) -> Option<String> {
    let hits = detectors.scan(json);
    if hits.is_empty() {
        return None;
    }
    let Ok(document) = Document::parse(json.as_bytes()) else {
        return text_rounds(detectors, json, counts);
    };
    let mut strings = Vec::new();
    string_spans(document.root(), &mut strings);
    let mut edits: Vec<Edit> = Vec::new();
    for hit in hits {
        let next = strings.partition_point(|string| string.end <= hit.span.start);
        let is_inside = strings.get(next).is_some_and(|string| {
            // The quotes stay.
            string.start < hit.span.start && hit.span.end < string.end
        });
        if is_inside {
            counts.add(hit.detector);
            let bytes = detectors.marker(hit.detector).into_bytes();
            edits.push(Edit { span: hit.span, bytes });
        }
    }
    (!edits.is_empty()).then(|| edit::apply_to_text(json, &mut edits))
}

/// Where strings stand, names too, in the order of the document.
fn string_spans(node: Node<'_>, spans: &mut Vec<Range<usize>>) {
    if node.kind() == Kind::String {
        spans.push(node.span());
    }
    for member in node.members() {
        spans.push(member.key_span);
        string_spans(member.value, spans);
    }
    node.elements().for_each(|element| string_spans(element, spans));
}

/// Masks text that is no JSON: lines that name a value, then what patterns find.
fn prose(detectors: &DetectorSet, text: &str, counts: &mut Counts) -> Part {
    let mut edits = Vec::new();
    if detectors.candidates(text).has_field() {
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            assignment(detectors, line, start, counts, &mut edits);
            start += line.len();
        }
    }
    let told = (!edits.is_empty()).then(|| edit::apply_to_text(text, &mut edits));
    let masked = text_rounds(detectors, told.as_deref().unwrap_or(text), counts).or(told);
    Part::of(text, masked)
}

/// Masks the value of a line like `name = value` or `name: value`, when it is one word or quoted.
fn assignment(
    detectors: &DetectorSet,
    line: &str,
    start: usize,
    counts: &mut Counts,
    edits: &mut Vec<Edit>,
) {
    let Some((name, value)) = parts(line) else { return };
    let text = &line[value.clone()];
    let Some(detector) = detectors.field(name) else { return };
    let is_masked = detectors.is_marker(text) || !detectors.scan(text).is_empty();
    if !is_masked && !is_placeholder(text) {
        counts.add(detector);
        let bytes = detectors.marker(detector).into_bytes();
        edits.push(Edit { span: start + value.start..start + value.end, bytes });
    }
}

/// The name of a line, and where its value stands.
fn parts(line: &str) -> Option<(&str, Range<usize>)> {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    let head_end = line.bytes().take(MAX_NAME_BYTES + 16).position(|b| matches!(b, b'=' | b':'))?;
    let head = line[..head_end].trim();
    let head = ["export ", "set ", "- ", "* "]
        .iter()
        .find_map(|start| head.strip_prefix(start))
        .unwrap_or(head);
    let name = head.trim().trim_matches(QUOTES);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_name) {
        return None;
    }
    let tail = &line[head_end..];
    let sign = [":=", "=>", "=", ":"].iter().find(|sign| tail.starts_with(**sign))?;
    let value = tail[sign.len()..].trim_start();
    let mut from = line.len() - value.len();
    let mut value = value.trim_end().trim_end_matches([',', ';']);
    if let Some(quote) = QUOTES.into_iter().find(|quote| value.starts_with(*quote)) {
        value = value[1..].strip_suffix(quote).filter(|inner| !inner.contains(quote))?;
        from += 1;
    } else if value.contains(char::is_whitespace) || value.starts_with(['{', '[', '(', '|', '>']) {
        return None;
    }
    (!value.is_empty()).then(|| (name, from..from + value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_name_a_value_are_told_from_others() {
        let of = |line: &'static str| parts(line).map(|(name, value)| (name, &line[value]));
        for (line, expected) in [
            ("credentials=abcd", Some(("credentials", "abcd"))),
            ("  export API_KEY = 'a b' \n", Some(("API_KEY", "a b"))),
            ("- \"pwd\": \"x\",\r\n", Some(("pwd", "x"))),
            ("a.b-c => d;", Some(("a.b-c", "d"))),
            ("secret: the plan", None),
            ("the secret: x", None),
            ("password:", None),
            ("password: {", None),
            ("no value", None),
            ("x='a'b'", None),
            ("é: x", None),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
