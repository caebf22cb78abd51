//! Signed notes: [C2SP signed-note](https://c2sp.org/signed-note).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::{VerifyingKey, is_key_name};

/// The longest note accepted, in bytes.
pub const MAX_NOTE_BYTES: usize = 1 << 20;
/// The most signatures accepted on a note; the specification asks for at least 16.
pub const MAX_SIGNATURES: usize = 100;

const SIGNATURE_PREFIX: &str = "— ";

/// A text and the signatures below it, not yet verified.
///
/// The text must not be believed before [`verified_by`](Self::verified_by) a trusted key is `true`.
/// `Display` writes exactly the bytes that [`parse`](Self::parse) read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A note without signatures; it can be parsed again once it has one.
    ///
    /// # Errors
    /// When the text does not end with a newline, holds a control character other than newline, or
    /// is longer than [`MAX_NOTE_BYTES`].
    pub fn new(text: &str) -> Result<Self, NoteError> {
        check_characters(text)?;
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a note: text ending in newline, blank line, one or more signature lines.
    ///
    /// # Errors
    /// When anything differs from that, or a bound is passed.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        check_characters(note)?;
        // The last empty line ends the text; the text may hold others.
        let blank = note.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let text = &note[..=blank];
        let first_line = text.matches('\n').count() + 2;
        let signatures = parse_lines(&note[blank + 2..], first_line)?;
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The signed text, ending with a newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in the order of their lines, not verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Whether the note carries a signature by this key. `false` means that no signature bears the
    /// key's name and id: it may carry others.
    ///
    /// # Errors
    /// When a signature bears the key's name and id but does not verify: the whole note is then to
    /// be rejected.
    pub fn verified_by(&self, key: &VerifyingKey) -> Result<bool, NoteError> {
        let mut found = false;
        for signature in self.signatures_by(key.name(), key.key_id()) {
            let bytes = signature.signature.as_slice().try_into();
            if !bytes.is_ok_and(|bytes| key.verify(self.text.as_bytes(), bytes)) {
                return Err(NoteError::bad_signature(signature));
            }
            found = true;
        }
        Ok(found)
    }

    /// Adds a signature line below the others; one that is already there is not added again.
    ///
    /// # Errors
    /// When the name or signature cannot stand on a signature line, or a bound would be passed.
    pub fn add_signature(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        if !is_key_name(&signature.name) || signature.signature.is_empty() {
            return Err(NoteError::SignatureLine { line: 0 });
        }
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        if self.to_string().len() > MAX_NOTE_BYTES {
            self.signatures.pop();
            return Err(NoteError::TooLong);
        }
        Ok(())
    }

    /// The signatures that bear this key name and id; not verified.
    pub(crate) fn signatures_by(
        &self,
        name: &str,
        key_id: [u8; 4],
    ) -> impl Iterator<Item = &NoteSignature> {
        self.signatures.iter().filter(move |s| s.key_id == key_id && s.name == name)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| fmt::Display::fmt(signature, f))
    }
}

/// One signature line: `— <name> <base64 of key id ‖ signature>` and a newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key name.
    pub name: String,
    /// The key id: with the name it says which key made the signature, and how.
    pub key_id: [u8; 4],
    /// The signature in the encoding of its type; at least one byte.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    /// Reads signature lines on their own, as a witness answers them; none for an empty text.
    ///
    /// # Errors
    /// When a line is not a signature line, or there are more than [`MAX_SIGNATURES`].
    pub fn parse_lines(lines: &str) -> Result<Vec<Self>, NoteError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        check_characters(lines)?;
        parse_lines(lines, 1)
    }

    /// Reads one line, without its newline.
    fn parse_line(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = STANDARD.decode(base64).ok()?;
        let (key_id, signature) = bytes.split_first_chunk()?;
        if !is_key_name(name) || signature.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.as_slice(), &self.signature].concat();
        writeln!(f, "{SIGNATURE_PREFIX}{} {}", self.name, STANDARD.encode(bytes))
    }
}

fn parse_lines(lines: &str, first: usize) -> Result<Vec<NoteSignature>, NoteError> {
    let mut signatures = Vec::new();
    for (number, line) in (first..).zip(lines.split_terminator('\n')) {
        if signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signature = NoteSignature::parse_line(line);
        signatures.push(signature.ok_or(NoteError::SignatureLine { line: number })?);
    }
    Ok(signatures)
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong);
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::ControlCharacter);
    }
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::NoNewline) }
}

/// Why a text is not a signed note, or a signature on it is bad.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_BYTES`].
    #[error("the note is longer than {MAX_NOTE_BYTES} bytes")]
    TooLong,
    /// A control character other than newline.
    #[error(
        "the note holds a control character (tab or carriage return, for example); only newline is allowed"
    )]
    ControlCharacter,
    /// The last line is not ended.
    #[error("the note does not end with a newline: it may be cut off")]
    NoNewline,
    /// No blank line with signature lines below it.
    #[error("the note has no blank line followed by signature lines")]
    NoSignatures,
    /// A line below the blank line is no signature line.
    #[error("line {line} is not a signature line (`— <name> <base64>`)")]
    SignatureLine {
        /// The 1-based line; 0 for a signature that is being added.
        line: usize,
    },
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A signature bears the name and id of a known key but does not verify.
    #[error(
        "the signature of {name} (key id {key_id:08x}) does not verify: text or signature were altered"
    )]
    BadSignature {
        /// The key name.
        name: String,
        /// The key id as a number.
        key_id: u32,
    },
}

impl NoteError {
    pub(crate) fn bad_signature(signature: &NoteSignature) -> Self {
        Self::BadSignature {
            name: signature.name.clone(),
            key_id: u32::from_be_bytes(signature.key_id),
        }
    }
}
