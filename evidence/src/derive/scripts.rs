//! Checks for tools that are not ours: DuckDB, python3, protoc.

/// `verify/…`, the same in every package of a version.
pub(super) fn files(put: &mut impl FnMut(&str, Vec<u8>)) {
    for (path, text) in [
        ("verify/root.sql", include_str!("scripts/root.sql")),
        ("verify/inclusion.sql", include_str!("scripts/inclusion.sql")),
        ("verify/verify.py", include_str!("scripts/verify.py")),
        ("verify/entry.proto", proto::ENTRY_PROTO),
    ] {
        put(path, text.as_bytes().to_vec());
    }
}
