//! The walk over a message.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::edit::{self, Edit};
use super::{Counts, MAX_ROUNDS, MaskError, Masked, text_rounds};
use crate::detect::{Candidates, DetectorSet, LENIENT_BASE64};
use crate::json::{Document, Kind, Member, Node, write_string};

/// Which members of the protocol keep their value whatever it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// `jsonrpc` and a known `method`: no value of a person's fits in there.
    Envelope,
    /// Also any `id`, and `requestState` of a result: a caller cannot go on without them, byte by byte.
    Protocol,
}

pub(super) fn mask(
    detectors: &DetectorSet,
    message: &[u8],
    keep: Keep,
) -> Result<Masked, MaskError> {
    let mut counts = Counts::default();
    let mut changed: Option<Vec<u8>> = None;
    for _ in 0..MAX_ROUNDS {
        let current = changed.as_deref().unwrap_or(message);
        let document = Document::parse(current)?;
        let mut edits = edits(detectors, &document, keep, &mut counts);
        if edits.is_empty() {
            let was_changed = changed.is_some();
            let bytes = changed.map_or_else(|| Bytes::copy_from_slice(message), Bytes::from);
            let counts = counts.into_mask_counts(detectors);
            return Ok(Masked { bytes, counts, changed: was_changed });
        }
        changed = Some(edit::apply(current, &mut edits));
    }
    Err(MaskError::Unstable)
}

/// The edits that one pass over the message asks for.
pub(super) fn edits(
    detectors: &DetectorSet,
    document: &Document<'_>,
    keep: Keep,
    counts: &mut Counts,
) -> Vec<Edit> {
    let text = document.text();
    let candidates = detectors.candidates(text);
    // Every decoded token is a part of the message's text unless it has escapes or is base64.
    let hidden = text.contains('\\') || text.contains("\"blob\"");
    if candidates.is_empty() && !hidden {
        return Vec::new();
    }
    let mut walk = Walk { detectors, candidates, hidden, keep, edits: Vec::new(), counts };
    let root = document.root();
    match root.kind() {
        // A batch of MCP 2025-03-26: each element is a message.
        Kind::Array => root.elements().for_each(|message| walk.message(message)),
        _ => walk.message(root),
    }
    walk.edits
}

struct Walk<'w> {
    detectors: &'w DetectorSet,
    candidates: Candidates,
    hidden: bool,
    keep: Keep,
    edits: Vec<Edit>,
    counts: &'w mut Counts,
}

/// Where an object stands in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    Result,
    Inner,
}

impl Walk<'_> {
    fn message(&mut self, message: Node<'_>) {
        if message.kind() == Kind::Object {
            self.object(message, Place::Message);
        } else {
            self.value(message, None, false);
        }
    }

    /// `field`: the detector that claims every scalar here by the name they stand under.
    fn value(&mut self, node: Node<'_>, field: Option<usize>, blob: bool) {
        match node.kind() {
            Kind::Object => self.object(node, Place::Inner),
            Kind::Array => node.elements().for_each(|element| self.value(element, field, blob)),
            Kind::String => self.string(node, field, blob),
            Kind::Number => self.number(node, field),
            Kind::Null | Kind::True | Kind::False => {}
        }
    }

    fn object(&mut self, node: Node<'_>, place: Place) {
        let mut renamed: Vec<(Range<usize>, String)> = Vec::new();
        for member in node.members() {
            if let Some(name) = self.text(&member.key) {
                renamed.push((member.key_span.clone(), name));
            }
            let kind = member.value.kind();
            if self.is_kept(place, &member) {
                continue;
            }
            if place == Place::Message && member.key == "result" && kind == Kind::Object {
                self.object(member.value, Place::Result);
                continue;
            }
            let named = self.candidates.has_field() || self.hidden;
            let field = if named { self.detectors.field(&member.key) } else { None };
            self.value(member.value, field, member.key == "blob");
        }
        if !renamed.is_empty() {
            self.rename(node, renamed);
        }
    }

    fn is_kept(&self, place: Place, member: &Member<'_>) -> bool {
        let protocol = self.keep == Keep::Protocol;
        match (place, &*member.key) {
            (Place::Message, "jsonrpc") => member.value.raw() == b"\"2.0\"",
            (Place::Message, "method") => {
                member.value.as_str().is_some_and(|name| proto::names::is_known_method(&name))
            }
            (Place::Message, "id") => protocol,
            (Place::Result, "requestState") => protocol,
            _ => false,
        }
    }

    /// Writes masked member names so that no two names of the object become equal.
    fn rename(&mut self, object: Node<'_>, renamed: Vec<(Range<usize>, String)>) {
        let masked: BTreeSet<usize> = renamed.iter().map(|(span, _)| span.start).collect();
        let mut taken: BTreeSet<String> = object
            .members()
            .filter(|member| !masked.contains(&member.key_span.start))
            .map(|member| member.key.into_owned())
            .collect();
        let mut next_suffix: BTreeMap<String, usize> = BTreeMap::new();
        for (span, name) in renamed {
            let mut unique = name.clone();
            while !taken.insert(unique.clone()) {
                let suffix = next_suffix.entry(name.clone()).or_insert(1);
                *suffix += 1;
                unique = format!("{name}_{suffix}");
            }
            self.write(span, &unique);
        }
    }

    fn string(&mut self, node: Node<'_>, field: Option<usize>, blob: bool) {
        let Some(text) = node.as_str() else { return };
        if let Some(detector) = field {
            if !text.is_empty() && !self.detectors.is_marker(&text) {
                self.counts.add(detector);
                self.write(node.span(), &self.detectors.marker(detector));
            }
            return;
        }
        let masked = if blob { self.blob(&text) } else { None };
        if let Some(masked) = masked.or_else(|| self.text(&text)) {
            self.write(node.span(), &masked);
        }
    }

    /// The text that base64 encodes, masked and encoded again.
    fn blob(&mut self, encoded: &str) -> Option<String> {
        let decoded = LENIENT_BASE64.decode(encoded).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let masked = text_rounds(self.detectors, &text, self.counts)?;
        Some(STANDARD.encode(masked))
    }

    fn text(&mut self, text: &str) -> Option<String> {
        if self.candidates.no_pattern() && !self.hidden {
            return None;
        }
        text_rounds(self.detectors, text, self.counts)
    }

    fn number(&mut self, node: Node<'_>, field: Option<usize>) {
        let raw = node.raw_str();
        if raw == "0" {
            return;
        }
        let found = field.or_else(|| self.detectors.scan(raw).first().map(|hit| hit.detector));
        if let Some(detector) = found {
            self.counts.add(detector);
            self.edits.push(Edit { span: node.span(), bytes: b"0".to_vec() });
        }
    }

    fn write(&mut self, span: Range<usize>, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 2);
        write_string(&mut bytes, text);
        self.edits.push(Edit { span, bytes });
    }
}
