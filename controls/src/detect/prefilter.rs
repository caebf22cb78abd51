//! One pass over a text that rules out most patterns.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, BuildError};

/// What a rule cannot match without.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// At least one of these, in any ASCII case; empty = nothing.
    pub(super) literals: Vec<String>,
    /// At least so many ASCII digits in a row, with at most one space, dash or dot between two.
    pub(super) digits: usize,
}

/// Finds the rules whose needs a text meets.
#[derive(Debug)]
pub(super) struct Prefilter {
    automaton: AhoCorasick,
    /// Rules of each literal.
    owners: Vec<Vec<usize>>,
    digits: Vec<usize>,
    needs_literal: Vec<bool>,
    patterns: usize,
    /// Does any rule need digits?
    counts_digits: bool,
}

/// Which rules a text may satisfy: patterns first, then fields.
#[derive(Debug, Clone)]
pub(crate) struct Candidates {
    rules: Vec<bool>,
    patterns: usize,
}

impl Candidates {
    /// No pattern and no field can match.
    pub(crate) fn is_empty(&self) -> bool {
        !self.rules.contains(&true)
    }

    pub(crate) fn no_pattern(&self) -> bool {
        !self.rules[..self.patterns].contains(&true)
    }

    pub(crate) fn has_pattern(&self, pattern: usize) -> bool {
        self.rules[pattern]
    }

    pub(crate) fn has_field(&self) -> bool {
        self.rules[self.patterns..].contains(&true)
    }
}

impl Prefilter {
    /// `needs` of the patterns, then of the fields.
    pub(super) fn new(needs: &[Needs], patterns: usize) -> Result<Self, BuildError> {
        let mut literals: Vec<String> = Vec::new();
        let mut owners: Vec<Vec<usize>> = Vec::new();
        for (rule, need) in needs.iter().enumerate() {
            for literal in &need.literals {
                let literal = literal.to_ascii_lowercase();
                if let Some(index) = literals.iter().position(|known| *known == literal) {
                    owners[index].push(rule);
                } else {
                    literals.push(literal);
                    owners.push(vec![rule]);
                }
            }
        }
        let automaton = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(&literals)?;
        Ok(Prefilter {
            automaton,
            owners,
            digits: needs.iter().map(|need| need.digits).collect(),
            needs_literal: needs.iter().map(|need| !need.literals.is_empty()).collect(),
            patterns,
            counts_digits: needs.iter().any(|need| need.digits > 0),
        })
    }

    pub(super) fn candidates(&self, text: &str) -> Candidates {
        let digits = if self.counts_digits { longest_digit_run(text.as_bytes()) } else { 0 };
        let mut rules: Vec<bool> = self.needs_literal.iter().map(|needed| !needed).collect();
        for found in self.automaton.find_overlapping_iter(text) {
            for &rule in &self.owners[found.pattern().as_usize()] {
                rules[rule] = true;
            }
        }
        for (possible, &needed) in rules.iter_mut().zip(&self.digits) {
            *possible &= digits >= needed;
        }
        Candidates { rules, patterns: self.patterns }
    }
}

/// Most digits that stand in a row with at most one space, dash or dot between two.
fn longest_digit_run(bytes: &[u8]) -> usize {
    let (mut longest, mut run, mut gap) = (0, 0, 0);
    for byte in bytes {
        if byte.is_ascii_digit() {
            run = if gap > 1 { 1 } else { run + 1 };
            gap = 0;
            longest = longest.max(run);
        } else {
            gap = if matches!(byte, b' ' | b'-' | b'.') { gap + 1 } else { 2 };
        }
    }
    longest
}
