//! Where the markers of a text stand.

use std::ops::Range;

/// Disjoint spans in ascending order.
#[derive(Debug)]
pub(super) struct Markers {
    each: Vec<Range<usize>>,
    /// Markers that follow one another without a gap, as one.
    runs: Vec<Range<usize>>,
}

impl Markers {
    pub(super) fn of(spans: impl Iterator<Item = Range<usize>>) -> Self {
        let each: Vec<Range<usize>> = spans.collect();
        let mut runs: Vec<Range<usize>> = Vec::new();
        for span in &each {
            match runs.last_mut() {
                Some(run) if run.end == span.start => run.end = span.end,
                _ => runs.push(span.clone()),
            }
        }
        Markers { each, runs }
    }

    /// Is every byte of `span` part of a marker?
    pub(super) fn cover(&self, span: &Range<usize>) -> bool {
        let next = self.runs.partition_point(|run| run.end <= span.start);
        let run = self.runs.get(next);
        span.is_empty() || run.is_some_and(|run| run.start <= span.start && span.end <= run.end)
    }

    /// The span with the whole of every marker of which it has a part.
    pub(super) fn extend(&self, span: Range<usize>) -> Range<usize> {
        let first = self.each.partition_point(|marker| marker.end <= span.start);
        let after = self.each.partition_point(|marker| marker.start < span.end);
        let touched = self.each.get(first..after).unwrap_or_default();
        let start = touched.first().map_or(span.start, |marker| marker.start.min(span.start));
        let end = touched.last().map_or(span.end, |marker| marker.end.max(span.end));
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_covered_and_extended() {
        let markers = Markers::of([2..4, 4..6, 8..10].into_iter());
        for (span, is_covered, extended) in [
            (2..6, true, 2..6),
            (3..5, true, 2..6),
            (4..4, true, 4..4),
            (8..10, true, 8..10),
            (1..3, false, 1..4),
            (5..9, false, 4..10),
            (6..8, false, 6..8),
            (9..12, false, 8..12),
            (0..1, false, 0..1),
            (11..12, false, 11..12),
        ] {
            assert_eq!(markers.cover(&span), is_covered, "{span:?}");
            if !span.is_empty() {
                assert_eq!(markers.extend(span.clone()), extended, "{span:?}");
            }
        }
    }
}
