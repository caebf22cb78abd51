//! Reads detector data and compiles it, reporting every mistake.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use regex::{Regex, RegexBuilder, RegexSetBuilder};
use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::prefilter::{Needs, Prefilter};
use super::{Detector, DetectorSet, OPAQUE, Pattern, marker_of};

/// Bound on one compiled expression, in bytes.
const REGEX_SIZE_LIMIT: usize = 4 << 20;

/// A mistake in detector data.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// Byte offset in the data.
    pub(crate) offset: usize,
    pub(crate) message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    detector: Vec<DetectorText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorText {
    id: Spanned<String>,
    title: String,
    #[serde(default)]
    pattern: Vec<PatternText>,
    #[serde(default)]
    field: Vec<FieldText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternText {
    regex: Spanned<String>,
    #[serde(default)]
    mask: usize,
    #[serde(default)]
    literals: Vec<String>,
    #[serde(default)]
    digits: usize,
    check: Option<Check>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldText {
    name: Spanned<String>,
    #[serde(default)]
    literals: Vec<String>,
}

pub(super) fn load(toml: &str, disabled: &[String]) -> Result<DetectorSet, Vec<Mistake>> {
    let file: File = toml::from_str(toml).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        vec![Mistake { offset, message: error.message().to_owned() }]
    })?;
    let mut loader = Loader::default();
    for (index, text) in file.detector.iter().enumerate() {
        loader.detector(index, text, !disabled.contains(text.id.get_ref()));
    }
    loader.opaque(!disabled.iter().any(|id| id == OPAQUE));
    loader.finish()
}

#[derive(Default)]
struct Loader {
    detectors: Vec<Detector>,
    patterns: Vec<Pattern>,
    pattern_needs: Vec<Needs>,
    field_detectors: Vec<usize>,
    field_names: Vec<String>,
    field_needs: Vec<Needs>,
    opaque: Option<usize>,
    mistakes: Vec<Mistake>,
}

impl Loader {
    fn detector(&mut self, index: usize, text: &DetectorText, enabled: bool) {
        let id = text.id.get_ref();
        if !is_detector_id(id) {
            self.mistake(
                text.id.span(),
                format!("`{id}` is no detector id: use 1 to 64 of a-z, 0-9 and _, starting with a letter"),
            );
        }
        if self.detectors.iter().any(|known| known.id == *id) {
            self.mistake(text.id.span(), format!("there are two detectors with id `{id}`"));
        }
        if text.pattern.is_empty() && text.field.is_empty() {
            self.mistake(
                text.id.span(),
                format!("detector `{id}` has neither a pattern nor a field"),
            );
        }
        self.detectors.push(Detector { id: id.clone(), title: text.title.clone() });
        for pattern in &text.pattern {
            self.pattern(index, pattern, enabled);
        }
        for field in &text.field {
            self.field(index, field, enabled);
        }
    }

    /// The one detector that is not data.
    fn opaque(&mut self, enabled: bool) {
        let known = self.detectors.iter().position(|known| known.id == OPAQUE);
        let index = known.unwrap_or_else(|| {
            let title = "Encoded content that cannot be decoded and searched".to_owned();
            self.detectors.push(Detector { id: OPAQUE.to_owned(), title });
            self.detectors.len() - 1
        });
        self.opaque = enabled.then_some(index);
    }

    fn pattern(&mut self, detector: usize, text: &PatternText, enabled: bool) {
        let Some(regex) = self.regex(&text.regex) else { return };
        if text.mask >= regex.captures_len() {
            self.mistake(
                text.regex.span(),
                format!("mask = {} names a group that the expression does not have", text.mask),
            );
        }
        if regex.is_match("") {
            self.mistake(text.regex.span(), "the expression matches the empty text".to_owned());
        }
        self.literals(&text.literals, &text.regex.span());
        if enabled {
            let check = text.check.clone().unwrap_or(Check::None);
            self.patterns.push(Pattern { detector, regex, group: text.mask, check });
            self.pattern_needs.push(Needs { literals: text.literals.clone(), digits: text.digits });
        }
    }

    fn field(&mut self, detector: usize, text: &FieldText, enabled: bool) {
        if self.regex(&text.name).is_none() {
            return;
        }
        self.literals(&text.literals, &text.name.span());
        if enabled {
            self.field_detectors.push(detector);
            self.field_names.push(text.name.get_ref().clone());
            self.field_needs.push(Needs { literals: text.literals.clone(), digits: 0 });
        }
    }

    fn literals(&mut self, literals: &[String], span: &Range<usize>) {
        if literals.iter().any(|literal| literal.is_empty() || !literal.is_ascii()) {
            self.mistake(span.clone(), "literals must be non-empty ASCII".to_owned());
        }
    }

    fn regex(&mut self, text: &Spanned<String>) -> Option<Regex> {
        match RegexBuilder::new(text.get_ref()).size_limit(REGEX_SIZE_LIMIT).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let message = error.to_string();
                let reason = message.lines().last().unwrap_or_default().trim().to_owned();
                self.mistake(text.span(), format!("not a regular expression: {reason}"));
                None
            }
        }
    }

    fn mistake(&mut self, span: Range<usize>, message: String) {
        self.mistakes.push(Mistake { offset: span.start, message });
    }

    fn finish(mut self) -> Result<DetectorSet, Vec<Mistake>> {
        let whole = |message: String| Mistake { offset: 0, message };
        let names =
            RegexSetBuilder::new(&self.field_names).size_limit(REGEX_SIZE_LIMIT * 4).build();
        let patterns = self.patterns.len();
        self.pattern_needs.append(&mut self.field_needs);
        let prefilter = Prefilter::new(&self.pattern_needs, patterns);
        let ids = self.detectors.iter().map(|detector| marker_of(&detector.id));
        let marker_texts = AhoCorasick::new(ids);
        match (names, prefilter, marker_texts) {
            (Ok(field_names), Ok(prefilter), Ok(marker_texts)) if self.mistakes.is_empty() => {
                Ok(DetectorSet {
                    detectors: self.detectors,
                    patterns: self.patterns,
                    field_detectors: self.field_detectors,
                    field_names,
                    prefilter,
                    marker_texts,
                    opaque: self.opaque,
                })
            }
            (names, prefilter, marker_texts) => {
                self.mistakes.extend(marker_texts.err().map(|error| whole(error.to_string())));
                self.mistakes.extend(names.err().map(|error| whole(error.to_string())));
                self.mistakes.extend(prefilter.err().map(|error| whole(error.to_string())));
                Err(self.mistakes)
            }
        }
    }
}

fn is_detector_id(id: &str) -> bool {
    id.len() <= 64
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}
