//! SQL over verified rows.
//!
//! A query passes the [`guard`] (one statement, and only one that reads), is planned in a [`session`] that holds
//! nothing but the tables of one [`Archive`](crate::Archive) as one role may see them, and runs in [`workers`] of
//! its own, within the bounds of [`running`] and, for what its functions make, of a [`meter`].

pub(crate) mod allowance;
pub(crate) mod batches;
pub(crate) mod functions;
pub(crate) mod growth;
pub(crate) mod guard;
pub(crate) mod in_order;
pub(crate) mod meter;
pub(crate) mod metering;
pub(crate) mod pruning;
pub(crate) mod repeatable;
pub(crate) mod running;
pub(crate) mod session;
pub(crate) mod tables;
pub(crate) mod text;
pub(crate) mod tripwire;
pub(crate) mod workbench;
pub(crate) mod workers;

use std::time::Duration;

use datafusion::common::DataFusionError;

/// Why a query has no answer. All but [`SqlError::Failed`] are the caller's to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SqlError {
    /// No statement.
    #[error("there is no SQL statement: send one SELECT")]
    Empty,
    /// The text is too long.
    #[error("the SQL text has {size_bytes} bytes, at most {limit_bytes} are accepted")]
    TooLong {
        /// Bytes of the text.
        size_bytes: usize,
        /// Bytes accepted.
        limit_bytes: usize,
    },
    /// Nested or chained too deeply.
    #[error("the statement is too complex ({0}): split it")]
    TooComplex(String),
    /// Not a statement that only reads.
    #[error(
        "{found} is refused: evidence is read-only (SELECT, WITH, VALUES, EXPLAIN, SHOW TABLES, DESCRIBE)"
    )]
    NotReadOnly {
        /// The statement's first word.
        found: String,
    },
    /// Two statements or more.
    #[error("there are {count} statements: send one at a time")]
    MoreThanOne {
        /// How many there are.
        count: usize,
    },
    /// Not SQL.
    #[error("SQL syntax: {message}")]
    Syntax {
        /// What was expected.
        message: String,
        /// 1-based line, if known.
        line: Option<u64>,
        /// 1-based column, if known.
        column: Option<u64>,
    },
    /// Names, types or functions that do not fit.
    #[error("{0}")]
    Invalid(String),
    /// It took too long.
    #[error("the query ran longer than {} s: ask for less, such as a range of leaf_index", limit.as_secs())]
    Timeout {
        /// The bound.
        limit: Duration,
    },
    /// Too many rows.
    #[error("the answer has more than {limit} rows: add LIMIT, or ask in ranges of leaf_index")]
    TooManyRows {
        /// The bound.
        limit: u64,
    },
    /// Too many bytes.
    #[error("the answer is larger than {limit_bytes} bytes: name fewer columns or rows")]
    TooLarge {
        /// The bound.
        limit_bytes: usize,
    },
    /// The memory of one query was used up.
    #[error("the query needs more memory than one query may use: {0}")]
    OutOfMemory(String),
    /// It failed while it ran.
    #[error("the query failed: {0}")]
    Failed(String),
}

/// The engine's advice to change a setting, which no reader can.
const NO_SETTING: &str =
    " or disable the datafusion.sql_parser.enable_ident_normalization configuration";
/// In the engine's words.
const SPILL_IS_FULL: &str = "used disk space during the spilling process has exceeded";

impl SqlError {
    /// A stable name of the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "sql_empty",
            Self::TooLong { .. } => "sql_too_long",
            Self::TooComplex(_) => "sql_too_complex",
            Self::NotReadOnly { .. } => "sql_not_read_only",
            Self::MoreThanOne { .. } => "sql_more_than_one_statement",
            Self::Syntax { .. } => "sql_syntax",
            Self::Invalid(_) => "sql_invalid",
            Self::Timeout { .. } => "sql_timeout",
            Self::TooManyRows { .. } => "sql_too_many_rows",
            Self::TooLarge { .. } => "sql_result_too_large",
            Self::OutOfMemory(_) => "sql_out_of_memory",
            Self::Failed(_) => "sql_failed",
        }
    }

    /// What planning a query came to.
    pub(crate) fn planning(error: &DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::OutOfMemory(message.clone()),
            DataFusionError::SQL(parser, _) => guard::syntax(parser),
            _ => Self::Invalid(error.strip_backtrace().replace(NO_SETTING, "")),
        }
    }

    /// What running a query came to.
    pub(crate) fn running(error: &DataFusionError, limit: Duration) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(message) => Self::OutOfMemory(message.clone()),
            DataFusionError::External(cause) if cause.is::<tripwire::Tripped>() => {
                Self::Timeout { limit }
            }
            // The engine tells a full spill folder as a failed write, by words alone.
            DataFusionError::ArrowError(cause, _) if cause.to_string().contains(SPILL_IS_FULL) => {
                Self::OutOfMemory("and as much again on disk as it may spill".to_owned())
            }
            _ => Self::Failed(error.strip_backtrace()),
        }
    }
}
