//! Reading SQL without a grammar, as each family of servers does.
//!
//! Where comments and strings end differs between servers, and a text that hides a statement from one shows
//! it to another. So a text is read in every way, each in one pass, and what is code in one reading and
//! hidden in another is remembered.

/// How a family of servers reads comments and quotes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// A comment inside a comment must be closed too.
    nested_comments: bool,
    /// A backslash in a string takes the next character with it.
    backslash: bool,
    /// `$tag$ … $tag$` is a string, and `E'…'` one with backslashes.
    dollar_quotes: bool,
    /// `#` begins a comment, `--` only before white space, and the text of `/*! … */` runs.
    mysql_comments: bool,
    /// A carriage return ends a line.
    cr_ends_lines: bool,
    /// `` ` `` quotes names.
    backticks: bool,
    /// `[ … ]` quotes names.
    brackets: bool,
    /// `"…"` is a string, not a name.
    double_quoted_strings: bool,
}

const ANSI: Reading = Reading {
    nested_comments: false,
    backslash: false,
    dollar_quotes: false,
    mysql_comments: false,
    cr_ends_lines: false,
    backticks: false,
    brackets: false,
    double_quoted_strings: false,
};
const POSTGRES: Reading =
    Reading { nested_comments: true, dollar_quotes: true, cr_ends_lines: true, ..ANSI };
const MYSQL: Reading =
    Reading { mysql_comments: true, backticks: true, double_quoted_strings: true, ..ANSI };
const MSSQL: Reading =
    Reading { nested_comments: true, cr_ends_lines: true, brackets: true, ..ANSI };
const SQLITE: Reading = Reading { backticks: true, brackets: true, ..ANSI };

const PLAIN: [Reading; 5] = [ANSI, POSTGRES, MYSQL, MSSQL, SQLITE];
/// Servers, or settings of servers, to which a backslash is special.
const ESCAPING: [Reading; 3] = [
    Reading { backslash: true, ..POSTGRES },
    Reading { backslash: true, ..MYSQL },
    Reading { backslash: true, backticks: true, double_quoted_strings: true, ..ANSI },
];

/// The readings that can differ for this text.
pub(super) fn readings(text: &str) -> impl Iterator<Item = Reading> {
    let escaping = if text.contains('\\') { &ESCAPING[..] } else { &[] };
    PLAIN.iter().chain(escaping).copied()
}

/// A token, as far as statements are told by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word without quotes, in lower case.
    Word(String),
    /// A quoted name, or a string in double quotes.
    Name(String),
    /// A string in quotes.
    Text(String),
    /// A string between `$tag$`, as the bodies of functions are written.
    Body(String),
    Open,
    Close,
    Comma,
    Dot,
    Semicolon,
    /// A number, a variable or any other sign.
    Other,
}

/// What each byte of a text was in the readings so far.
#[derive(Debug)]
pub(super) struct Seen(Vec<u8>);

const CODE: u8 = 1;
const HIDDEN: u8 = 2;

impl Seen {
    pub(super) fn new(text: &str) -> Self {
        Seen(vec![0; text.len()])
    }

    /// Was a byte code in one reading, and in a comment or string in another?
    pub(super) fn is_ambiguous(&self) -> bool {
        self.0.contains(&(CODE | HIDDEN))
    }

    fn mark(&mut self, from: usize, to: usize, as_what: u8) {
        self.0[from..to].iter_mut().for_each(|byte| *byte |= as_what);
    }
}

/// The tokens of a text, and whether it ends inside a quote or comment.
pub(super) fn read(text: &str, reading: Reading, seen: &mut Seen) -> (Vec<Token>, bool) {
    let bytes = text.as_bytes();
    let mut lexer =
        Lexer { text, bytes, reading, seen, at: 0, tokens: Vec::new(), runs: false, open: false };
    while lexer.at < bytes.len() {
        lexer.next();
    }
    (lexer.tokens, lexer.open)
}

struct Lexer<'l> {
    text: &'l str,
    bytes: &'l [u8],
    reading: Reading,
    seen: &'l mut Seen,
    at: usize,
    tokens: Vec<Token>,
    /// Inside `/*! … */`.
    runs: bool,
    open: bool,
}

