//! Rows: what a leaf and its disclosures look like as columns, in memory and in segments.

pub(crate) mod chunk;
pub(crate) mod columns;
pub(crate) mod disclosed;
pub(crate) mod disclosures;
pub(crate) mod part;
pub(crate) mod segment;
pub(crate) mod store;
pub(crate) mod values;

use std::path::PathBuf;

pub(crate) use chunk::Chunk;
pub(crate) use part::Part;

/// Why rows could not be made, kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A leaf is not an entry of an Exhibit log.
    #[error("leaf {index}: {source}")]
    Leaf {
        /// Its index.
        index: u64,
        /// What is wrong.
        source: proto::EntryError,
    },
    /// Leaves that do not follow each other.
    #[error("leaf {found} follows leaf {previous}: leaf indexes must ascend")]
    Order {
        /// The leaf before.
        previous: u64,
        /// The leaf that was given.
        found: u64,
    },
    /// A range that is not within what was verified.
    #[error("the range {start}..{end} is not within the {size} leaves that were verified")]
    Range {
        /// First index.
        start: u64,
        /// Index after the last.
        end: u64,
        /// Leaves there are.
        size: u64,
    },
    /// Columns could not be built.
    #[error("columns: {0}")]
    Columns(#[from] arrow::error::ArrowError),
    /// A segment is not what was written.
    #[error("segment {path}: {reason}; delete the data folder to follow the log anew", path = path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The task that read rows was aborted.
    #[error("reading rows was aborted")]
    Aborted,
}

impl RowError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn parquet(
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(parquet::errors::ParquetError) -> Self {
        let path = path.into();
        move |error| Self::Segment { path, reason: error.to_string() }
    }
}
