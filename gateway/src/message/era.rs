//! Which of the two eras of MCP a message belongs to.
//!
//! From 2026-07-28 on each request carries its version in `_meta` and in a header, and there are no sessions;
//! before it a version was agreed once, by `initialize`.

use proto::v1::Era;

/// First revision without a handshake.
const FIRST_MODERN: &str = "2026-07-28";

/// The era of a message with this version in its `_meta` and this `MCP-Protocol-Version` header. The body
/// decides: any version in `_meta` is modern, for the older revisions have no such member.
pub(crate) fn of(meta_version: Option<&str>, header: Option<&str>) -> Era {
    match (meta_version, header) {
        (Some(_), _) => Era::Modern,
        (None, Some(version)) if version >= FIRST_MODERN => Era::Modern,
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
        assert_eq!(of(None, Some("2027-01-01")), Era::Modern);
        assert_eq!(of(Some("2026-07-28"), None), Era::Modern);
        assert_eq!(of(Some("2026-07-28"), Some("2025-11-25")), Era::Modern);
    }
}
