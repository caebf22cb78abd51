//! Which text may stand in a leaf, and the names of what others say.

use crate::v1::authentication_failed::Reason;

/// Longest name in a leaf, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// May this name stand in a leaf: 1 to 128 of `A–Z a–z 0–9 _ - . / : + @`?
///
/// That is the alphabet of MCP tool names (SEP-986), of note key names, and of our own ids. Whether the name
/// also stands in recorded configuration or in a recorded inventory is the recorder's duty.
pub fn is_leaf_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:+@".contains(&byte))
}

/// Lengths of the parts of a vkey: the key id in hex, and base64 of a type and 32 bytes.
const VKEY_ID: usize = 8;
const VKEY_BASE64: usize = 44;

/// Whether a text has the form of a key as signed notes write it, `<name>+<key id in hex>+<base64 of type and key>`, with a
/// name that may stand in a leaf.
pub fn is_vkey(text: &str) -> bool {
    let parts = || {
        // Names and base64 may hold a plus themselves; the last two parts have one length each.
        let at = text.len().checked_sub(VKEY_BASE64 + VKEY_ID + 2)?;
        let (name, rest) = (text.get(..at)?, text.get(at..)?.strip_prefix('+')?);
        Some((name, rest.get(..VKEY_ID)?, rest.get(VKEY_ID..)?.strip_prefix('+')?))
    };
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    parts().is_some_and(|(name, id, key)| {
        is_leaf_name(name)
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && key.bytes().all(is_base64)
    })
}

/// The reason to record for a refused credential, by the stable code of the error. What is not known here says that the
/// token is not of the form that is accepted.
pub fn authentication_failure(code: &str) -> Reason {
    match code {
        "token_missing" => Reason::Missing,
        "token_expired" => Reason::Expired,
        "token_not_yet_valid" => Reason::NotYetValid,
        "wrong_audience" => Reason::WrongAudience,
        "wrong_issuer" => Reason::WrongIssuer,
        "algorithm_not_allowed" | "key_mismatch" => Reason::Algorithm,
        "unknown_key" => Reason::UnknownKey,
        "bad_signature" => Reason::BadSignature,
        "missing_claim" | "unreadable_claim" => Reason::MissingClaim,
        "issuer_unreachable" => Reason::IssuerUnreachable,
        _ => Reason::Malformed,
    }
}

/// Is this a method that MCP defines (all revisions to 2026-07-28 and the tasks extension), or a verb of the
/// Streamable HTTP transport?
pub fn is_known_method(method: &str) -> bool {
    KNOWN_METHODS.binary_search(&method).is_ok()
}

/// All of them. Sorted, for the binary search.
pub const KNOWN_METHODS: &[&str] = &[
    "DELETE",
    "GET",
    "completion/complete",
    "elicitation/create",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/initialized",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/subscriptions/acknowledged",
    "notifications/tasks/status",
    "notifications/tools/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "roots/list",
    "sampling/createMessage",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(KNOWN_METHODS.is_sorted());
        assert!(is_known_method("tools/call") && is_known_method("GET"));
        assert!(!is_known_method("tools/Call") && !is_known_method(""));
    }

    #[test]
    fn free_text_is_no_name() {
        assert!(is_leaf_name("get_weather.v2/eu"));
        for bad in ["", "a b", "naïve", "x\n", &"y".repeat(129)] {
            assert!(!is_leaf_name(bad), "{bad:?}");
        }
    }
}
