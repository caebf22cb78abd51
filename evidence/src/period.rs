//! From a period to the leaves that show it completely (`docs/format.md`, "Period").

use std::ops::Range;

use crate::source::{Source, SourceError};

/// A period of recorded time, `from` inside, `to` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First instant.
    pub from: jiff::Timestamp,
    /// First instant after.
    pub to: jiff::Timestamp,
}

/// The leaves of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodRange {
    /// From the last leaf before the period (or leaf 0) to the first after it, both inside.
    pub leaves: Range<u64>,
    /// No leaf at or after the period's end is there yet.
    pub open: bool,
}

/// Why a period has no package.
#[derive(Debug, thiserror::Error)]
pub enum PeriodError {
    /// It ends before it begins.
    #[error(
        "the period ends ({to}) before it begins ({from}), or with it: --to must be later than --from"
    )]
    Reversed {
        /// Start given.
        from: jiff::Timestamp,
        /// End given.
        to: jiff::Timestamp,
    },
    /// Times before 1970 or after 2262 have no leaves.
    #[error("{0} is outside the years 1970 to 2262, for which there can be leaves")]
    OutOfTime(jiff::Timestamp),
    /// Nothing was recorded in it.
    #[error(
        "nothing was recorded from {from} to {to}: there is no evidence of this period. It lies before the log, between \
         two events, or is yet to come; choose another"
    )]
    Empty {
        /// Start given.
        from: jiff::Timestamp,
        /// End given.
        to: jiff::Timestamp,
    },
    /// The log may still get leaves of it.
    #[error(
        "the period is not closed: no leaf was recorded at or after {to} yet, so its end cannot be shown. Wait until \
         something is recorded after it (a recorder seals every 10 s), choose an earlier end, or export it as an open \
         period (--open), which the package then says"
    )]
    NotClosed {
        /// End given.
        to: jiff::Timestamp,
    },
    /// The log could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Period {
    /// Finds the leaves of this period under the source's checkpoint.
    ///
    /// # Errors
    /// [`PeriodError`]; `NotClosed` only unless `allow_open`.
    pub async fn locate(
        &self,
        source: &impl Source,
        allow_open: bool,
    ) -> Result<PeriodRange, PeriodError> {
        let Period { from, to } = *self;
        if from >= to {
            return Err(PeriodError::Reversed { from, to });
        }
        let (from_ns, to_ns) = (nanoseconds(from)?, nanoseconds(to)?);
        let size = source.checkpoint().0.size.0;
        let first = source.first_at_or_after(from_ns).await?;
        let after = source.first_at_or_after(to_ns).await?;
        let Some(first) = first.filter(|first| Some(*first) != after && *first < size) else {
            return Err(PeriodError::Empty { from, to });
        };
        let start = first.saturating_sub(1);
        match after {
            Some(after) if after < size => {
                Ok(PeriodRange { leaves: start..after + 1, open: false })
            }
            _ if allow_open => Ok(PeriodRange { leaves: start..size, open: true }),
            _ => Err(PeriodError::NotClosed { to }),
        }
    }
}

/// As the log counts time.
fn nanoseconds(time: jiff::Timestamp) -> Result<u64, PeriodError> {
    i64::try_from(time.as_nanosecond())
        .ok()
        .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
        .ok_or(PeriodError::OutOfTime(time))
}
