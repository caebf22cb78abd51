//! Replaces what detectors find, and nothing else.
//!
//! One uniform walk over every string, member name and number of a JSON message. Detection runs on decoded
//! text; the message is changed by byte ranges, so a token without a finding keeps exactly the bytes it came
//! with. A found span becomes `[masked:<detector>]`, a found number becomes `0`, a masked member name that
//! would equal another gets a suffix `_2`, `_3`, …, or that number before it (`2_`) where a detector would take the
//! suffix for a part of a value.
//!
//! A string that is JSON itself, or has lines that are, is walked likewise and stays JSON; a line that names a
//! value (`name = value`) is a member. The base64 of a resource (`blob`) and of content with a media type
//! (`data`) is searched as what it encodes, and withheld when it cannot be decoded. Not searched: pictures,
//! sound, video and fonts, unless their bytes are text; what is compressed or encrypted.
//!
//! What masking leaves holds nothing that detectors find: it repeats until that is so, and gives up with an
//! error rather than return anything else.

mod blob;
mod edit;
mod message;
mod number;
mod split;
mod text;

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::v1::MaskCount;

use crate::detect::DetectorSet;
use crate::json::{Document, JsonError};

use message::Keep;

/// The rules of this module, as they stand in a snapshot. What detectors find is data; where they are made to look
/// is code, and this counts its changes: a later build that looks in more places may find in an older record what
/// the build that made it could not.
pub const RULES: &str = "exhibit-masking 1";

/// How often a text or message is searched again after a change, before the last resort.
const MAX_ROUNDS: usize = 8;

/// A message after masking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The message: equal to the input when `changed` is false.
    pub bytes: Bytes,
    /// How often each detector changed the message, sorted by its id.
    pub counts: Vec<MaskCount>,
    /// Was anything replaced?
    pub changed: bool,
}

/// A text after masking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedText {
    /// The text: equal to the input when `changed` is false.
    pub text: String,
    /// How often each detector changed the text, sorted by its id.
    pub counts: Vec<MaskCount>,
    /// Was anything replaced?
    pub changed: bool,
}

/// Why a message could not be masked. It must not be recorded or passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The message is not the JSON that Exhibit accepts.
    #[error("the message cannot be masked because it is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// Detectors keep finding something in what masking leaves.
    #[error("the message cannot be masked: detectors still find values after {MAX_ROUNDS} rounds")]
    Unstable,
}

/// Findings per detector.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<usize, u32>);

impl Counts {
    fn add(&mut self, detector: usize) {
        let count = self.0.entry(detector).or_default();
        *count = count.saturating_add(1);
    }

    fn into_mask_counts(self, detectors: &DetectorSet) -> Vec<MaskCount> {
        let mut counts: Vec<MaskCount> = self
            .0
            .into_iter()
            .map(|(detector, count)| MaskCount { rule: detectors.id(detector).to_owned(), count })
            .collect();
        counts.sort_by(|a, b| a.rule.cmp(&b.rule));
        counts
    }
}

/// Masks a message for the record.
pub(crate) fn for_record(detectors: &DetectorSet, message: &[u8]) -> Result<Masked, MaskError> {
    message::mask(detectors, message, Keep::Envelope)
}

/// Masks a message for the caller it goes to.
pub(crate) fn for_caller(detectors: &DetectorSet, message: &[u8]) -> Result<Masked, MaskError> {
    message::mask(detectors, message, Keep::Protocol)
}

/// Masks a text that is not a message.
pub(crate) fn plain(detectors: &DetectorSet, text: &str) -> MaskedText {
    let mut counts = Counts::default();
    let masked = plain_rounds(detectors, text, &mut counts);
    MaskedText {
        changed: masked.is_some(),
        text: masked.unwrap_or_else(|| text.to_owned()),
        counts: counts.into_mask_counts(detectors),
    }
}

/// Masks a text until nothing is found; one that never settles becomes one marker.
fn plain_rounds(detectors: &DetectorSet, text: &str, counts: &mut Counts) -> Option<String> {
    let mut current = text::pass(detectors, text, text::MAX_NESTED, counts)?;
    for _ in 0..MAX_ROUNDS {
        match text::pass(detectors, &current, text::MAX_NESTED, counts) {
            Some(next) => current = next,
            None => return Some(current),
        }
    }
    let last = counts.0.keys().next_back().copied().unwrap_or_default();
    Some(detectors.marker(last))
}

/// What detectors find in bytes: in the tokens of a message, or in the text when it is not one.
pub(crate) fn findings(detectors: &DetectorSet, bytes: &[u8]) -> Vec<MaskCount> {
    let Ok(document) = Document::parse(bytes) else { return text_findings(detectors, bytes) };
    let mut counts = Counts::default();
    message::edits(detectors, &document, Keep::Envelope, &mut counts);
    counts.into_mask_counts(detectors)
}

/// What detectors find in bytes that are no message.
pub(crate) fn text_findings(detectors: &DetectorSet, bytes: &[u8]) -> Vec<MaskCount> {
    let mut counts = Counts::default();
    let text = String::from_utf8_lossy(bytes);
    let _ = text::pass(detectors, &text, text::MAX_NESTED, &mut counts);
    counts.into_mask_counts(detectors)
}

/// The masked text, or nothing when detectors find nothing. A new match can arise where replaced spans meet
/// their surroundings, so the search repeats; a text that never settles is replaced whole.
pub(crate) fn text_rounds(
    detectors: &DetectorSet,
    text: &str,
    counts: &mut Counts,
) -> Option<String> {
    let mut hits = detectors.scan(text);
    if hits.is_empty() {
        return None;
    }
    let mut current = text.to_owned();
    for _ in 0..MAX_ROUNDS {
        let mut masked = String::with_capacity(current.len());
        let mut from = 0;
        for hit in &hits {
            masked.push_str(&current[from..hit.span.start]);
            masked.push_str(&detectors.marker(hit.detector));
            from = hit.span.end;
            counts.add(hit.detector);
        }
        masked.push_str(&current[from..]);
        current = masked;
        hits = detectors.scan(&current);
        if hits.is_empty() {
            return Some(current);
        }
    }
    Some(detectors.marker(hits[0].detector))
}

#[cfg(test)]
mod tests;
