//! Checks for tools that are not ours: DuckDB, python3, protoc.

/// Recomputes the root from all leaves.
const ROOT_SQL: &str = concat!(
    "-- Recomputes the root of the log from the exact leaves of this package, and compares it with the checkpoint's.\n",
    "-- In the package folder:  duckdb < data/verify/root.sql\n",
    include_str!("scripts/tree.sql"),
    include_str!("scripts/root.sql"),
);

/// Climbs from one leaf to the root. The tree is the same text, since each script must stand alone.
const INCLUSION_SQL: &str = concat!(
    "-- Shows that one leaf is in the log: its path to the root, from the leaves of this package and the range proof.\n",
    "-- In the package folder:\n",
    "--   duckdb -cmd \"SET VARIABLE leaf_index = 17\" < data/verify/inclusion.sql\n",
    "-- Without the variable it takes the first leaf. The last row's `hash` is the recomputed root.\n",
    include_str!("scripts/tree.sql"),
    include_str!("scripts/inclusion.sql"),
);

/// The tables that the lists were made from, for DuckDB. The second half is what Exhibit's engine runs itself.
const VIEWS_SQL: &str =
    concat!(include_str!("scripts/views.sql"), include_str!("../../../query/src/engine/views.sql"));

/// `verify/…`, the same in every package of a version.
pub(super) fn files(put: &mut impl FnMut(&str, Vec<u8>)) {
    for (path, text) in [
        ("verify/root.sql", ROOT_SQL),
        ("verify/inclusion.sql", INCLUSION_SQL),
        ("verify/views.sql", VIEWS_SQL),
        ("verify/verify.py", include_str!("scripts/verify.py")),
        ("verify/entry.proto", proto::ENTRY_PROTO),
    ] {
        put(path, text.as_bytes().to_vec());
    }
}
