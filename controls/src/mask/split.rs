//! A value that is split over the texts of one result.
//!
//! A caller reads the items of a result one after another. So where two texts meet, with nothing or a space
//! between them, their ends are searched together.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::detect::DetectorSet;
use crate::json::{Kind, Node};

/// How much is searched on each side of the place where two texts meet.
const REACH_BYTES: usize = 256;
/// How many texts on each side.
const REACH_TEXTS: usize = 64;

/// A part of a text that a detector claims together with a part of another.
pub(super) struct Part<'d> {
    /// The string.
    pub(super) node: Node<'d>,
    /// In the decoded text.
    pub(super) span: Range<usize>,
    pub(super) detector: usize,
}

/// The texts of the items of an array: `content` of a result, `contents` of a resource.
pub(super) fn texts(array: Node<'_>) -> Vec<Node<'_>> {
    let mut items = array.elements();
    let texts: Vec<Node<'_>> = match items.next() {
        Some(first) if first.kind() == Kind::Object => {
            std::iter::once(first).chain(items).filter_map(text_of).collect()
        }
        _ => Vec::new(),
    };
    if texts.len() > 1 { texts } else { Vec::new() }
}

fn text_of(item: Node<'_>) -> Option<Node<'_>> {
    item.get("text").filter(|text| text.kind() == Kind::String)
}

/// Claims that reach over the end of a text, all parts of each, at most one for each text: the others are found
/// when these are masked.
pub(super) fn parts<'d>(detectors: &DetectorSet, texts: &[Node<'d>]) -> Vec<Part<'d>> {
    let decoded: Vec<_> = texts.iter().map(|node| node.as_str().unwrap_or_default()).collect();
    let mut claimed = BTreeSet::new();
    let mut parts = Vec::new();
    for meeting in 1..decoded.len() {
        for separator in ["", " "] {
            let window = Window::around(&decoded, meeting, separator);
            for hit in detectors.scan(&window.text) {
                if hit.span.start >= window.left_end || hit.span.end <= window.right_start {
                    continue;
                }
                let touched = window.touched(&hit.span);
                if touched.iter().any(|(index, _)| claimed.contains(index)) {
                    continue;
                }
                claimed.extend(touched.iter().map(|(index, _)| *index));
                parts.extend(touched.into_iter().map(|(index, span)| Part {
                    node: texts[index],
                    span,
                    detector: hit.detector,
                }));
            }
        }
    }
    parts
}

/// What stands around the place where two texts meet.
struct Window {
    text: String,
    left_end: usize,
    right_start: usize,
    pieces: Vec<Piece>,
}

/// A part of a text in a window.
struct Piece {
    index: usize,
    /// Where it begins in its text.
    from: usize,
    in_window: Range<usize>,
}

impl Window {
    fn around(texts: &[Cow<'_, str>], meeting: usize, separator: &str) -> Self {
        let mut window =
            Window { text: String::new(), left_end: 0, right_start: 0, pieces: Vec::new() };
        let mut reach = REACH_BYTES;
        let mut left = Vec::new();
        for index in (0..meeting).rev().take(REACH_TEXTS) {
            let text = &texts[index];
            let from = text.ceil_char_boundary(text.len().saturating_sub(reach));
            left.push((index, from));
            reach -= text.len() - from;
            if from > 0 {
                break;
            }
        }
        for (index, from) in left.into_iter().rev() {
            window.add(index, from, &texts[index][from..], separator);
        }
        window.left_end = window.text.len();
        window.right_start = window.left_end + separator.len();
        let mut reach = REACH_BYTES;
        for (index, text) in texts.iter().enumerate().skip(meeting).take(REACH_TEXTS) {
            let end = text.floor_char_boundary(reach.min(text.len()));
            window.add(index, 0, &text[..end], separator);
            reach -= end;
            if end < text.len() {
                break;
            }
        }
        window
    }

    fn add(&mut self, index: usize, from: usize, part: &str, separator: &str) {
        if !self.pieces.is_empty() {
            self.text.push_str(separator);
        }
        let start = self.text.len();
        self.text.push_str(part);
        self.pieces.push(Piece { index, from, in_window: start..self.text.len() });
    }

    /// The texts of which the span covers a part, and which part.
    fn touched(&self, span: &Range<usize>) -> Vec<(usize, Range<usize>)> {
        let of = |piece: &Piece| {
            let start = span.start.max(piece.in_window.start);
            let end = span.end.min(piece.in_window.end);
            let shift = |at: usize| at - piece.in_window.start + piece.from;
            (start < end).then(|| (piece.index, shift(start)..shift(end)))
        };
        self.pieces.iter().filter_map(of).collect()
    }
}
