//! What each column of each table means.

/// The glossary, as `schemas/package` has it.
const COLUMNS: &str = include_str!("../../../schemas/package/columns.csv");

/// `columns.csv`, the same in every package of a version.
pub(super) fn file(put: &mut impl FnMut(&str, Vec<u8>)) {
    put("columns.csv", COLUMNS.as_bytes().to_vec());
}
