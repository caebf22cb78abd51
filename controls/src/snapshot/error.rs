//! What can be wrong with a snapshot.

/// A mistake in one of a snapshot's sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct Mistake {
    /// The file, as in [`crate::Snapshot::files`] without its folder.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Mistakes in the sources, all of them.
    #[error("the policy snapshot has mistakes:{}", lines(.0))]
    Mistakes(Vec<Mistake>),
    /// Not the JSON of a snapshot.
    #[error("the bytes are not a policy snapshot: {0}")]
    NotASnapshot(String),
    /// Written by a later version of Exhibit.
    #[error("the policy snapshot has version {0}, which this version of Exhibit does not know")]
    UnknownVersion(u64),
    /// The bytes differ from their own canonical form.
    #[error(
        "the policy snapshot is not canonical: it differs from its canonical form at byte {offset}"
    )]
    NotCanonical {
        /// First differing byte.
        offset: usize,
    },
}

impl Mistake {
    pub(super) fn at(file: &str, text: &str, offset: usize, message: &str) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Mistake {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.to_owned(),
        }
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}
