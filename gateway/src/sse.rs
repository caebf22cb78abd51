//! Server-sent events, cut into pieces and written anew from their parts (WHATWG HTML section 9.2).
//!
//! A piece is one event with its blank line, or one comment line that stands between events. Each is given out
//! as soon as its last byte is there; nothing is held that need not be. `data` is masked and recorded; what else goes
//! on is a [`Frame`], recorded beside it.

mod frame;

use bytes::{Bytes, BytesMut};

pub(crate) use frame::Frame;

/// Cuts a stream, however it is chunked.
#[derive(Debug)]
pub(crate) struct Splitter {
    buffer: BytesMut,
    /// Bytes of `buffer` already looked at.
    scanned: usize,
    limit: usize,
    /// Bytes of a byte order mark still possible at the start of the stream.
    mark: &'static [u8],
    /// The current line has no byte yet.
    line_is_empty: bool,
    /// The last byte was a CR: a LF now belongs to it.
    after_cr: bool,
    /// Where the first line of the piece starts in `buffer`, and whether it has ended.
    first_line_start: usize,
    in_first_line: bool,
}

/// A piece of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The joined `data` lines; `None` when there is none, or nothing in it.
    pub(crate) data: Option<Bytes>,
    /// The `id`.
    pub(crate) id: Option<Bytes>,
    event: Option<Bytes>,
    retry: Option<Bytes>,
    /// There is a `data` line, be it empty: clients are told of such an event.
    has_data: bool,
    has_comment: bool,
    /// A blank line ends it.
    is_complete: bool,
}

/// A piece is longer than the bound.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {limit} bytes")]
pub(crate) struct TooLarge {
    /// Bytes accepted.
    pub(crate) limit: usize,
}

impl Splitter {
    /// A splitter for a new stream whose pieces may have `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Splitter {
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
            mark: b"\xef\xbb\xbf",
            line_is_empty: true,
            after_cr: false,
            first_line_start: 0,
            in_first_line: true,
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next complete piece.
    ///
    /// # Errors
    /// [`TooLarge`] when what is there of it is longer than the bound.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, TooLarge> {
        while self.scanned < self.buffer.len() {
            let byte = self.buffer[self.scanned];
            let ends_piece = self.step(byte);
            self.scanned += 1;
            if ends_piece {
                if self.after_cr && self.buffer.get(self.scanned) == Some(&b'\n') {
                    self.after_cr = false;
                    self.scanned += 1;
                }
                let raw = self.buffer.split_to(self.scanned).freeze();
                self.scanned = 0;
                self.first_line_start = 0;
                self.in_first_line = true;
                return self.bounded(raw.len()).map(|()| Some(Piece::read(&raw)));
            }
        }
        self.bounded(self.buffer.len()).map(|()| None)
    }

    /// What stands after the last complete piece when the stream has ended. Strict clients ignore it, lenient
    /// ones read it as an event.
    pub(crate) fn rest(&mut self) -> Option<Piece> {
        let raw = self.buffer.split().freeze();
        self.scanned = 0;
        (!raw.is_empty()).then(|| Piece::read(&raw))
    }

    /// Looks at one byte; does it end a piece?
    fn step(&mut self, byte: u8) -> bool {
        if let Some((first, rest)) = self.mark.split_first() {
            if byte == *first {
                self.mark = rest;
                self.first_line_start = if rest.is_empty() { self.scanned + 1 } else { 0 };
                return false;
            }
            self.line_is_empty = self.mark.len() == 3;
            self.mark = &[];
        }
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            // The piece that it belongs to may be gone already; then it follows at once, alone.
            return self.scanned == 0;
        }
        if byte != b'\n' && byte != b'\r' {
            self.line_is_empty = false;
            return false;
        }
        self.after_cr = byte == b'\r';
        let was_empty = std::mem::replace(&mut self.line_is_empty, true);
        let was_comment =
            self.in_first_line && self.buffer.get(self.first_line_start) == Some(&b':');
        self.in_first_line = false;
        was_empty || was_comment
    }

    fn bounded(&self, size: usize) -> Result<(), TooLarge> {
        if size > self.limit { Err(TooLarge { limit: self.limit }) } else { Ok(()) }
    }
}

