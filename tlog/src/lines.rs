//! Taking newline-terminated lines off the front of a text.

/// What is left of a text, with the number of the line that comes next.
pub(crate) struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// The next line without its newline, or `None` when no newline follows.
    pub(crate) fn take(&mut self) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        self.line += 1;
        Some(line)
    }

    /// The 1-based number of the line that [`take`](Self::take) returned last.
    pub(crate) fn number(&self) -> usize {
        self.line - 1
    }

    /// Everything not taken yet, verbatim.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }
}
