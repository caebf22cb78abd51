//! Which of the two eras of MCP a message belongs to.
//!
//! From 2026-07-28 on each request carries its version in `_meta` and in a header, and there are no sessions;
//! before it a version was agreed once, by `initialize`.

use proto::v1::Era;

/// Revisions with a handshake.
const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// Revisions without one.
const MODERN: [&str; 1] = ["2026-07-28"];

/// Is it a revision of MCP that is known here?
pub(crate) fn is_revision(version: &str) -> bool {
    LEGACY.contains(&version) || MODERN.contains(&version)
}

/// The era of a message with this version in its `_meta` and this `MCP-Protocol-Version` header. The body
/// decides: any version in `_meta` is modern, for the older revisions have no such member. A header alone counts
/// only when it names a revision that is known: to be modern takes away that an answer is awaited after a hang-up.
pub(crate) fn of(meta_version: Option<&str>, header: Option<&str>) -> Era {
    match (meta_version, header) {
        (Some(_), _) => Era::Modern,
        (None, Some(version)) if MODERN.contains(&version) => Era::Modern,
        _ => Era::Legacy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_decides_then_the_header() {
        assert_eq!(of(None, None), Era::Legacy);
        assert_eq!(of(None, Some("2025-11-25")), Era::Legacy);
        assert_eq!(of(None, Some("2026-07-28")), Era::Modern);
        for unknown in ["2027-01-01", "zzz", "2026-07-28 ", ""] {
            assert_eq!(of(None, Some(unknown)), Era::Legacy, "{unknown}");
        }
        assert_eq!(of(Some("2026-07-28"), None), Era::Modern);
        assert_eq!(of(Some("2026-07-28"), Some("2025-11-25")), Era::Modern);
    }
}
