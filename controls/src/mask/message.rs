//! The walk over a message.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;

use super::blob::{self, Encoded};
use super::edit::{self, Edit};
use super::text::{self, MAX_NESTED};
use super::{Counts, MAX_ROUNDS, MaskError, Masked, number, split};
use crate::detect::{Candidates, DetectorSet};
use crate::json::{Document, Kind, Member, Node, write_string};

/// Longest text of a member that can name the value beside it.
const MAX_NAME_BYTES: usize = 128;

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
    let Some(mut walk) = Walk::of(detectors, document, MAX_NESTED, counts) else {
        return Vec::new();
    };
    walk.keep = keep;
    let root = document.root();
    match root.kind() {
        // A batch of MCP 2025-03-26: each element is a message.
        Kind::Array => root.elements().for_each(|message| walk.message(message)),
        _ => walk.message(root),
    }
    walk.edits
}

/// The edits in JSON that stands in a text.
pub(super) fn inner_edits(
    detectors: &DetectorSet,
    document: &Document<'_>,
    nested: usize,
    counts: &mut Counts,
) -> Vec<Edit> {
    let Some(mut walk) = Walk::of(detectors, document, nested, counts) else {
        return Vec::new();
    };
    walk.value(document.root(), None);
    walk.edits
}

/// May values stand in a JSON text that it does not show? Every decoded token is a part of the text unless it
/// has escapes, is base64, or goes on in another.
pub(super) fn may_hide(text: &str) -> bool {
    text.contains('\\')
        || text.contains("\"blob\"")
        || text.contains("\"data\"")
        || text.match_indices("\"text\"").nth(1).is_some()
}

struct Walk<'w> {
    detectors: &'w DetectorSet,
    candidates: Candidates,
    /// See [`may_hide`].
    hidden: bool,
    keep: Keep,
    /// How many more times JSON in a string is followed.
    nested: usize,
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

impl<'w> Walk<'w> {
    /// Nothing when the document cannot hold a value.
    fn of(
        detectors: &'w DetectorSet,
        document: &Document<'_>,
        nested: usize,
        counts: &'w mut Counts,
    ) -> Option<Self> {
        let text = document.text();
        let candidates = detectors.candidates(text);
        let hidden = may_hide(text);
        let walk = Walk {
            detectors,
            candidates,
            hidden,
            keep: Keep::Envelope,
            nested,
            edits: Vec::new(),
            counts,
        };
        (hidden || !walk.candidates.is_empty()).then_some(walk)
    }

    fn message(&mut self, message: Node<'_>) {
        if message.kind() == Kind::Object {
            self.object(message, None, Place::Message);
        } else {
            self.value(message, None);
        }
    }

    /// `field`: the detector that claims every scalar here by the name they stand under.
    fn value(&mut self, node: Node<'_>, field: Option<usize>) {
        match node.kind() {
            Kind::Object => self.object(node, field, Place::Inner),
            Kind::Array => self.array(node, field),
            Kind::String => self.string(node, field),
            Kind::Number => self.number(node, field),
            Kind::Null | Kind::True | Kind::False => {}
        }
    }

    fn array(&mut self, node: Node<'_>, field: Option<usize>) {
        let before = self.edits.len();
        node.elements().for_each(|element| self.value(element, field));
        // What is split over texts is searched once they hold nothing by themselves.
        if self.edits.len() > before {
            return;
        }
        for part in split::parts(self.detectors, &split::texts(node)) {
            let Some(text) = part.node.as_str() else { continue };
            let marker = self.detectors.marker(part.detector);
            let masked = [&text[..part.span.start], &marker, &text[part.span.end..]].concat();
            self.counts.add(part.detector);
            self.write(part.node.span(), &masked);
        }
    }

