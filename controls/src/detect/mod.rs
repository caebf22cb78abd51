//! Detectors: which spans of a text, and which named fields, hold a value that may not be recorded.
//!
//! A detector is data (see `schemas/detectors/default.toml`): patterns that run over every text, and
//! fields whose whole value is sensitive by its name. A prefilter reads each text once for the literals and
//! digits that a pattern cannot do without, so that clean text meets no regular expression.

mod check;
mod load;
mod markers;
mod prefilter;

use std::ops::Range;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexSet};

use check::Check;
pub(crate) use check::{LENIENT_BASE64, is_placeholder};
use markers::Markers;
use prefilter::Prefilter;

pub(crate) use load::Mistake;
pub(crate) use prefilter::Candidates;

/// The detectors that Exhibit ships.
pub const DEFAULT_DETECTORS: &str = include_str!("../../../schemas/detectors/default.toml");

/// Start of the text that stands for a masked value: `[masked:<detector id>]`.
const MARKER_START: &str = "[masked:";

/// Id of the detector that no data describes: it claims what cannot be searched.
const OPAQUE: &str = "opaque";

fn marker_of(id: &str) -> String {
    format!("{MARKER_START}{id}]")
}

/// Compiled detectors, in the order of their data.
#[derive(Debug)]
pub(crate) struct DetectorSet {
    detectors: Vec<Detector>,
    patterns: Vec<Pattern>,
    /// Detector of each expression of `field_names`.
    field_detectors: Vec<usize>,
    field_names: RegexSet,
    prefilter: Prefilter,
    /// Finds the markers of all detectors.
    marker_texts: AhoCorasick,
    /// The detector that stands for what cannot be searched, when it is in use.
    opaque: Option<usize>,
}

/// What a detector is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detector {
    /// Id: the label of facts, the rule of mask counts, the name in the replacement text.
    pub id: String,
    /// What it finds, for a reader.
    pub title: String,
}

#[derive(Debug)]
struct Pattern {
    detector: usize,
    regex: Regex,
    /// Capture group that is masked; 0 is the whole match.
    group: usize,
    check: Check,
}

/// A span of a text that a detector claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) span: Range<usize>,
    pub(crate) detector: usize,
}

impl DetectorSet {
    /// Compiles detector data, leaving out the detectors named in `disabled`.
    ///
    /// # Errors
    /// Every mistake, with its byte offset in `toml`.
    pub(crate) fn load(toml: &str, disabled: &[String]) -> Result<Self, Vec<Mistake>> {
        load::load(toml, disabled)
    }

    /// Every detector of the data, disabled ones included.
    pub(crate) fn detectors(&self) -> &[Detector] {
        &self.detectors
    }

    /// The text that stands for a value that `detector` masked.
    pub(crate) fn marker(&self, detector: usize) -> String {
        marker_of(&self.detectors[detector].id)
    }

    /// The detector under which a value is withheld that cannot be searched.
    pub(crate) fn opaque(&self) -> Option<usize> {
        self.opaque
    }

    pub(crate) fn id(&self, detector: usize) -> &str {
        &self.detectors[detector].id
    }

    /// What `text`, or any text that is a part of it, may contain.
    pub(crate) fn candidates(&self, text: &str) -> Candidates {
        self.prefilter.candidates(text)
    }

    /// Every claimed span of `text`: disjoint, ascending. Where claims overlap, their union bears the name of
    /// the leftmost, then longest, then first detector, so that no part of a value stays behind.
    pub(crate) fn scan(&self, text: &str) -> Vec<Hit> {
        let candidates = self.candidates(text);
        if candidates.no_pattern() {
            return Vec::new();
        }
        self.scan_for(text, |pattern| candidates.has_pattern(pattern))
    }

    fn scan_for(&self, text: &str, wanted: impl Fn(usize) -> bool) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (index, pattern) in self.patterns.iter().enumerate() {
            if wanted(index) {
                pattern.scan(text, &mut hits);
            }
        }
        if hits.is_empty() {
            return hits;
        }
        self.settle(text, hits)
    }

    /// The detector for which a member of this name is sensitive whatever its value.
    pub(crate) fn field(&self, name: &str) -> Option<usize> {
        self.field_names.matches(name).iter().map(|index| self.field_detectors[index]).min()
    }

    /// Is `text` nothing but what masking leaves?
    pub(crate) fn is_marker(&self, text: &str) -> bool {
        text.starts_with(MARKER_START) && { self.markers(text).cover(&(0..text.len())) }
    }

    /// Markers are not values: a claim on nothing but markers is dropped, a claim on part of one takes all of
    /// it. Then overlapping claims are joined.
    fn settle(&self, text: &str, mut hits: Vec<Hit>) -> Vec<Hit> {
        let markers = self.markers(text);
        hits.retain(|hit| !hit.span.is_empty() && !markers.cover(&hit.span));
        for hit in &mut hits {
            hit.span = markers.extend(hit.span.clone());
        }
        hits.sort_by_key(|hit| (hit.span.start, usize::MAX - hit.span.end, hit.detector));
        let mut joined: Vec<Hit> = Vec::new();
        for hit in hits {
            match joined.last_mut() {
                Some(last) if hit.span.start < last.span.end => {
                    last.span.end = last.span.end.max(hit.span.end);
                }
                _ => joined.push(hit),
            }
        }
        joined
    }

    /// The markers of known detectors; an invented id hides nothing.
    fn markers(&self, text: &str) -> Markers {
        Markers::of(self.marker_texts.find_iter(text).map(|found| found.range()))
    }
}

impl Pattern {
    fn scan(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut claim = |span: Range<usize>| {
            self.check.spans(text, span, &mut |span| {
                hits.push(Hit { span, detector: self.detector });
            });
        };
        if self.group == 0 {
            self.regex.find_iter(text).for_each(|found| claim(found.range()));
        } else {
            for captures in self.regex.captures_iter(text) {
                if let Some(group) = captures.get(self.group) {
                    claim(group.range());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
