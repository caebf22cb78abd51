//! The reader: recursive descent, at most [`MAX_DEPTH`] frames.

use std::borrow::Cow;

use super::JsonErrorKind as What;
use super::{Document, JsonError, Kind, MAX_DEPTH, Slot, text};

pub(super) fn parse(bytes: &[u8]) -> Result<Document<'_>, JsonError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(JsonError { kind: What::TooLarge, offset: 0 });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError { kind: What::InvalidUtf8, offset: error.valid_up_to() })?;
    let mut parser = Parser { text, bytes, at: 0, arena: Vec::with_capacity(bytes.len() / 16 + 1) };
    parser.space();
    parser.value(0)?;
    parser.space();
    if parser.at < bytes.len() {
        return Err(parser.error(What::TrailingBytes));
    }
    Ok(Document { text, arena: parser.arena })
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    arena: Vec<Slot>,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek()? {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.word("null", Kind::Null),
            b't' => self.word("true", Kind::True),
            b'f' => self.word("false", Kind::False),
            _ => Err(self.error(What::UnexpectedCharacter)),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        let index = self.open(Kind::Object, depth)?;
        let mut names: Vec<(Cow<'a, str>, usize)> = Vec::new();
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            self.close(index);
            return Ok(());
        }
        loop {
            self.space();
            let offset = self.at;
            if self.peek()? != b'"' {
                return Err(self.error(What::UnexpectedCharacter));
            }
            names.push((self.string()?, offset));
            self.space();
            self.expect(b':')?;
            self.space();
            self.value(depth)?;
            self.space();
            if self.more(b'}')? {
                continue;
            }
            break;
        }
        if let Some(offset) = first_duplicate(&mut names) {
            return Err(JsonError { kind: What::DuplicateName, offset });
        }
        self.close(index);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        let index = self.open(Kind::Array, depth)?;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            self.close(index);
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth)?;
            self.space();
            if !self.more(b']')? {
                break;
            }
        }
        self.close(index);
        Ok(())
    }

    /// After an item: a comma (more follows) or the closing byte.
    fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        let byte = self.peek()?;
        if byte != b',' && byte != close {
            return Err(self.error(What::UnexpectedCharacter));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// Reads a string token and returns its unescaped text.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..0x20 => return Err(self.error(What::ControlCharacter)),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.push(Kind::String, start, escaped);
        let inner = &self.text[start + 1..self.at - 1];
        Ok(if escaped { Cow::Owned(text::unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        self.at += 1;
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let lone = JsonError { kind: What::LoneSurrogate, offset: start };
                match self.hex4()? {
                    0xdc00..0xe000 => Err(lone),
                    0xd800..0xdc00 => {
                        if !self.bytes[self.at..].starts_with(b"\\u") {
                            return Err(lone);
                        }
                        self.at += 2;
                        if (0xdc00..0xe000).contains(&self.hex4()?) { Ok(()) } else { Err(lone) }
                    }
                    _ => Ok(()),
                }
            }
            _ => Err(JsonError { kind: What::MalformedEscape, offset: start }),
        }
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()?).to_digit(16);
            unit = unit * 16 + digit.ok_or_else(|| self.error(What::MalformedEscape))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        let whole = self.digits();
        let leading_zero = whole > 1 && self.bytes[self.at - whole] == b'0';
        let mut sound = whole > 0 && !leading_zero;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            sound &= self.digits() > 0;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            sound &= self.digits() > 0;
        }
        if !sound {
            return Err(JsonError { kind: What::MalformedNumber, offset: start });
        }
        self.push(Kind::Number, start, false);
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<(), JsonError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error(What::UnexpectedCharacter));
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, false);
        Ok(())
    }

    fn open(&mut self, kind: Kind, depth: usize) -> Result<usize, JsonError> {
        if depth > MAX_DEPTH {
            return Err(self.error(What::TooDeep));
        }
        let index = self.arena.len();
        self.push(kind, self.at, false);
        self.at += 1;
        Ok(index)
    }

    fn close(&mut self, index: usize) {
        let (end, next) = (as_u32(self.at), as_u32(self.arena.len()));
        let slot = &mut self.arena[index];
        slot.end = end;
        slot.next = next;
    }

    fn push(&mut self, kind: Kind, start: usize, escaped: bool) {
        let next = as_u32(self.arena.len() + 1);
        self.arena.push(Slot { kind, escaped, start: as_u32(start), end: as_u32(self.at), next });
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek()? != byte {
            return Err(self.error(What::UnexpectedCharacter));
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, JsonError> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.error(What::UnexpectedEnd))
    }

    fn error(&self, kind: What) -> JsonError {
        JsonError { kind, offset: self.at }
    }
}

/// Offset of the second of the first two equal names: pairwise for the few, sorted for the many, so that no
/// object costs more than n log n.
fn first_duplicate(names: &mut [(Cow<'_, str>, usize)]) -> Option<usize> {
    if names.len() <= 8 {
        return names.iter().enumerate().find_map(|(index, (name, offset))| {
            names[..index].iter().any(|(earlier, _)| earlier == name).then_some(*offset)
        });
    }
    names.sort_unstable();
    names.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).min()
}

/// Offsets and indexes fit: `parse` refuses documents of 4 GiB, and every slot takes at least one byte.
fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