impl Piece {
    fn read(raw: &Bytes) -> Piece {
        let mut piece = Piece::default();
        let mut data: Vec<Bytes> = Vec::new();
        for line in Lines::of(raw) {
            let (name, skip) = field(&raw[line.clone()]);
            let value = raw.slice(line.start + skip..line.end);
            piece.is_complete = line.is_empty();
            match name {
                b"data" => data.push(value),
                b"id" if !value.contains(&0) => piece.id = Some(value),
                b"event" => piece.event = Some(value),
                b"retry" => piece.retry = Some(value),
                b"" if skip > 0 => piece.has_comment = true,
                _ => {}
            }
        }
        piece.has_data = !data.is_empty();
        let data = match data.len() {
            0 | 1 => data.pop(),
            _ => Some(Bytes::from(data.join(&b'\n'))),
        };
        piece.data = data.filter(|data| !data.is_empty());
        piece
    }

    /// What of it goes on beside its data; an id only when it `is_clean`.
    pub(crate) fn frame(&self, is_clean: impl Fn(&str) -> bool) -> Frame {
        Frame::of(self, is_clean)
    }

    /// The piece with this frame, and this data in place of its own. Comments lose their text, unknown fields are
    /// left out; an event of which nothing goes on is not there.
    pub(crate) fn written(&self, frame: &Frame, data: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(data.len() + 64);
        let mut line = |name: &[u8], value: &[u8]| {
            for part in [name, value, b"\n"] {
                out.extend_from_slice(part);
            }
        };
        if self.has_comment {
            line(b":", b"");
        }
        if let Some(name) = frame.event {
            line(b"event: ", name.as_bytes());
        }
        if let Some(id) = &frame.id {
            line(b"id: ", id.as_bytes());
        }
        if frame.withholds_id {
            line(b": the id of this event is withheld, because it cannot be recorded", b"");
        }
        if let Some(retry) = frame.retry {
            line(b"retry: ", retry.to_string().as_bytes());
        }
        if self.data.is_some() || frame.has_id() {
            if self.has_data {
                data.split(|byte| *byte == b'\n').for_each(|part| line(b"data: ", part));
            }
            if self.is_complete {
                line(b"", b"");
            }
        }
        out.freeze()
    }
}

/// A field's name and where its value starts in the line. Byte order marks before the name are skipped on every
/// line: only the first of the stream counts as one, but clients that decode chunk by chunk skip others too.
fn field(line: &[u8]) -> (&[u8], usize) {
    let mut name_start = 0;
    while line[name_start..].starts_with(b"\xef\xbb\xbf") {
        name_start += 3;
    }
    match line.iter().position(|byte| *byte == b':') {
        Some(colon) => {
            let space = usize::from(line.get(colon + 1) == Some(&b' '));
            (&line[name_start..colon], colon + 1 + space)
        }
        None => (&line[name_start..], line.len()),
    }
}

/// Offset after the terminator that stands at `at`.
fn line_end(raw: &[u8], at: usize) -> usize {
    match (raw.get(at), raw.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => at + 2,
        (Some(_), _) => at + 1,
        (None, _) => at,
    }
}

/// The ranges of a piece's lines, without terminators.
struct Lines<'r> {
    raw: &'r [u8],
    at: usize,
}

impl Lines<'_> {
    fn of(raw: &[u8]) -> Lines<'_> {
        Lines { raw, at: 0 }
    }
}

impl Iterator for Lines<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.raw.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length =
            rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        let line = self.at..self.at + length;
        self.at = line_end(self.raw, line.end);
        Some(line)
    }
}

#[cfg(test)]
mod tests;
