//! What the kind of an event says to an erasure.

pub(super) use proto::kind::may_be_erased;
use proto::kind::{Kind, call_of};

/// The server that a kind names, if it names one.
pub(super) fn server_of(kind: &Kind) -> Option<&str> {
    let server = match kind {
        Kind::SessionOpened(session) => &session.server,
        Kind::SessionClosed(session) => &session.server,
        Kind::AuthenticationFailed(failure) => &failure.server,
        other => &call_of(other)?.server,
    };
    (!server.is_empty()).then_some(server)
}
