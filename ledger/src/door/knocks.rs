//! Callers without a good token, counted so that they do not fill the log.

use proto::v1::authentication_failed::Reason;

/// Attempts by reason and HTTP status.
#[derive(Default)]
pub(crate) struct Knocks {
    pub(super) lately: identity::knocks::Knocks<(Reason, u16)>,
    /// Held while counts are written down, so that a stop waits for counts that are on their way.
    pub(super) writing: tokio::sync::Mutex<()>,
}
