//! Numbers and periods in words, the same in every text of a package.

use verifier::Parameters;

/// `1 leaf`, `2 leaves`.
pub(crate) fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    // A count of things in memory is never more than a u64 holds.
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The period, half-open.
pub(crate) fn period(parameters: &Parameters) -> String {
    format!("from {}, including, up to {}, excluding", parameters.from, parameters.to)
}