impl Lexer<'_> {
    fn next(&mut self) {
        let start = self.at;
        let byte = self.bytes[start];
        let rest = &self.bytes[start..];
        let mysql = self.reading.mysql_comments;
        match byte {
            b'-' if rest.starts_with(b"--") && (!mysql || is_blank(rest.get(2))) => {
                self.line_comment();
            }
            b'#' if mysql => self.line_comment(),
            b'/' if rest.starts_with(b"/*!") && mysql => self.hint(3),
            b'/' if rest.starts_with(b"/*M!") && mysql => self.hint(4),
            b'/' if rest.starts_with(b"/*") => self.comment(),
            b'*' if self.runs && rest.starts_with(b"*/") => {
                self.runs = false;
                self.at += 2;
            }
            b'\'' => {
                let escapes = self.reading.backslash || self.follows_e();
                let text = self.quoted(b'\'', escapes);
                self.seen.mark(start, self.at, HIDDEN);
                self.tokens.push(Token::Text(text));
            }
            b'"' => {
                let is_string = self.reading.double_quoted_strings;
                let name = self.quoted(b'"', is_string && self.reading.backslash);
                if is_string {
                    self.seen.mark(start, self.at, HIDDEN);
                }
                self.tokens.push(Token::Name(name));
            }
            b'`' if self.reading.backticks => {
                let name = self.quoted(b'`', false);
                self.tokens.push(Token::Name(name));
            }
            b'[' if self.reading.brackets => {
                let name = self.quoted(b']', false);
                self.tokens.push(Token::Name(name));
            }
            b'$' if self.reading.dollar_quotes => {
                if !self.dollar_quoted() {
                    self.sign(Token::Other);
                }
            }
            b'@' => self.variable(),
            b'0'..=b'9' => self.number(),
            b'(' => self.sign(Token::Open),
            b')' => self.sign(Token::Close),
            b',' => self.sign(Token::Comma),
            b'.' => self.sign(Token::Dot),
            b';' => self.sign(Token::Semicolon),
            _ => self.word_or_sign(),
        }
    }

    fn sign(&mut self, token: Token) {
        self.code(self.at + 1);
        self.tokens.push(token);
    }

    /// Takes code up to `end`.
    fn code(&mut self, end: usize) {
        self.seen.mark(self.at, end, CODE);
        self.at = end;
    }

    fn line_comment(&mut self) {
        let cr = self.reading.cr_ends_lines;
        let ends = |byte: &u8| *byte == b'\n' || (cr && *byte == b'\r');
        let length = self.bytes[self.at..].iter().position(ends);
        let end = length.map_or(self.bytes.len(), |length| self.at + length);
        self.seen.mark(self.at, end, HIDDEN);
        self.at = end;
    }

    fn hint(&mut self, start: usize) {
        self.runs = true;
        self.at += start;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn comment(&mut self) {
        let start = self.at;
        let mut depth = 0;
        loop {
            let rest = &self.bytes[self.at..];
            if rest.is_empty() {
                self.open = true;
                break;
            }
            if rest.starts_with(b"/*") && (depth == 0 || self.reading.nested_comments) {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                self.at += 1;
            }
        }
        self.seen.mark(start, self.at, HIDDEN);
    }

    /// Takes a quoted text that `close` ends, twice `close` standing for itself.
    fn quoted(&mut self, close: u8, escapes: bool) -> String {
        self.at += 1;
        let mut text = String::new();
        let mut from = self.at;
        loop {
            match self.bytes.get(self.at) {
                None => {
                    self.open = true;
                    text.push_str(&self.text[from..]);
                    return text;
                }
                Some(b'\\') if escapes => {
                    text.push_str(&self.text[from..self.at]);
                    from = self.at + 1;
                    if matches!(self.bytes.get(from), Some(b'n' | b'r' | b't' | b'0' | b'b' | b'Z'))
                    {
                        text.push(' ');
                        from += 1;
                    }
                    // An escaped character may be of several bytes: none of the others is a quote.
                    self.at = (self.at + 2).min(self.bytes.len());
                }
                Some(byte) if *byte == close => {
                    text.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    if self.bytes.get(self.at) != Some(&close) {
                        return text;
                    }
                    from = self.at;
                    self.at += 1;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Is the last token an `E` right before this byte?
    fn follows_e(&self) -> bool {
        self.reading.dollar_quotes
            && matches!(self.tokens.last(), Some(Token::Word(word)) if word == "e")
            && matches!(self.bytes.get(self.at.wrapping_sub(1)), Some(b'e' | b'E'))
    }

    /// Takes `$tag$ … $tag$`, when one begins here.
    fn dollar_quoted(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let tag_end = rest[1..].find(|c: char| !is_word(c)).map(|length| length + 2);
        let Some(tag) = tag_end.and_then(|end| rest.get(..end)).filter(|tag| tag.ends_with('$'))
        else {
            return false;
        };
        if tag[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let body = &rest[tag.len()..];
        let length = body.find(tag);
        self.open |= length.is_none();
        let body = &body[..length.unwrap_or(body.len())];
        let start = self.at;
        self.tokens.push(Token::Body(body.to_owned()));
        self.at = (start + tag.len() + body.len() + tag.len()).min(self.bytes.len());
        self.seen.mark(start, self.at, HIDDEN);
        true
    }

    /// `@name`: no word of a statement, whatever it is called.
    fn variable(&mut self) {
        let rest = &self.text[self.at + 1..];
        let length = rest.find(|c: char| !is_word(c) && c != '@').unwrap_or(rest.len());
        self.code(self.at + 1 + length);
        self.tokens.push(Token::Other);
    }

    /// A number; servers begin a new word right behind it, some after a lone `e` of an exponent.
    fn number(&mut self) {
        let rest = &self.bytes[self.at..];
        let digits = |from: usize| {
            rest[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count()
        };
        let mut end = digits(0);
        if rest.starts_with(b"0x") || rest.starts_with(b"0X") {
            end = 2 + rest[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        } else if matches!(rest.get(end), Some(b'e' | b'E')) {
            end += 1;
            end += usize::from(matches!(rest.get(end), Some(b'+' | b'-')) && digits(end + 1) > 0);
            end += digits(end);
        }
        self.code(self.at + end);
        self.tokens.push(Token::Other);
    }

    fn word_or_sign(&mut self) {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return };
        if is_word(first) {
            let length = rest.find(|c: char| !is_word(c) && c != '$').unwrap_or(rest.len());
            self.tokens.push(Token::Word(rest[..length].to_lowercase()));
            self.code(self.at + length);
        } else if is_space(first) {
            self.at += first.len_utf8();
        } else {
            self.tokens.push(Token::Other);
            self.code(self.at + first.len_utf8());
        }
    }
}

fn is_word(character: char) -> bool {
    character == '_' || (!is_space(character) && !character.is_ascii_punctuation())
}

/// Servers disagree on which characters part words; here all do that some take for space.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || character.is_control() || character == '\u{feff}'
}

/// MySQL: what must follow `--`.
fn is_blank(byte: Option<&u8>) -> bool {
    byte.is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
}
