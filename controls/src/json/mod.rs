//! A strict JSON reader that knows where every token stands.
//!
//! RFC 8259 narrowed by I-JSON (RFC 7493): UTF-8 only, no lone surrogates, no two members of one object
//! whose names are equal after unescaping, no bytes after the value, at most [`MAX_DEPTH`] nested
//! containers. Numbers stay as written. One pass, one arena; a [`Node`] is two words and free to copy.

mod parse;
mod text;

use std::borrow::Cow;
use std::ops::Range;

pub use text::write_string;

/// Deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 128;

/// Why bytes are not a JSON document that Exhibit accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Byte offset at which it was noticed.
    pub offset: usize,
}

/// What is wrong with a JSON document; never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// Not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// Ends inside a value.
    #[error("unexpected end of the document")]
    UnexpectedEnd,
    /// A byte that may not stand here.
    #[error("unexpected character")]
    UnexpectedCharacter,
    /// A number that RFC 8259 does not allow.
    #[error("malformed number")]
    MalformedNumber,
    /// An escape that RFC 8259 does not allow.
    #[error("malformed escape in a string")]
    MalformedEscape,
    /// Half of a surrogate pair.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// A raw control character inside a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// Two members of one object with one name.
    #[error("duplicate member name")]
    DuplicateName,
    /// More than [`MAX_DEPTH`] nested containers.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Bytes after the value.
    #[error("bytes after the end of the value")]
    TrailingBytes,
    /// 4 GiB or more.
    #[error("the document is too large")]
    TooLarge,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number, as written.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A parsed document: the bytes and an arena of its nodes.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    arena: Vec<Slot>,
}

/// A node of the arena in document order; an object's names stand there as strings before their values.
#[derive(Debug, Clone, Copy)]
struct Slot {
    kind: Kind,
    escaped: bool,
    start: u32,
    end: u32,
    /// Index of the first slot after this node's subtree.
    next: u32,
}

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    document: &'d Document<'d>,
    index: usize,
}

/// A member of an object.
#[derive(Debug, Clone)]
pub struct Member<'d> {
    /// Name, unescaped.
    pub key: Cow<'d, str>,
    /// Bytes of the name's token, quotes included.
    pub key_span: Range<usize>,
    /// The value.
    pub value: Node<'d>,
}

impl<'a> Document<'a> {
    /// Reads one JSON value.
    ///
    /// # Errors
    /// [`JsonError`] at the first byte where a rule of the module is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonError> {
        parse::parse(bytes)
    }

    /// The outermost value.
    pub fn root(&self) -> Node<'_> {
        Node { document: self, index: 0 }
    }

    /// The document as it came.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

impl<'d> Node<'d> {
    /// What this node is.
    pub fn kind(self) -> Kind {
        self.slot().kind
    }

    /// Bytes of this value in the document.
    pub fn span(self) -> Range<usize> {
        let slot = self.slot();
        slot.start as usize..slot.end as usize
    }

    /// This value as it was written.
    pub fn raw(self) -> &'d [u8] {
        self.raw_str().as_bytes()
    }

    /// This value as it was written.
    pub fn raw_str(self) -> &'d str {
        &self.document.text[self.span()]
    }

    /// The unescaped text, when this is a string.
    pub fn as_str(self) -> Option<Cow<'d, str>> {
        let slot = self.slot();
        if slot.kind != Kind::String {
            return None;
        }
        let inner = &self.document.text[slot.start as usize + 1..slot.end as usize - 1];
        Some(if slot.escaped { Cow::Owned(text::unescape(inner)) } else { Cow::Borrowed(inner) })
    }

    /// The number, when this is an integer that an `i64` holds.
    pub fn as_i64(self) -> Option<i64> {
        (self.kind() == Kind::Number).then(|| self.raw_str().parse().ok()).flatten()
    }

    /// Members of an object in the order of the document; none for other kinds.
    pub fn members(self) -> impl Iterator<Item = Member<'d>> {
        let count = if self.kind() == Kind::Object { usize::MAX } else { 0 };
        let mut children = self.children();
        std::iter::from_fn(move || {
            let name = children.next()?;
            let value = children.next()?;
            Some(Member { key: name.as_str()?, key_span: name.span(), value })
        })
        .take(count)
    }

    /// Elements of an array; none for other kinds.
    pub fn elements(self) -> impl Iterator<Item = Node<'d>> {
        let count = if self.kind() == Kind::Array { usize::MAX } else { 0 };
        self.children().take(count)
    }

    /// The member named `key`.
    pub fn get(self, key: &str) -> Option<Node<'d>> {
        self.members().find(|member| member.key == key).map(|member| member.value)
    }

    fn children(self) -> impl Iterator<Item = Node<'d>> {
        let end = self.slot().next as usize;
        let mut index = self.index + 1;
        std::iter::from_fn(move || {
            (index < end).then(|| {
                let node = Node { document: self.document, index };
                index = node.slot().next as usize;
                node
            })
        })
    }

    fn slot(self) -> &'d Slot {
        &self.document.arena[self.index]
    }
}