    fn object(&mut self, node: Node<'_>, field: Option<usize>, place: Place) {
        let mut renamed: Vec<(Range<usize>, String)> = Vec::new();
        let named = self.candidates.has_field() || self.hidden;
        let entry = if named { self.entry(node) } else { None };
        for member in node.members() {
            if let Some(name) = self.text(&member.key) {
                renamed.push((member.key_span.clone(), name));
            }
            let kind = member.value.kind();
            if self.is_kept(place, &member) {
                continue;
            }
            if place == Place::Message && member.key == "result" && kind == Kind::Object {
                self.object(member.value, None, Place::Result);
                continue;
            }
            let by_name = if named { self.detectors.field(&member.key) } else { None };
            // `{"password":{"value":…}}` and `{"name":"password","value":…}`.
            let claim = by_name.or_else(|| field.or(entry).filter(|_| is_value_name(&member.key)));
            match Encoded::of(node, &member.key).filter(|_| kind == Kind::String && claim.is_none())
            {
                Some(encoded) => self.encoded(member.value, encoded),
                None => self.value(member.value, claim),
            }
        }
        if !renamed.is_empty() {
            self.rename(node, renamed);
        }
    }

    /// The detector that claims the value of an object which names it in a member of its own.
    fn entry(&self, object: Node<'_>) -> Option<usize> {
        let names = object.members().filter(|member| {
            matches!(
                &*member.key.to_ascii_lowercase(),
                "name" | "key" | "field" | "variable" | "header"
            )
        });
        let texts = names.filter_map(|member| member.value.as_str());
        texts
            .filter(|text| text.len() <= MAX_NAME_BYTES)
            .find_map(|text| self.detectors.field(&text))
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
                // Behind some names it is taken for a part of the value.
                if !self.is_settled(&unique) {
                    unique = format!("{suffix}_{name}");
                }
            }
            self.write(span, &unique);
        }
    }

    fn string(&mut self, node: Node<'_>, field: Option<usize>) {
        let Some(text) = node.as_str() else { return };
        if let Some(detector) = field {
            if !text.is_empty() && !self.detectors.is_marker(&text) {
                self.counts.add(detector);
                self.write(node.span(), &self.detectors.marker(detector));
            }
            return;
        }
        if let Some(masked) = self.text(&text) {
            self.write(node.span(), &masked);
        }
    }

    /// A string in base64: the text that it encodes is masked and encoded again.
    fn encoded(&mut self, node: Node<'_>, encoded: Encoded) {
        let Some(text) = node.as_str() else { return };
        let masked = match blob::decode(&text) {
            Some(bytes) => blob::masked(&bytes, encoded, |text| self.text(text)),
            None if encoded == Encoded::Content => self.detectors.opaque().map(|detector| {
                self.counts.add(detector);
                self.detectors.marker(detector).into_bytes()
            }),
            None => None,
        };
        match masked {
            Some(masked) => self.write(node.span(), &blob::encode(&masked)),
            None => self.string(node, None),
        }
    }

    fn text(&mut self, text: &str) -> Option<String> {
        if self.candidates.is_empty() && !self.hidden {
            return None;
        }
        text::pass(self.detectors, text, self.nested, self.counts)
    }

    /// Masking leaves this text as it is.
    fn is_settled(&self, text: &str) -> bool {
        text::pass(self.detectors, text, self.nested, &mut Counts::default()).is_none()
    }

    fn number(&mut self, node: Node<'_>, field: Option<usize>) {
        let raw = node.raw_str();
        if raw == "0" {
            return;
        }
        let found = |text: &str| self.detectors.scan(text).first().map(|hit| hit.detector);
        let found = field.or_else(|| found(raw)).or_else(|| found(&number::written_out(raw)?));
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

/// Members that hold the value of what the object around them is named by; the others describe it.
fn is_value_name(name: &str) -> bool {
    const VALUES: [&str; 15] = [
        "value",
        "values",
        "val",
        "plaintext",
        "cleartext",
        "plain",
        "raw",
        "secret",
        "data",
        "string",
        "stringvalue",
        "text",
        "content",
        "current",
        "previous",
    ];
    let name: String = name.chars().filter(|c| !matches!(c, '_' | '-' | '$')).collect();
    VALUES.contains(&name.to_ascii_lowercase().as_str())
}
